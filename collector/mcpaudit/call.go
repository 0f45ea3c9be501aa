package mcpaudit

import (
	"context"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.opentelemetry.io/otel/trace"

	"github.com/custody-audit/custody/collector/token"
	"github.com/custody-audit/custody/schemas/event"
)

// Call is a tool call on its way, and its event in the making.
type Call struct {
	audit     *Audit
	presented *token.Presented
	span      trace.SpanContext
	began     time.Time

	mu    sync.Mutex
	event *event.Event // guarded by mu; nil once the call is concluded
}

type callKey struct{}

// CallFrom returns the call that a tool's handler was given ctx for; nil when
// there is none.
func CallFrom(ctx context.Context) *Call {
	c, _ := ctx.Value(callKey{}).(*Call)
	return c
}

// Presented is the credential that came with the call. It must not be changed.
func (c *Call) Presented() *token.Presented { return c.presented }

// Correlation holds the call's identifiers, for what the server asks or sends on
// behalf of it.
func (c *Call) Correlation() (r event.Correlation) {
	c.Update(func(e *event.Event) { r = e.Correlation })
	return r
}

// Decided tells which decision the call hangs on.
func (c *Call) Decided(decisionID string) {
	c.Update(func(e *event.Event) { e.Correlation.DecisionID = decisionID })
}

// Update lets the handler add what only it knows, such as Upstream or the tool's
// annotations. After the call's end it does nothing; change must not keep e.
func (c *Call) Update(change func(e *event.Event)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.event != nil {
		change(c.event)
	}
}

func (c *Call) conclude(res mcp.Result, err error, now time.Time) *event.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.event
	c.event = nil
	e.Tool.DurationMS = now.Sub(c.began).Milliseconds()
	outcome(e, res, err)
	return e
}
