package api

import (
	"context"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/custody-audit/custody/schemas/event"
)

// TypeRead is the type of the event that a read of evidence is. Its kind is
// session: a caller at work with the evidence. It is no tool invocation, since no
// MCP server is there to reconcile it with, and no permission decision, since
// those make the source that reports them one that covers servers; yet the event
// has the decision that let the caller read, or did not.
const TypeRead = "custody.read"

// Source is the id and the type of the source of these events. The collector
// keeps it to Custody itself: no configured source can have it.
const Source = "custody"

// recordTimeout bounds how long an answer waits for its record.
const recordTimeout = 5 * time.Second

// Names in question.asked that are fields of the event and not attributes.
const (
	clientAddress = "address"
	userAgent     = "agent"
)

// record makes the question part of the evidence: who asked what about whom, how
// it ended and how many rows it had, and none of them.
func (s *Server) record(ctx context.Context, q *question, status int, told *Problem) error {
	return s.keep(ctx, q, s.readEvent(ctx, q, status, told))
}

// keep waits until the event is durable.
func (s *Server) keep(ctx context.Context, q *question, e *event.Event) error {
	ctx = context.WithoutCancel(ctx) // a caller who goes away has asked all the same
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	err := s.cfg.Recorder.Record(ctx, e)
	if err == nil {
		return nil
	}
	s.tel.unrecorded.Add(ctx, 1)
	if s.cfg.FailOpen {
		s.cfg.Logger.ErrorContext(ctx, "a read cannot be recorded and is answered all the same", "operation", q.op.id, "caller", q.caller.Party.Sub, "tenant", q.tenant, "error", err)
		return nil
	}
	s.cfg.Logger.ErrorContext(ctx, "a read cannot be recorded and is not answered", "operation", q.op.id, "caller", q.caller.Party.Sub, "tenant", q.tenant, "error", err)
	return later(http.StatusServiceUnavailable, "the read cannot be recorded now, so it is not answered", 5)
}

func (s *Server) readEvent(ctx context.Context, q *question, status int, told *Problem) *event.Event {
	c := q.caller
	e := &event.Event{
		Kind: event.Session, Type: TypeRead, Time: event.TimeOf(s.cfg.Now()), Tenant: s.recordedIn(q, status),
		Source: event.Source{EventID: uuid.NewString()}, Outcome: outcomeOf(status), Subject: c.Party, Client: c.client, Token: c.token,
		Server: event.Server{ID: Source}, ClientAddress: q.asked[clientAddress], UserAgent: q.asked[userAgent],
		Decision:    event.Decision{Effect: event.Allow, Engine: Source, Policy: "roles", Rule: roleText(c.Roles), Action: q.op.id, Resource: "tenant:" + orAll(q.tenant)},
		Correlation: event.Correlation{SessionID: c.session, RequestID: q.request},
		Attributes:  map[string]string{"by": c.By, "permission": string(q.op.needs), "status": strconv.Itoa(status), "rows": strconv.Itoa(q.rows)},
	}
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		e.Correlation.TraceID, e.Correlation.SpanID = span.TraceID().String(), span.SpanID().String()
	}
	if q.op.changes {
		e.Type = TypeChange
	}
	if status == http.StatusForbidden {
		e.Decision.Effect, e.Decision.Reason = event.Deny, told.Detail
	}
	if q.stage != "" {
		e.Attributes["stage"] = q.stage
	}
	maps.Copy(e.Attributes, q.asked)
	delete(e.Attributes, clientAddress)
	delete(e.Attributes, userAgent)
	if len(q.cut) > 0 {
		e.Attributes["cut"] = strings.Join(q.cut, "; ")
	}
	e.Fit()
	return e
}

// recordedIn is the tenant whose log has the read: the one whose evidence was
// read. A caller is refused in its own, or it could write into those of others.
func (s *Server) recordedIn(q *question, status int) string {
	if status == http.StatusForbidden || q.tenant == "" {
		return q.caller.home(s.cfg.OwnTenant)
	}
	return q.tenant
}

func orAll(tenant string) string {
	if tenant == "" {
		return AllTenants
	}
	return tenant
}

func roleText(roles []Role) string {
	var out []string
	for _, r := range roles {
		out = append(out, string(r))
	}
	return strings.Join(out, " ")
}

func outcomeOf(status int) event.Outcome {
	switch {
	case status == http.StatusForbidden:
		return event.Denied
	case status < 400 || status == http.StatusNotFound:
		return event.Success // nothing found is an answer
	}
	return event.Error
}
