package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/custody-audit/custody/processor/retain"
)

type retentionInput struct{ Tenant }

type retentionAnswer struct {
	Tenants []*retain.State `json:"tenants" nullable:"false" doc:"What is in force, by tenant; of a tenant that is not there everything is kept for ever"`
}

type setRetentionInput struct {
	Tenant
	Once string `header:"Idempotency-Key" maxLength:"200" doc:"Makes a repetition of the request the same act"`
	Body struct {
		Kind   string `json:"kind,omitempty" maxLength:"100" doc:"Kind of the records; absent: all kinds that have no rule of their own, and what no event could be made of"`
		Days   uint32 `json:"days" maximum:"36500" doc:"Days from when a record came to the log to its deletion; 0: it is kept for ever"`
		Reason string `json:"reason" minLength:"1" maxLength:"2000" doc:"Why"`
	}
}

type placeHoldInput struct {
	Tenant
	Once string `header:"Idempotency-Key" maxLength:"200" doc:"Makes a repetition of the request the same act"`
	Body struct {
		Subject string    `json:"subject,omitempty" maxLength:"500" doc:"Only records that name this one as subject, actor or in the chain"`
		Server  string    `json:"server,omitempty" maxLength:"500" doc:"Only records of this server"`
		From    time.Time `json:"from,omitzero" doc:"Only records of no earlier time (RFC 3339), by their own time or the log's"`
		To      time.Time `json:"to,omitzero" doc:"Only records of an earlier time"`
		Reason  string    `json:"reason" minLength:"1" maxLength:"2000" doc:"Why: the matter"`
	}
}

type eraseInput struct {
	Tenant
	Once string `header:"Idempotency-Key" maxLength:"200" doc:"Makes a repetition of the request the same act"`
	Body struct {
		Person string `json:"person" minLength:"1" maxLength:"500" doc:"Who is erased, as events name the subject; it is not kept"`
		Reason string `json:"reason" minLength:"1" maxLength:"2000" doc:"Why, without the name: it is kept for ever"`
	}
}

