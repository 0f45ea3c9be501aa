package mcpproxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/custody-audit/custody/collector/mcpproxy"
	"github.com/custody-audit/custody/schemas/event"
)

// serverVariable makes a process of this test binary an MCP server on stdio.
const serverVariable = "CUSTODY_TEST_STDIO"

func TestMain(m *testing.M) {
	switch os.Getenv(serverVariable) {
	case "":
		os.Exit(m.Run())
	case "echo": // a server that says what it was told, and ends with 3
		io.Copy(os.Stdout, os.Stdin)
		os.Exit(3)
	}
	s := mcp.NewServer(&mcp.Implementation{Name: "files", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "read"}, func(context.Context, *mcp.CallToolRequest, input) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: strings.Repeat("x", 200_000)}}}, nil, nil
	})
	if err := s.Run(context.Background(), &mcp.StdioTransport{}); err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// tapped starts a server behind a tap.
func tapped(t *testing.T, mode string, s *sink, change func(*mcpproxy.Config)) (io.WriteCloser, io.Reader, <-chan error) {
	t.Helper()
	cfg := mcpproxy.Config{Server: event.Server{ID: "files"}, Emitter: s, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	tap, err := mcpproxy.NewTap(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), serverVariable+"="+mode)
	cmd.Stderr = os.Stderr
	in, toServer := io.Pipe()
	fromServer, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := tap.Run(t.Context(), cmd, in, out)
		out.Close()
		ended <- err
	}()
	return toServer, fromServer, ended
}

func TestTap(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			var s sink
			in, out, ended := tapped(t, "server", &s, nil)
			session, err := mcp.NewClient(&mcp.Implementation{Name: "desktop", Version: "3"}, nil).Connect(t.Context(),
				&mcp.IOTransport{Reader: io.NopCloser(out), Writer: in}, &mcp.ClientSessionOptions{ProtocolVersion: version})
			if err != nil {
				t.Fatal(err)
			}
			res, err := call(t, session, "read")
			if err != nil || len(res.Content[0].(*mcp.TextContent).Text) != 200_000 {
				t.Fatal(err)
			}
			e := s.one(t)
			if e.Tool.Name != "read" || e.Outcome != event.Success || e.Client.Name != "desktop" || e.Token.Verified != event.TokenAbsent || e.Subject.Sub == "" ||
				e.Correlation.TraceID != "4bf92f3577b34da6a3ce929d0e0e4736" || e.Correlation.SessionID != "" || e.Tool.ResponseBytes < 200_000 {
				t.Errorf("event %s", e.Canonical())
			}
			session.Close()
			if err := <-ended; err != nil {
				t.Errorf("the server ended with %v", err)
			}
		})
	}
}

// Lines that are no messages pass as they are; so does the server's end.
func TestTapPasses(t *testing.T) {
	var s sink
	in, out, ended := tapped(t, "echo", &s, nil)
	text := "\n\nno JSON\n" + strings.Repeat("y", 300_000) + "\n{\"jsonrpc\":\"2.0\",\"method\":\"x\"}\r\nthe last has no end"
	go func() {
		io.WriteString(in, text)
		in.Close()
	}()
	got, err := io.ReadAll(out)
	if string(got) != text || err != nil {
		t.Errorf("%d of %d bytes, %v", len(got), len(text), err)
	}
	var exit *exec.ExitError
	if err := <-ended; !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("the server's end: %v", err)
	}
	s.take(t, 0)
}

// A call whose server ends without an answer is recorded, and one whose event
// cannot be recorded is not answered.
func TestTapWithoutAnswer(t *testing.T) {
	var s sink
	in, out, ended := tapped(t, "echo", &s, nil)
	go io.Copy(io.Discard, out)
	io.WriteString(in, callText+"\n"+`{"jsonrpc":"2.0","id":8,"method":"tools/call","Method":"ping","method":"ping","params":{"name":"hidden"}}`+"\n")
	in.Close()
	<-ended
	if e := s.one(t); e.Outcome != event.Error || e.Tool.ErrorCode != "no_answer" || e.Tool.Name != "read" {
		t.Errorf("event %s", e.Canonical())
	}
	s.fail(errors.New("the queue is full"))
	in, out, ended = tapped(t, "echo", &s, nil)
	go func() {
		io.WriteString(in, callText+"\n"+`{"jsonrpc":"2.0","id":7,"result":"the secret"}`+"\n") // the echo answers
		in.Close()
	}()
	got, _ := io.ReadAll(out)
	if strings.Contains(string(got), "secret") || !strings.Contains(string(got), "audit unavailable") {
		t.Errorf("answered %s", got)
	}
	<-ended
}
