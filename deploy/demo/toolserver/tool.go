package toolserver

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/custody-audit/custody/deploy/demo/delegate"
	"github.com/custody-audit/custody/deploy/demo/sts"
	"github.com/custody-audit/custody/schemas/event"
)

// Tool is a tool of a server and how it behaves.
type Tool struct {
	// Name and Description as listed.
	Name, Description string
	// ReadOnly and Destructive are the hints of its annotations.
	ReadOnly, Destructive bool
	// Upstream is the backend behind it, for the event.
	Upstream string
	// Next is the call it makes at another server; nil for none.
	Next *Next
	// Undecided tools never ask the policy.
	Undecided bool
	// IgnoresDeny makes the server ask and go on whatever the answer.
	IgnoresDeny bool
}

// Next is a call at another server.
type Next struct {
	// URL of its MCP endpoint, Server its id, Audience its resource identifier.
	URL, Server, Audience string
	Tool                  string
	// Scope asked for in the exchange.
	Scope []string
	// PassThrough sends on the token that was received instead of exchanging it.
	PassThrough bool
}

// Hop is a call that a server made at the next one.
type Hop struct {
	// TraceID it belongs to.
	TraceID string
	// Server and Tool called, with the token of TokenRef, under JSONRPCID.
	Server, Tool, TokenRef, JSONRPCID string
	// SubjectRef is the token that the server had received, Scope what it got for
	// it, and Began when it asked.
	SubjectRef string
	Scope      []string
	Began      time.Time
}

func (t *Tool) definition() *mcp.Tool {
	destructive, open := t.Destructive, false
	return &mcp.Tool{
		Name: t.Name, Description: t.Description, InputSchema: &jsonschema.Schema{Type: "object"},
		Annotations: &mcp.ToolAnnotations{ReadOnlyHint: t.ReadOnly, DestructiveHint: &destructive, OpenWorldHint: &open},
	}
}

// work does what the tool is for. The backends are not part of the estate: the
// answer is made up, the call at the next server is not.
func (s *Server) work(ctx context.Context, t *Tool, c *call) (string, error) {
	if t.Next != nil {
		if err := s.goOn(ctx, t.Next, c); err != nil {
			return "", err
		}
	}
	arguments := map[string]any{}
	if len(c.arguments) > 0 {
		if err := json.Unmarshal(c.arguments, &arguments); err != nil {
			return "", fmt.Errorf("arguments of %s: %w", t.Name, err)
		}
	}
	return t.Name + " done, " + strconv.Itoa(len(arguments)) + " arguments", nil
}

// goOn calls the next server on behalf of whoever called this one.
func (s *Server) goOn(ctx context.Context, next *Next, c *call) error {
	token, began := sts.Token{Raw: c.bearer}, time.Now()
	if !next.PassThrough {
		var err error
		if token, err = s.cfg.Delegate.Exchange(ctx, token, next.Audience, next.Scope); err != nil {
			return fmt.Errorf("exchange for %s: %w", next.Server, err)
		}
	}
	var arguments map[string]any
	if err := json.Unmarshal(c.arguments, &arguments); err != nil {
		return fmt.Errorf("arguments for %s: %w", next.Server, err)
	}
	res, err := s.cfg.Delegate.Call(ctx, delegate.Call{URL: next.URL, Bearer: token.Raw, Tool: next.Tool, Arguments: arguments})
	if err != nil {
		return fmt.Errorf("%s: %w", next.Server, err)
	}
	if res.Failed {
		return fmt.Errorf("%s of %s: %s", next.Tool, next.Server, res.Text)
	}
	s.cfg.Passed(Hop{TraceID: c.Correlation().TraceID, Server: next.Server, Tool: next.Tool, TokenRef: token.Ref(), JSONRPCID: res.JSONRPCID,
		SubjectRef: event.TokenRef(c.bearer), Scope: token.Scope, Began: began})
	return nil
}
