package toolserver

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gowebpki/jcs"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.opentelemetry.io/otel/trace"

	"github.com/custody-audit/custody/deploy/demo/pdp"
	"github.com/custody-audit/custody/schemas/event"
)

// codeDenied is the JSON-RPC error code of a call that policy refused.
const codeDenied = -32001

// call is one use of a tool on its way, and its event in the making.
type call struct {
	event     *event.Event
	bearer    string
	arguments json.RawMessage
	span      trace.SpanContext
}

// denied is the refusal of a call by policy.
type denied struct{ reason string }

func (d *denied) Error() string { return "denied: " + d.reason }

// handle is the whole life of a call: describe, decide, work, record, answer.
func (s *Server) handle(t *Tool) mcp.ToolHandler {
	return func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		c, err := s.begin(t, req)
		if err != nil {
			return nil, err
		}
		ctx = trace.ContextWithSpanContext(ctx, c.span)
		answer := ""
		if err = s.decide(ctx, t, c); err == nil {
			answer, err = s.work(ctx, t, c)
		}
		res, err := c.conclude(answer, err)
		if lost := s.cfg.Sink.Emit(ctx, c.event); lost != nil {
			s.cfg.Logger.Error("call not answered: its event could not be recorded", "error", lost)
			return nil, &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "audit unavailable"}
		}
		return res, err
	}
}

func (s *Server) begin(t *Tool, req *mcp.CallToolRequest) (*call, error) {
	if req.Extra == nil || req.Extra.TokenInfo == nil {
		return nil, errors.New("call arrived without a verified credential")
	}
	p := req.Extra.TokenInfo.Extra[extraKey].(*presented)
	header := req.Extra.Header
	_, bearer, _ := strings.Cut(header.Get("Authorization"), " ")
	e := &event.Event{
		Kind: event.ToolInvocation, Type: event.TypeToolCall, Time: event.TimeOf(time.Now()), Server: s.cfg.Server, Upstream: t.Upstream,
		ClientAddress: header.Get(headerAddress), UserAgent: header.Get("User-Agent"),
		Tool: event.Tool{
			Name: t.Name, ServerMethod: "tools/call", RequestBytes: int64(len(req.Params.Arguments)),
			Annotations: map[string]bool{"readOnlyHint": t.ReadOnly, "destructiveHint": t.Destructive},
		},
	}
	hashArguments(e, req.Params.Arguments)
	p.describe(e)
	describeClient(e, req, p)
	c := &call{event: e, bearer: bearer, arguments: req.Params.Arguments, span: child(req.Params.Meta)}
	e.Correlation = event.Correlation{
		JSONRPCID: header.Get(headerID), TransactionID: p.transactionID, TaskID: p.taskID,
		TraceID: c.span.TraceID().String(), SpanID: c.span.SpanID().String(), ParentSpanID: parentSpan(req.Params.Meta),
	}
	return c, nil
}

// describe says who acts with which credential.
func (p *presented) describe(e *event.Event) {
	e.Subject, e.Token, e.Chain, e.ChainRaw = p.subject, p.token, p.chain, p.chainRaw
	if len(p.chain) > 0 {
		e.Actor, e.ChainRule = event.Party{Iss: p.chain[0].Iss, Sub: p.chain[0].Sub, Type: p.chain[0].Type}, event.SubjectChained
	}
	if p.identityLost {
		e.Warnings = append(e.Warnings, "subject is the key's owner: identity lost at the source")
	}
}

// describeClient takes the id from the token and the name from what the client says.
func describeClient(e *event.Event, req *mcp.CallToolRequest, p *presented) {
	e.Client = event.Client{ID: p.client, Verified: p.client != ""}
	if info := req.ClientInfo(); info != nil {
		e.Client.Name, e.Client.Version = info.Name, info.Version
	}
}

func hashArguments(e *event.Event, raw json.RawMessage) {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return
	}
	canonical, err := jcs.Transform(raw)
	if err != nil {
		return
	}
	sum := sha256.Sum256(canonical)
	e.Tool.ArgumentsHash = "sha256:" + base64.RawURLEncoding.EncodeToString(sum[:])
	e.Tool.ArgumentNames = slices.Sorted(maps.Keys(members))
}

// decide asks the policy engine, unless the tool never does.
func (s *Server) decide(ctx context.Context, t *Tool, c *call) error {
	if t.Undecided {
		return nil
	}
	e := c.event
	d, err := s.cfg.PDP.Decide(ctx, pdp.Question{
		Subject: e.Subject, Actor: e.Actor, Server: e.Server, Tool: t.Name, Token: e.Token, Correlation: e.Correlation,
	})
	e.Correlation.DecisionID = d.ID
	if err != nil {
		return err
	}
	if !d.Allow && !t.IgnoresDeny {
		return &denied{d.Reason}
	}
	return nil
}

// conclude writes the end into the event and makes the answer.
func (c *call) conclude(answer string, err error) (*mcp.CallToolResult, error) {
	e := c.event
	e.Tool.DurationMS = time.Since(e.Time.Go()).Milliseconds()
	var refusal *denied
	switch {
	case errors.As(err, &refusal):
		e.Outcome, e.Tool.ResultStatus, e.Tool.ErrorCode = event.Denied, "rpc_error", strconv.Itoa(codeDenied)
		return nil, &jsonrpc.Error{Code: codeDenied, Message: refusal.Error()}
	case err != nil:
		e.Outcome, e.Tool.ResultStatus = event.Failure, "tool_error"
		return &mcp.CallToolResult{IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: err.Error()}}}, nil
	}
	e.Outcome, e.Tool.ResultStatus, e.Tool.ResponseBytes = event.Success, "ok", int64(len(answer))
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: answer}}}, nil
}
