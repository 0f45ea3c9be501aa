package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/processor/worklist"
	"github.com/custody-audit/custody/schemas/event"
)

// ActInput is what every act on a finding has.
type ActInput struct {
	Tenant
	Key     string `path:"key" pattern:"^[0-9a-f]{1,64}$" patternDescription:"hexadecimal digits" doc:"Key of the finding; the first digits suffice"`
	IfMatch string `header:"If-Match" maxLength:"40" doc:"Revision of the finding that the caller saw; another one is answered 412. Absent: whichever"`
	Once    string `header:"Idempotency-Key" maxLength:"200" doc:"Makes a repetition of the request the same act"`
}

func (in *ActInput) base() *ActInput { return in }

type acknowledgeInput struct {
	ActInput
	Body struct {
		Comment string `json:"comment,omitempty" maxLength:"2000"`
	}
}

type assignInput struct {
	ActInput
	Body struct {
		Assignee string `json:"assignee" maxLength:"200" doc:"Who is to handle it, as your organisation names people and teams; empty: nobody any more"`
		Comment  string `json:"comment,omitempty" maxLength:"2000"`
	}
}

type reasonInput struct {
	ActInput
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"2000" doc:"Why"`
	}
}

type commentInput struct {
	ActInput
	Body struct {
		Comment string `json:"comment" minLength:"1" maxLength:"2000"`
	}
}

type exceptInput struct {
	ActInput
	Body struct {
		Reason string    `json:"reason" minLength:"1" maxLength:"2000" doc:"Why it is accepted"`
		Until  time.Time `json:"until" doc:"When the exception ends (RFC 3339); at most 366 days from now"`
	}
}

// acts registers what can be done about findings.
func (s *Server) acts() {
	act(s, "acknowledge", "Say that a finding was seen", func(in *acknowledgeInput) worklist.Act {
		return worklist.Act{Action: worklist.Acknowledge, Comment: in.Body.Comment}
	})
	act(s, "assign", "Say who is to handle a finding", func(in *assignInput) worklist.Act {
		return worklist.Act{Action: worklist.Assign, Assignee: in.Body.Assignee, Comment: in.Body.Comment}
	})
	act(s, "comment", "Write something about a finding", func(in *commentInput) worklist.Act {
		return worklist.Act{Action: worklist.Comment, Comment: in.Body.Comment}
	})
	act(s, "resolve", "Say that a finding is dealt with; it opens again when more is found", func(in *reasonInput) worklist.Act {
		return worklist.Act{Action: worklist.Resolve, Comment: in.Body.Reason}
	})
	act(s, "except", "Accept a finding until a time; then it is open again", func(in *exceptInput) worklist.Act {
		return worklist.Act{Action: worklist.Except, Comment: in.Body.Reason, Until: in.Body.Until.UTC().Truncate(time.Microsecond)}
	})
	act(s, "reopen", "Want a finding to be looked at again", func(in *reasonInput) worklist.Act {
		return worklist.Act{Action: worklist.Reopen, Comment: in.Body.Reason}
	})
}

// act registers an operation. It is recorded before it has an effect, whatever
// FailOpen says: the record is the evidence of it. One that is refused is recorded
// as refused.
func act[I any, P interface {
	*I
	base() *ActInput
}](s *Server, verb, summary string, said func(P) worklist.Act) {
	op := operation{id: verb + "-finding", method: http.MethodPost, path: "/findings/{key}/" + verb, needs: HandleFindings, tag: "findings", summary: summary,
		description: "It becomes part of the finding's history, and an event of type custody.change."}
	change(s, op, func(ctx context.Context, q *question, in *I) (*findingAnswer, error) {
		return s.act(ctx, q, P(in).base(), said(P(in)))
	})
}

// change registers an operation that does something, which do records when it
// succeeds; one that is refused or fails is recorded here.
func change[I, O any](s *Server, op operation, do func(context.Context, *question, *I) (*O, error)) {
	op.changes = true
	described := s.describe(op)
	described.Errors = append(described.Errors, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed)
	huma.Register(s.api, described, func(ctx context.Context, in *I) (*body[*O], error) {
		q := &question{op: op, caller: callerOf(ctx), asked: askedOf(ctx)}
		ctx, cancel := context.WithTimeout(ctx, s.cfg.Limits.Timeout)
		defer cancel()
		out, err := do(ctx, q, in)
		if err == nil {
			s.tel.asked(ctx, op.id, http.StatusOK, 1)
			return &body[*O]{out}, nil
		}
		told := s.problem(ctx, err)
		s.tel.asked(ctx, op.id, told.Status, 0)
		if err := s.record(ctx, q, told.Status, told); err != nil {
			return nil, err
		}
		return nil, told
	})
}

// act does it: to what the caller's own connection shows, of the caller's tenant.
func (s *Server) act(ctx context.Context, q *question, in *ActInput, a worklist.Act) (*findingAnswer, error) {
	if err := s.narrow(q, in.about()); err != nil {
		return nil, err
	}
	if s.cfg.History == nil {
		return nil, newProblem(http.StatusNotFound, "nothing can be done about findings here: serve.handler_password_file is not configured")
	}
	s.acting.Lock() // what is compared below is what is acted upon; other servers are not kept out
	defer s.acting.Unlock()
	f, err := s.finding(ctx, q, in.Key)
	if err != nil {
		return nil, err
	}
	q.tenant = f.Tenant
	history, err := worklist.History(ctx, q.conn, f.Tenant, f.Key)
	if err != nil {
		return nil, err
	}
	s.sign(q, in, f, &a)
	if i := slices.IndexFunc(history, func(e *worklist.Entry) bool { return e.ID == a.ID }); i >= 0 {
		if !history[i].Same(&a) {
			return nil, invalid("header.Idempotency-Key", "another act on this finding had the same key")
		}
		q.asked["repeated"] = "true"
		return &findingAnswer{f, list(history)}, s.record(ctx, q, http.StatusOK, nil)
	}
	if seen := strings.Trim(in.IfMatch, `"`); seen != "" && seen != "*" && seen != f.Revision {
		return nil, newProblem(http.StatusPreconditionFailed, "the finding has changed since: its revision is "+f.Revision)
	}
	if err := a.Check(f); err != nil {
		return nil, err
	}
	more := map[string]string{"status_before": f.Status, "last_seen": f.LastSeen.UTC().Format(time.RFC3339Nano)}
	if a.EventID, err = s.seal(ctx, q, a.ID, a.Time, more); err != nil {
		return nil, err
	}
	if err := worklist.Append(ctx, s.cfg.History, f, &a); err != nil {
		return nil, err
	}
	if f, err = worklist.Find(ctx, q.conn, f.Tenant, f.Key); err == nil {
		history, err = worklist.History(ctx, q.conn, f.Tenant, f.Key)
	}
	return &findingAnswer{f, list(history)}, err
}

