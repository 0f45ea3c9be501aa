package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/registry"
	"github.com/custody-audit/custody/deploy/demo"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/detect"
)

// demoSummary is what "demo --once --output json" prints.
type demoSummary struct {
	Sent         int               `json:"sent"`
	Stored       int               `json:"stored"`
	Duplicates   int               `json:"duplicates"`  // events that are shown twice
	Redelivered  int               `json:"redelivered"` // sent again for want of an answer, and recognised
	Lost         int               `json:"lost"`
	ByKind       map[string]uint64 `json:"by_kind"`
	Chains       uint64            `json:"chains"`
	DeepestChain int               `json:"deepest_chain"`
	Findings     int               `json:"findings"`
	Seconds      float64           `json:"seconds"`
}

func newDemo(a *app) *cobra.Command {
	var cfg demo.Config
	var keysFile string
	var output *choice
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run the pipeline with an estate of real MCP servers, token exchange and OPA",
		Long: `Runs an installation on this machine and an estate of real MCP servers, token exchange and OPA that reports to it. With
--collector only the estate runs, and reports to that collector with the keys of "custody demo sources".`,
		Example: "  custody demo\n  custody demo sources >keys.json && custody demo --collector http://127.0.0.1:4318 --keys keys.json --duration 0s",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cfg.CollectorURL != "" {
				return a.demoEstate(cmd, cfg, keysFile, output.value)
			}
			return a.demo(cmd, cfg, output.value)
		},
	}
	c.Flags().StringVar(&cfg.CollectorURL, "collector", "", "address of another installation's collector, as http://127.0.0.1:4318")
	c.Flags().StringVar(&keysFile, "keys", "", `file of the keys for it, which "custody demo sources" printed`)
	c.MarkFlagsRequiredTogether("collector", "keys")
	c.AddCommand(newDemoSources(a))
	c.Flags().Uint64Var(&cfg.Seed, "seed", 1, "order of the scenarios and every id in them")
	c.Flags().Float64Var(&cfg.Rate, "rate", 20, "calls of agents per second")
	c.Flags().DurationVar(&cfg.Duration, "duration", 15*time.Second, "how long the estate works")
	c.Flags().BoolVar(&cfg.Once, "once", false, "every scenario once, then end")
	c.Flags().BoolVar(&cfg.WithholdExchange, "withhold-exchange", false, "keep one exchange's event back")
	output = outputFlag(c, "text", "json")
	return c
}

