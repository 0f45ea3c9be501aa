package mcpaudit_test

import (
	"context"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// BenchmarkMiddleware is a call without and with the record of it.
func BenchmarkMiddleware(b *testing.B) {
	p := newPlace(b, nil)
	answer := func(context.Context, string, mcp.Request) (mcp.Result, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "12345"}}}, nil
	}
	req := &mcp.CallToolRequest{Params: &mcp.CallToolParamsRaw{Name: "read", Arguments: []byte(`{"path":"/etc/motd","lines":10}`)}}
	for name, handler := range map[string]mcp.MethodHandler{"bare": answer, "recorded": p.audit.Middleware(answer)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := handler(b.Context(), "tools/call", req); err != nil {
					b.Fatal(err)
				}
				p.events = p.events[:0]
			}
		})
	}
}
