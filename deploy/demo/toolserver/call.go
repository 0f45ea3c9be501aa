package toolserver

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/custody-audit/custody/collector/mcpaudit"
	"github.com/custody-audit/custody/deploy/demo/pdp"
	"github.com/custody-audit/custody/schemas/event"
)

// call is one use of a tool on its way.
type call struct {
	*mcpaudit.Call
	bearer    string
	arguments json.RawMessage
}

// Handled is a call that reached a tool, as the server knows it.
type Handled struct {
	Began              time.Time
	TraceID, JSONRPCID string
	Tool, TokenRef     string
	// Static says that the credential was a key of the server's own.
	Static bool
	// Decided is allow, deny or error; empty when the policy was not asked.
	Decided string
	// Ran says that the tool did its work, or tried to.
	Ran bool
}

// heard tells of a call that just began.
func (s *Server) heard(t *Tool, c *call) *Handled {
	at := c.Correlation()
	h := &Handled{Began: time.Now(), TraceID: at.TraceID, JSONRPCID: at.JSONRPCID, Tool: t.Name, TokenRef: event.TokenRef(c.bearer), Static: len(s.cfg.StaticKeys) > 0}
	if h.Static {
		h.TokenRef = KeyRef(s.cfg.SecretKey, c.bearer)
	}
	return h
}

// handle is the whole life of a call: describe, decide, work, answer.
func (s *Server) handle(t *Tool) mcp.ToolHandler {
	return func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if req.Extra == nil || req.Extra.TokenInfo == nil {
			return nil, &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "call arrived without a verified credential"}
		}
		_, bearer, _ := strings.Cut(req.Extra.Header.Get("Authorization"), " ")
		c := &call{mcpaudit.CallFrom(ctx), bearer, req.Params.Arguments}
		c.Update(func(e *event.Event) {
			e.Upstream, e.Tool.Annotations = t.Upstream, map[string]bool{"readOnlyHint": t.ReadOnly, "destructiveHint": t.Destructive}
		})
		h := s.heard(t, c)
		if s.cfg.Handled != nil {
			defer func() { s.cfg.Handled(*h) }()
		}
		allowed, reason, err := s.decide(ctx, t, c, h)
		if err == nil && !allowed {
			return nil, mcpaudit.Denied(reason)
		}
		answer := ""
		if err == nil {
			h.Ran = true
			answer, err = s.work(ctx, t, c)
		}
		if err != nil {
			return &mcp.CallToolResult{IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: err.Error()}}}, nil
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: answer}}}, nil
	}
}

// decide asks the policy engine, unless the tool never does. The engine reports
// its decisions itself.
func (s *Server) decide(ctx context.Context, t *Tool, c *call, h *Handled) (allowed bool, reason string, err error) {
	if t.Undecided {
		return true, "", nil
	}
	var q pdp.Question
	c.Update(func(e *event.Event) {
		q = pdp.Question{Subject: e.Subject, Actor: e.Actor, Server: e.Server, Tool: t.Name, Token: e.Token, Correlation: e.Correlation}
	})
	d, err := s.cfg.PDP.Decide(ctx, q)
	c.Decided(d.ID)
	h.Decided = "deny"
	if err != nil {
		h.Decided = "error"
	} else if d.Allow {
		h.Decided = "allow"
	}
	return d.Allow || t.IgnoresDeny, d.Reason, err
}