func (a *app) demo(cmd *cobra.Command, cfg demo.Config, output string) (err error) {
	c := a.demoConfig()
	if err := os.RemoveAll(c.DataDir); err != nil { // each demo begins empty, or its counts would mean nothing
		return fmt.Errorf("empty the demo's data folder: %w", err)
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return err
	}
	c.Processor.Registry = filepath.Join(c.DataDir, "registry.yaml")
	if err := os.WriteFile(c.Processor.Registry, demo.Registry, 0o600); err != nil {
		return err
	}
	keys := demo.NewSources()
	var configured []collector.Source
	for _, k := range keys {
		configured = append(configured, k.Source)
	}
	sources, err := registry.New(registry.Config{Sources: configured, Types: types(), Logger: a.logger})
	if err != nil {
		return err
	}
	say := cmd.ErrOrStderr()
	fmt.Fprintln(say, "starting broker, ClickHouse, collector and processor (the first time, ClickHouse is downloaded)")
	began := time.Now()
	l, err := startLocal(cmd.Context(), *c, sources, a.logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	cfg.CollectorURL, cfg.Keys, cfg.Logger = l.collector.url, demo.Keys(keys), a.logger
	cfg.Progress = progress(say)
	// The authorization server's library warns, on the default logger, of each
	// request that it refuses; some of the estate's clients ask for such.
	slog.SetDefault(slog.New(slog.NewTextHandler(say, &slog.HandlerOptions{Level: slog.LevelError})))
	estate, err := demo.New(cfg)
	if err != nil {
		return err
	}
	did, err := estate.Run(cmd.Context())
	if err != nil {
		return err
	}
	inner := &app{c, a.logger}
	return inner.reportDemo(cmd, l, did, began, cfg.Once, output)
}

// progress writes to a terminal in one line that changes, and elsewhere in a line
// now and then.
func progress(w io.Writer) func(demo.Progress) {
	var next time.Time
	end := "\n"
	every := 2 * time.Second
	if f, ok := w.(*os.File); ok && onTerminal(f) {
		end, every = "   \r", 50*time.Millisecond
	}
	return func(p demo.Progress) {
		if now := time.Now(); now.After(next) {
			next = now.Add(every)
			fmt.Fprintf(w, "%4d scenarios, %5d events sent%s", p.Scenarios, p.Sent, end)
		}
	}
}

// demoConfig is an installation beside the user's own, on free ports.
func (a *app) demoConfig() *config {
	c := defaults()
	c.Log, c.DataDir = a.config.Log, filepath.Join(a.config.DataDir, "demo")
	c.Collector.HTTP, c.Collector.GRPC, c.Serve.Address, c.Telemetry.Address = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", ""
	c.Serve.Keys = filepath.Join(c.DataDir, "apikeys.yaml")
	c.Processor.BlockWait, c.Processor.SessionTimeout = 200*time.Millisecond, 6*time.Second
	return c
}

func (a *app) reportDemo(cmd *cobra.Command, l *local, did *demo.Summary, began time.Time, once bool, output string) error {
	r, done, err := a.reader("")
	if err != nil {
		return err
	}
	defer done()
	s, err := countDemo(cmd.Context(), r, did.Total())
	if err != nil {
		return err
	}
	findings, err := a.judge(cmd.Context(), l.detector)
	if err != nil {
		return err
	}
	s.Findings = len(findings)
	found, err := r.Chain(cmd.Context(), did.Deepest)
	if err != nil {
		return err
	}
	if s.Chains, err = r.CountChains(cmd.Context()); err != nil {
		return err
	}
	s.DeepestChain, s.Seconds = found.Chains[0].Depth, time.Since(began).Seconds()
	if output == "json" {
		err = json.NewEncoder(cmd.OutOrStdout()).Encode(s)
	} else {
		err = writeDemo(cmd.OutOrStdout(), s, found, findings)
		if err == nil {
			err = writeUnneeded(cmd.Context(), cmd.OutOrStdout(), r)
		}
	}
	if err == nil && (s.Lost != 0 || s.Duplicates != 0) {
		err = fmt.Errorf("%d events lost, %d duplicate", s.Lost, s.Duplicates)
	}
	if err == nil && !once {
		fmt.Fprintf(cmd.ErrOrStderr(), "\nAsk it: bin/custody search --data-dir %[1]s 'kind:tool_invocation outcome:denied'\n        bin/custody findings list --data-dir %[1]s\n        bin/custody registry show --data-dir %[1]s\n        curl -H 'Authorization: Bearer %[3]s' '%[2]s/api/v1/findings?severity=high'\nStop with Ctrl-C.\n", a.config.DataDir, l.api.url, l.api.key)
		if link := l.api.link(); link != "" && output == "text" {
			fmt.Fprintf(cmd.OutOrStdout(), "\nLook at it in a browser (the link works once, for a quarter of an hour):\n%s\n", link)
		}
		<-cmd.Context().Done()
	}
	return err
}

// judge runs the detections over everything that is stored and returns what is open.
func (a *app) judge(ctx context.Context, detector *detectorService) ([]*detect.Finding, error) {
	if _, err := detector.once(ctx); err != nil {
		return nil, err
	}
	conn, err := a.conn("")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return detect.List(ctx, conn, detect.Filter{Status: detect.Open, Limit: 10_000})
}

// countDemo waits until what was sent is stored, or nothing has come for 10 s.
func countDemo(ctx context.Context, r *query.Reader, sent int) (*demoSummary, error) {
	last, quiet := -1, time.Now()
	for {
		states, kinds, err := r.Count(ctx)
		if err != nil {
			return nil, err
		}
		stored := int(states["stored"])
		if stored != last {
			last, quiet = stored, time.Now()
		}
		if stored >= sent || time.Since(quiet) > 10*time.Second {
			return &demoSummary{Sent: sent, Stored: stored, Duplicates: max(stored-sent, 0) + int(states["conflict"]), Redelivered: int(states["duplicate"]), Lost: max(sent-stored, 0), ByKind: kinds}, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// writeUnneeded shows who answers for agents that had more than they needed.
func writeUnneeded(ctx context.Context, w io.Writer, r *query.Reader) error {
	filter, err := query.ParseFilter("kind:tool_invocation outcome:success tool.sensitivity:restricted scope.check:excess", time.Now())
	if err != nil {
		return err
	}
	page, err := r.Search(ctx, filter, 3, "")
	if err != nil {
		return err
	}
	page.Next = ""
	fmt.Fprintf(w, "\nCalls of restricted tools with more scope than they need, and who owns the agent:\n")
	return writeTable(w, page)
}

func writeDemo(w io.Writer, s *demoSummary, found *query.Chains, findings []*detect.Finding) error {
	fmt.Fprintf(w, "%d events sent, %d stored, %d duplicates, %d lost, in %.1f s\n\nThe deepest chain:\n", s.Sent, s.Stored, s.Duplicates, s.Lost, s.Seconds)
	if err := found.Chains[0].WriteTree(w); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%d findings, the severest:\n", len(findings))
	return writeFindings(w, findings[:min(len(findings), 5)])
}
