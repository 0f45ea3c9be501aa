package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/custody-audit/custody/collector/emitter"
	"github.com/custody-audit/custody/collector/mcpproxy"
	"github.com/custody-audit/custody/collector/token"
	"github.com/custody-audit/custody/schemas/event"
)

// watchFlags are what proxy and tap have in common.
type watchFlags struct {
	server           event.Server
	collector, key   string
	failOpen, closed bool
}

func (w *watchFlags) add(f *pflag.FlagSet) {
	f.StringVar(&w.server.ID, "server-id", "", "id of the MCP server in events, one that the source covers")
	f.StringVar(&w.collector, "collector-url", "http://127.0.0.1:4318", "address of the collector")
	f.StringVar(&w.key, "key-file", "", "file with the source's key (type native); empty: the environment variable "+keyVariable)
	f.BoolVar(&w.failOpen, "fail-open", false, "answer calls that could not be recorded; the next event says how many are missing")
	f.BoolVar(&w.closed, "fail-closed", true, `answer "audit unavailable" in place of a call that could not be recorded`)
}

// watch starts an emitter and returns what proxy and tap are made of.
func (a *app) watch(cmd *cobra.Command, w *watchFlags, tel *telemetry) (mcpproxy.Config, *emitter.Emitter, error) {
	if cmd.Flags().Changed("fail-closed") && w.closed == w.failOpen {
		return mcpproxy.Config{}, nil, errors.New("--fail-open and --fail-closed: want one of them")
	}
	key, err := readKey(w.key)
	if err == nil && key == "" {
		err = errors.New("want the source's key: --key-file FILE or the environment variable " + keyVariable)
	}
	if err != nil {
		return mcpproxy.Config{}, nil, err
	}
	out, err := emitter.New(emitter.Config{URL: w.collector, Key: key, Logger: a.logger, Meter: tel.meter("collector/emitter")})
	if err != nil {
		return mcpproxy.Config{}, nil, err
	}
	return mcpproxy.Config{Server: w.server, Emitter: out, FailOpen: w.failOpen, Logger: a.logger, Meter: tel.meter("collector/mcpproxy")}, out, nil
}

// stopEmitter gives what is queued some time to arrive.
func stopEmitter(out *emitter.Emitter) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return out.Close(ctx)
}

func newMCPProxy(a *app) *cobra.Command {
	var w watchFlags
	var listen, upstream, certFile, certKey string
	var tokens token.Config
	c := takes(&cobra.Command{
		Use:   "mcp-proxy --upstream URL --server-id ID",
		Short: "Stand in front of an MCP server on Streamable HTTP and record its calls",
		Long: `Passes requests to an MCP server and records tools/call, tools/list, resources/read and prompts/get, with the caller's
token as it was verified against the issuer's keys, and requests that the server refused. Event streams pass at once; nothing
is changed. It decides nothing: a token that does not verify is recorded as such, the server refuses it.`,
		Example: `  custody mcp-proxy --listen 127.0.0.1:8080 --upstream http://127.0.0.1:3000 --server-id files --key-file /etc/custody/key \
    --issuer https://sts.example --jwks-url https://sts.example/keys --audience https://files.example/mcp`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tel, err := startTelemetry(cmd.Context(), &a.config.Telemetry, "mcp-proxy")
			if err != nil {
				return err
			}
			w.server.URI = tokens.Audience
			cfg, out, err := a.watch(cmd, &w, tel)
			if err != nil {
				return errors.Join(err, tel.close())
			}
			cfg.Check, err = checkOf(tokens)
			if err == nil {
				if os.Getenv("GOGC") == "" {
					// A call in a hundred met the collection of a heap of a few megabytes.
					debug.SetGCPercent(800)
				}
				err = serveProxy(cmd, cfg, listen, upstream, certFile, certKey)
			}
			return errors.Join(err, stopEmitter(out), tel.close())
		},
	}, "telemetry")
	f := c.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:8080", "address to serve")
	f.StringVar(&upstream, "upstream", "", "the MCP server's address; a request's path is added to it")
	f.StringVar(&certFile, "cert-file", "", "certificate, PEM; empty: no TLS")
	f.StringVar(&certKey, "cert-key-file", "", "its private key, PEM")
	f.StringVar(&tokens.Issuer, "issuer", "", "issuer of the callers' tokens; empty: tokens are recorded unverified")
	f.StringVar(&tokens.JWKSURL, "jwks-url", "", "where the issuer's keys are")
	f.StringVar(&tokens.Audience, "audience", "", "the server's resource identifier, which tokens must be issued for")
	w.add(f)
	_, _ = c.MarkFlagRequired("upstream"), c.MarkFlagRequired("server-id") // the flags exist
	return c
}

