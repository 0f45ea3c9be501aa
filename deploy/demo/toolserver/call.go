package toolserver

import (
	"context"
	"encoding/json"
	"strings"

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
		allowed, reason, err := s.decide(ctx, t, c)
		if err == nil && !allowed {
			return nil, mcpaudit.Denied(reason)
		}
		answer := ""
		if err == nil {
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
func (s *Server) decide(ctx context.Context, t *Tool, c *call) (allowed bool, reason string, err error) {
	if t.Undecided {
		return true, "", nil
	}
	var q pdp.Question
	c.Update(func(e *event.Event) {
		q = pdp.Question{Subject: e.Subject, Actor: e.Actor, Server: e.Server, Tool: t.Name, Token: e.Token, Correlation: e.Correlation}
	})
	d, err := s.cfg.PDP.Decide(ctx, q)
	c.Decided(d.ID)
	return d.Allow || t.IgnoresDeny, d.Reason, err
}