// sign says who acts and when, and makes the act's id: of what the caller says is
// one request, or a new one.
func (s *Server) sign(q *question, in *ActInput, f *worklist.Finding, a *worklist.Act) {
	a.Time, a.ID = s.cfg.Now().UTC().Truncate(time.Microsecond), uuid.New()
	a.ActorIss, a.ActorSub = q.caller.Party.Iss, q.caller.Party.Sub
	if in.Once != "" {
		a.ID = uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "%s\x00%s\x00%s", f.Key, q.caller.name(), in.Once))
	}
	if s.cfg.Redact != nil {
		a.Comment, a.Assignee = s.cfg.Redact(a.Comment), s.cfg.Redact(a.Assignee)
	}
	for name, value := range map[string]string{"finding": f.Key, "rule": f.Rule, "action": string(a.Action), "assignee": a.Assignee, "comment": a.Comment} {
		if value != "" {
			q.asked[name] = value
		}
	}
	if !a.Until.IsZero() {
		q.asked["until"] = a.Until.Format(time.RFC3339Nano)
	}
}

// seal makes an act an event of the tenant's log, and returns the event's id; without
// one the act has no effect.
func (s *Server) seal(ctx context.Context, q *question, id uuid.UUID, at time.Time, more map[string]string) (uuid.UUID, error) {
	q.rows, q.request = 1, id.String()
	e := s.readEvent(ctx, q, http.StatusOK, nil)
	e.Time, e.Source.EventID = event.TimeOf(at), id.String()
	for name, value := range more {
		if value != "" {
			e.Attributes[name] = value
		}
	}
	sealed := uuid.MustParse(event.NewID(e.Tenant, Source, e.Source.EventID, e.Time))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := s.cfg.Recorder.Record(ctx, e); err != nil {
		s.tel.unrecorded.Add(ctx, 1)
		s.cfg.Logger.ErrorContext(ctx, "an act cannot be recorded and has no effect", "operation", q.op.id, "caller", q.caller.Party.Sub, "tenant", q.tenant, "error", err)
		return uuid.Nil, later(http.StatusServiceUnavailable, "the act cannot be recorded now, so it has no effect", 5)
	}
	return sealed, nil
}