// checkOf returns the check of tokens; nil when there is no issuer.
func checkOf(cfg token.Config) (mcpproxy.Check, error) {
	if cfg.Issuer == "" && cfg.JWKSURL == "" {
		return nil, nil
	}
	v, err := token.NewVerifier(cfg)
	if err != nil {
		return nil, err
	}
	return v.Verify, nil
}

func serveProxy(cmd *cobra.Command, cfg mcpproxy.Config, listen, upstream, certFile, certKey string) error {
	p, err := mcpproxy.New(upstream, cfg)
	if err != nil {
		return err
	}
	defer p.Close()
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("%w; choose another with --listen", err)
	}
	// No limit on writing: event streams stay open.
	server := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	ended := make(chan error, 1)
	go func() {
		if certFile != "" {
			ended <- server.ServeTLS(listener, certFile, certKey)
			return
		}
		ended <- server.Serve(listener)
	}()
	fmt.Fprintf(cmd.ErrOrStderr(), "recording %s at %s in front of %s. Stop with Ctrl-C.\n", cfg.Server.ID, listener.Addr(), upstream)
	select {
	case err := <-ended:
		return err
	case <-cmd.Context().Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if server.Shutdown(ctx) != nil { // streams are still open
		server.Close()
	}
	return nil
}

func newMCPTap(a *app) *cobra.Command {
	var w watchFlags
	c := &cobra.Command{
		Use:   "mcp-tap --server-id ID -- COMMAND [ARG...]",
		Short: "Start an MCP server on stdio and record its calls",
		Long: `Put it before the command of a server in the configuration of an MCP client: it starts the server, passes lines both ways
and records calls as mcp-proxy does. There are no tokens on stdio: the subject of an event is the user who runs the client.
Its exit code is the server's.`,
		Example: `  "files": {"command": "custody", "args": ["mcp-tap", "--server-id", "files", "--key-file", "/etc/custody/key", "--",
            "npx", "@modelcontextprotocol/server-filesystem", "/data"]}`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			none := telemetryConfig{} // many run on one host: no port
			tel, err := startTelemetry(cmd.Context(), &none, "mcp-tap")
			if err != nil {
				return err
			}
			cfg, out, err := a.watch(cmd, &w, tel)
			if err != nil {
				return errors.Join(err, tel.close())
			}
			t, err := mcpproxy.NewTap(cfg)
			if err == nil {
				server := exec.CommandContext(cmd.Context(), args[0], args[1:]...)
				server.Stderr, server.Cancel, server.WaitDelay = os.Stderr, func() error { return server.Process.Signal(os.Interrupt) }, 5*time.Second
				err = t.Run(cmd.Context(), server, cmd.InOrStdin(), cmd.OutOrStdout())
			}
			lost := errors.Join(stopEmitter(out), tel.close())
			var ended *exec.ExitError
			if errors.As(err, &ended) && lost == nil {
				return exitCode(ended.ExitCode())
			}
			return errors.Join(err, lost)
		},
	}
	w.add(c.Flags())
	_ = c.MarkFlagRequired("server-id") // the flag exists
	return c
}

// exitCode is an end without a message of ours, with the code of a child.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit status %d", int(e)) }
