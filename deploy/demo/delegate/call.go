package delegate

import (
	"context"
	"errors"
	"fmt"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.opentelemetry.io/otel/propagation"
)

// Call is one use of a tool.
type Call struct {
	// URL of the MCP endpoint.
	URL string
	// Bearer is what goes into the Authorization header: a token, or a static key.
	Bearer string
	// Tool and its arguments.
	Tool      string
	Arguments map[string]any
	// Meta goes into "_meta" beside the traceparent.
	Meta map[string]any
}

// Result is what came back, an error of the tool included.
type Result struct {
	// JSONRPCID of the request that carried the call.
	JSONRPCID string
	// Text of the result's first content.
	Text string
	// Failed says that the tool reported an error.
	Failed bool
}

// Call calls a tool. An error means that the call did not reach the tool; the
// result's JSONRPCID is set even then, when the request was sent.
func (d *Delegate) Call(ctx context.Context, c Call) (Result, error) {
	sent := &request{bearer: c.Bearer}
	ctx = context.WithValue(ctx, requestKey{}, sent)
	session, err := d.session(ctx, c.URL)
	if err != nil {
		return Result{}, fmt.Errorf("connect for %s: %w", c.Tool, err)
	}
	res, err := session.CallTool(ctx, &mcp.CallToolParams{Meta: withTraceparent(ctx, c.Meta), Name: c.Tool, Arguments: c.Arguments})
	result := Result{JSONRPCID: sent.id}
	if err != nil {
		d.drop(c.URL, session, err)
		return result, fmt.Errorf("call %s: %w", c.Tool, err)
	}
	result.Failed = res.IsError
	if len(res.Content) > 0 {
		if text, ok := res.Content[0].(*mcp.TextContent); ok {
			result.Text = text.Text
		}
	}
	return result, nil
}

// session returns the open session with a server, or opens one.
func (d *Delegate) session(ctx context.Context, url string) (*mcp.ClientSession, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s, ok := d.sessions[url]; ok {
		return s, nil
	}
	client := mcp.NewClient(d.impl, &mcp.ClientOptions{Capabilities: &mcp.ClientCapabilities{}})
	s, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: d.http, MaxRetries: -1, DisableStandaloneSSE: true}, nil)
	if err != nil {
		return nil, err
	}
	d.sessions[url] = s
	return s, nil
}

// drop forgets a session after an error that is no answer of the server: an HTTP
// refusal breaks the connection for good.
func (d *Delegate) drop(url string, s *mcp.ClientSession, err error) {
	var answer *jsonrpc.Error
	if errors.As(err, &answer) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sessions[url] == s {
		delete(d.sessions, url)
		s.Close() // broken already
	}
}

func withTraceparent(ctx context.Context, meta map[string]any) mcp.Meta {
	out := mcp.Meta{}
	for k, v := range meta {
		out[k] = v
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	for k, v := range carrier {
		out[k] = v
	}
	return out
}
