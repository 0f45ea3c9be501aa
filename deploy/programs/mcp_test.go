//go:build programs

package programs

//lint:file-ignore SA1019 server-everything asks by sampling, which MCP 2025-11-25 has and 2026-07-28 deprecates

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/custody-audit/custody/schemas/event"
)

const everything = "@modelcontextprotocol/server-everything/dist/index.js"

// what stands in arguments and results and must not stand in an event.
const said = "the weather in Wonderland"

// serveEverything starts server-everything on Streamable HTTP and returns its address.
func serveEverything(t *testing.T, i *installation) string {
	t.Helper()
	port := freePort(t)
	cmd := i.node(i.module(everything), "streamableHttp")
	cmd.Env = append(cmd.Env, "PORT="+port)
	start(t, regexp.MustCompile(`listening on port`), cmd)
	return "http://127.0.0.1:" + port
}

// proxy puts "custody mcp-proxy" in front of a server and returns its address.
func proxy(t *testing.T, i *installation, source, server, upstream string) string {
	t.Helper()
	ready := start(t, regexp.MustCompile(`recording \S+ at (\S+) in front`), exec.Command(i.program("custody"), "mcp-proxy", "--listen", "127.0.0.1:0",
		"--upstream", upstream, "--server-id", server, "--collector-url", i.url, "--key-file", i.key(source), "--telemetry-address", ""))
	return "http://" + ready[1]
}

type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

// steps of the call that tells its progress.
const steps = 4

// use does with a server what a client does, and returns all that it heard. The
// client names itself, so that what it did is told from what others did.
func use(t *testing.T, client string, transport mcp.Transport) (heard []string) {
	t.Helper()
	session, progress := connect(t, client, transport)
	defer session.Close()
	hear := func(answer any, err error) {
		t.Helper()
		text, marshalErr := json.Marshal(answer)
		if marshalErr != nil {
			t.Fatal(marshalErr)
		}
		if err != nil {
			text = []byte(err.Error())
		}
		heard = append(heard, string(text))
	}
	call := func(tool string, arguments map[string]any) {
		t.Helper()
		res, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: arguments, Meta: mcp.Meta{"progressToken": "p"}})
		hear(res, err)
	}
	tools, err := session.ListTools(t.Context(), nil)
	hear(tools, err)
	call("echo", map[string]any{"message": said})
	call("get-sum", map[string]any{"a": 2, "b": 3})
	call("get-sum", map[string]any{"a": "two"})
	call("no-such-tool", nil)
	call("trigger-sampling-request", map[string]any{"prompt": said}) // the server asks the client while the call is open
	call("trigger-long-running-operation", map[string]any{"duration": 0.2, "steps": steps})
	for range steps {
		select {
		case p := <-progress:
			hear(p, nil)
		case <-time.After(time.Minute):
			t.Fatal("the progress of a call does not come")
		}
	}
	read, err := session.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "demo://resource/dynamic/text/1"})
	for _, c := range read.Contents {
		c.Text, _, _ = strings.Cut(c.Text, " created at ") // a clock of its own
	}
	hear(read, err)
	prompt, err := session.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: "args-prompt", Arguments: map[string]string{"city": said}})
	hear(prompt, err)
	return heard
}

// connect opens a session of a client that answers what the server asks, and hears
// the progress of its calls.
func connect(t *testing.T, client string, transport mcp.Transport) (*mcp.ClientSession, <-chan float64) {
	t.Helper()
	progress := make(chan float64, steps)
	session, err := mcp.NewClient(&mcp.Implementation{Name: client, Version: "7"}, &mcp.ClientOptions{
		CreateMessageHandler: func(_ context.Context, req *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			return &mcp.CreateMessageResult{Model: "model", Role: "assistant", Content: req.Params.Messages[0].Content}, nil
		},
		ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationClientRequest) { progress <- req.Params.Progress },
	}).Connect(t.Context(), transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	return session, progress
}

