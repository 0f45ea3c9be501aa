package sts

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/custody-audit/custody/schemas/event"
)

// Sink takes events. Emit returns nil once the event will be delivered; it owns
// the event from the call on, and is safe for concurrent use.
type Sink interface {
	Emit(ctx context.Context, e *event.Event) error
}

const maxForm = 64 << 10 // bytes of a token request

// report watches the token endpoint: it describes the request by references to
// its tokens, lets the provider answer, and emits the event before the answer
// goes out. What only the provider knows is noted by the storage on the way.
func report(provider http.Handler, d directory, sink Sink, logger *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != TokenPath {
			provider.ServeHTTP(w, r)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			http.Error(w, "token request is not a form", http.StatusBadRequest)
			return
		}
		n := newNote(r)
		answer := &answer{header: w.Header(), status: http.StatusOK}
		provider.ServeHTTP(answer, r.WithContext(context.WithValue(r.Context(), noteKey{}, n)))
		n.conclude(answer, &d)
		if n.event.Kind == event.Credential && n.event.Token.Ref == "" {
			answer.send(w) // a client without a valid secret: there is no token to speak of
			return
		}
		if err := sink.Emit(r.Context(), n.event); err != nil {
			logger.Error("token not issued: its event could not be recorded", "error", err)
			http.Error(w, "audit unavailable", http.StatusServiceUnavailable)
			return
		}
		answer.send(w)
	})
}

// answer holds what the provider answered until its event is recorded.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

func (a *answer) send(w http.ResponseWriter) {
	w.WriteHeader(a.status)
	w.Write(a.body.Bytes()) // the client is gone when this fails
}

// note is the event of one token request in the making.
type note struct{ event *event.Event }

type noteKey struct{}

func newNote(r *http.Request) *note {
	e := &event.Event{Kind: event.Credential, Type: event.TypeCredentialIssued, Time: event.TimeOf(time.Now()), ClientAddress: r.RemoteAddr, UserAgent: r.UserAgent()}
	if id, _, ok := r.BasicAuth(); ok {
		e.Client.ID = id
	}
	span := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header)))
	if span.IsValid() {
		e.Correlation.TraceID, e.Correlation.ParentSpanID = span.TraceID().String(), span.SpanID().String()
	}
	form := r.PostForm
	e.Token.Ref = reference(form.Get("assertion"))
	if form.Get("grant_type") == string(oidc.GrantTypeTokenExchange) {
		e.Kind, e.Type = event.TokenExchange, event.TypeTokenExchange
		e.Exchange = event.Exchange{
			GrantType: form.Get("grant_type"), RequestedTokenType: form.Get("requested_token_type"),
			RequestedScope: strings.Fields(form.Get("scope")), RequestedAudience: form["audience"], Resource: form["resource"],
			SubjectTokenRef: reference(form.Get("subject_token")), ActorTokenRef: reference(form.Get("actor_token")),
		}
		e.Token = event.Token{Ref: e.Exchange.SubjectTokenRef, Verified: event.TokenUnverified}
	}
	return &note{e}
}

func reference(token string) string {
	if token == "" {
		return ""
	}
	return event.TokenRef(token)
}

func noteOf(ctx context.Context) *event.Event {
	if n, ok := ctx.Value(noteKey{}).(*note); ok {
		return n.event
	}
	return new(event.Event) // a token made outside a request has nobody to tell
}

// noteExchange adds who acts on whose behalf, from tokens that are verified by now.
func noteExchange(ctx context.Context, d *directory, req op.TokenExchangeRequest) {
	e := noteOf(ctx)
	subject := req.GetExchangeSubjectTokenClaims()
	e.Token = tokenFacts(e.Token.Ref, subject)
	e.Exchange.SubjectScope = e.Token.Scope
	e.Subject = d.party(req.GetExchangeSubject())
	e.Client = event.Client{ID: req.GetClientID(), Verified: true}
	e.Correlation.TransactionID, e.Correlation.TaskID = text(subject[claimTransaction]), text(subject[claimTask])
	if req.GetExchangeActor() == "" {
		return
	}
	act := nest(d.issuer, req.GetExchangeActor(), subject["act"])
	e.Actor, e.Chain, e.ChainRule = d.party(req.GetExchangeActor()), d.links(act), event.SubjectChained
	raw, _ := json.Marshal(act) // strings only
	e.ChainRaw = string(raw)
}

func noteGrant(ctx context.Context, scope []string, stepUp bool) {
	e := noteOf(ctx)
	e.Exchange.GrantedScope, e.Exchange.StepUp = scope, stepUp
}

func noteIssue(ctx context.Context, d *directory, req op.TokenRequest, claims map[string]any) {
	e := noteOf(ctx)
	e.Subject = d.party(req.GetSubject())
	e.Correlation.TransactionID, e.Correlation.TaskID = text(claims[claimTransaction]), text(claims[claimTask])
}
