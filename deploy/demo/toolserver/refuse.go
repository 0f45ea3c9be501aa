package toolserver

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/custody-audit/custody/schemas/event"
)

// refuse reports a request that is turned away for its token, before any tool
// hears of it.
func (s *Server) refuse(ctx context.Context, req *http.Request, p *presented) error {
	e := &event.Event{
		Kind: event.ToolInvocation, Type: "mcp.refused", Time: event.TimeOf(time.Now()), Outcome: event.Denied, Server: s.cfg.Server,
		ClientAddress: req.RemoteAddr, UserAgent: req.UserAgent(), Client: event.Client{ID: p.client, Verified: p.client != ""},
		Tool: event.Tool{
			Name: req.Header.Get(headerTool), ServerMethod: req.Header.Get(headerMethod), ResultStatus: "rpc_error", ErrorCode: strconv.Itoa(http.StatusUnauthorized),
		},
	}
	p.describe(e)
	e.Correlation = event.Correlation{JSONRPCID: req.Header.Get(headerID), TransactionID: p.transactionID, TaskID: p.taskID}
	caller := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(req.Header)))
	if caller.IsValid() {
		e.Correlation.TraceID, e.Correlation.ParentSpanID = caller.TraceID().String(), caller.SpanID().String()
	}
	if err := s.cfg.Sink.Emit(ctx, e); err != nil {
		return fmt.Errorf("report a refused token: %w", err)
	}
	return nil
}