type releaseHoldInput struct {
	Tenant
	Hold string `path:"hold" format:"uuid" doc:"Id of the hold"`
	Once string `header:"Idempotency-Key" maxLength:"200" doc:"Makes a repetition of the request the same act"`
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"2000" doc:"Why"`
	}
}

// retention registers how long records are kept.
func (s *Server) retention() {
	ask(s, operation{id: "get-retention", method: http.MethodGet, path: "/retention", needs: ReadRetention, tag: "retention", summary: "How long records are kept, and which are on hold",
		description: "Rules and holds as they were said last. One that lets records be deleted has an effect when its event is stored, within seconds."},
		func(ctx context.Context, q *question, _ *retentionInput) (*retentionAnswer, error) {
			acts, err := retain.Acts(ctx, q.conn, q.tenant)
			states := retain.Fold(acts, false)
			q.rows = len(states)
			return &retentionAnswer{list(states)}, err
		})
	const sealed = "It becomes an event of type custody.change before it has an effect."
	change(s, operation{id: "set-retention", method: http.MethodPost, path: "/retention", needs: SetRetention, tag: "retention", summary: "Say how long records are kept", description: sealed + " What is deleted leaves a signed record (docs/adr/0028-retention.md)."},
		func(ctx context.Context, q *question, in *setRetentionInput) (*retain.State, error) {
			return s.keeping(ctx, q, in.Tenant, in.Once, retain.Act{Action: string(retain.Set), Kind: in.Body.Kind, Days: in.Body.Days, Reason: in.Body.Reason})
		})
	change(s, operation{id: "place-hold", method: http.MethodPost, path: "/holds", needs: SetRetention, tag: "retention", summary: "Keep records from being deleted, whatever rules say", description: sealed},
		func(ctx context.Context, q *question, in *placeHoldInput) (*retain.State, error) {
			return s.keeping(ctx, q, in.Tenant, in.Once, retain.Act{Action: string(retain.Held), Subject: in.Body.Subject, Server: in.Body.Server, From: in.Body.From, To: in.Body.To, Reason: in.Body.Reason})
		})
	change(s, operation{id: "erase-person", method: http.MethodPost, path: "/erasures", needs: SetRetention, tag: "retention", summary: "Delete the records that name a person",
		description: sealed + " The act names the person by a digest. What is on hold goes when the hold ends. docs/adr/0028-retention.md says what it does not reach."},
		func(ctx context.Context, q *question, in *eraseInput) (*retain.State, error) {
			if strings.Contains(in.Body.Reason, in.Body.Person) {
				return nil, invalid("body.reason", "it is kept for ever: leave the name out")
			}
			return s.keeping(ctx, q, in.Tenant, in.Once, retain.Act{Action: string(retain.Erased), Person: retain.PersonOf(in.Body.Person), Reason: in.Body.Reason})
		})
	change(s, operation{id: "release-hold", method: http.MethodPost, path: "/holds/{hold}/release", needs: SetRetention, tag: "retention", summary: "End a hold", description: sealed},
		func(ctx context.Context, q *question, in *releaseHoldInput) (*retain.State, error) {
			hold, err := uuid.Parse(in.Hold)
			if err != nil {
				return nil, invalid("path.hold", "want the id of a hold")
			}
			return s.keeping(ctx, q, in.Tenant, in.Once, retain.Act{Action: string(retain.Released), Hold: hold, Reason: in.Body.Reason})
		})
}

// keeping does an act and returns what is in force then.
func (s *Server) keeping(ctx context.Context, q *question, t Tenant, once string, a retain.Act) (*retain.State, error) {
	if err := s.narrow(q, t.about()); err != nil {
		return nil, err
	}
	if s.cfg.History == nil {
		return nil, newProblem(http.StatusNotFound, "nothing can be said about retention here: serve.handler_password_file is not configured")
	}
	if q.tenant == "" {
		return nil, invalid("query.tenant", "it is of one tenant: say which")
	}
	s.acting.Lock() // what is checked below is what is acted upon; other servers are not kept out
	defer s.acting.Unlock()
	a.ID, a.Tenant, a.Time, a.Reason = uuid.New(), q.tenant, s.cfg.Now().UTC().Truncate(time.Microsecond), s.redacted(a.Reason)
	a.From, a.To = a.From.UTC().Truncate(time.Microsecond), a.To.UTC().Truncate(time.Microsecond)
	a.ActorIss, a.ActorSub = q.caller.Party.Iss, q.caller.Party.Sub
	if once != "" {
		a.ID = uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "retention\x00%s\x00%s\x00%s", q.tenant, q.caller.name(), once))
	}
	q.asked["comment"] = a.Reason
	acts, err := retain.Acts(ctx, q.conn, q.tenant)
	if err != nil {
		return nil, err
	}
	for _, was := range acts {
		if was.ID == a.ID {
			if !was.Same(&a) {
				return nil, invalid("header.Idempotency-Key", "another act had the same key")
			}
			q.asked["repeated"] = "true"
			return stateOf(q.tenant, acts), s.record(ctx, q, http.StatusOK, nil)
		}
	}
	if err := a.Check(); err != nil {
		return nil, err
	}
	if a.Hold != uuid.Nil && stateOf(q.tenant, acts).Hold(a.Hold) == nil {
		return nil, fmt.Errorf("hold %s: %w that is in force", a.Hold, retain.ErrNotFound)
	}
	if a.EventID, err = s.seal(ctx, q, a.ID, a.Time, a.Attributes()); err != nil {
		return nil, err
	}
	if err := retain.Append(ctx, s.cfg.History, &a); err != nil {
		return nil, err
	}
	return stateOf(q.tenant, append(acts, &a)), nil
}

// stateOf is what is in force for a tenant.
func stateOf(tenant string, acts []*retain.Act) *retain.State {
	for _, state := range retain.Fold(acts, false) {
		if state.Tenant == tenant {
			return state
		}
	}
	return &retain.State{Tenant: tenant, Rules: []*retain.Act{}, Holds: []*retain.Act{}, Erasures: []*retain.Act{}}
}