// recordedUse are the events of use: type, name and how it ended.
var recordedUse = []string{
	"mcp.tools.list  success ok", "mcp.tools.call echo success ok", "mcp.tools.call get-sum success ok",
	"mcp.tools.call get-sum failure tool_error", "mcp.tools.call no-such-tool failure rpc_error",
	"mcp.tools.call trigger-sampling-request success ok", "mcp.tools.call trigger-long-running-operation success ok",
	"mcp.resources.read  success ok", "mcp.prompts.get args-prompt success ok",
}

// checkUse looks for the events of use.
func checkUse(t *testing.T, i *installation, source, server, client string) (events []*event.Event) {
	t.Helper()
	events, text := i.find(t, len(recordedUse), "source:"+source+" client.name:"+client)
	slices.SortStableFunc(events, func(a, b *event.Event) int { return int(a.Source.Sequence - b.Source.Sequence) })
	var got []string
	for _, e := range events {
		got = append(got, strings.Join([]string{e.Type, e.Tool.Name, string(e.Outcome), e.Tool.ResultStatus}, " "))
		if e.Server.ID != server || e.Client.Version != "7" || e.Correlation.JSONRPCID == "" || e.Correlation.TraceID == "" {
			t.Errorf("event %s", e.Canonical())
		}
	}
	if diff := cmp.Diff(recordedUse, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if strings.Contains(text, said) {
		t.Errorf("an argument is in an event:\n%s", text)
	}
	return events
}

// server-everything behind "custody mcp-proxy", and without it: the client hears
// the same, and what it did is recorded with its token's reference.
func testMCPProxy(t *testing.T, i *installation) {
	upstream := serveEverything(t, i)
	front := proxy(t, i, "proxy", "everything", upstream)
	over := func(address string) mcp.Transport {
		return &mcp.StreamableClientTransport{Endpoint: address + "/mcp", HTTPClient: &http.Client{Transport: bearer(raw)}}
	}
	if diff := cmp.Diff(use(t, "direct", over(upstream)), use(t, "proxied", over(front))); diff != "" {
		t.Errorf("through the proxy the client hears (-direct +proxied):\n%s", diff)
	}
	session := ""
	for _, e := range checkUse(t, i, "proxy", "everything", "proxied") {
		if e.Token.Ref != event.TokenRef(raw) || e.Correlation.SessionID == "" || session != "" && e.Correlation.SessionID != session {
			t.Errorf("token and session: %s", e.Canonical())
		}
		session = e.Correlation.SessionID
		if e.Type == "mcp.resources.read" && e.Attributes["mcp.resource.uri"] != "demo://resource/dynamic/text/1" {
			t.Errorf("resource: %s", e.Canonical())
		}
	}
}

// The same on stdio, as a client starts it: the command of the server with
// "custody mcp-tap" before it.
func testMCPTap(t *testing.T, i *installation) {
	server := i.node(i.module(everything), "stdio")
	tap := exec.Command(i.program("custody"), append([]string{"mcp-tap", "--server-id", "everything", "--collector-url", i.url, "--key-file", i.key("tap"), "--"}, server.Args...)...)
	tap.Env = os.Environ()
	over := func(cmd *exec.Cmd) mcp.Transport {
		return &mcp.CommandTransport{Command: cmd, TerminateDuration: time.Second} // this server ends by SIGTERM only
	}
	if diff := cmp.Diff(use(t, "direct", over(server)), use(t, "tapped", over(tap))); diff != "" {
		t.Errorf("through the tap the client hears (-direct +tapped):\n%s", diff)
	}
	for _, e := range checkUse(t, i, "tap", "everything", "tapped") {
		if e.Subject.Sub == "" || e.Token.Verified != event.TokenAbsent {
			t.Errorf("the subject is the user of this machine: %s", e.Canonical())
		}
	}
}
