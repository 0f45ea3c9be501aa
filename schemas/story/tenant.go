package story

import (
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// tenant is the cast of one tenant, and how much of a join its sources leave.
type tenant struct {
	*script
	name      string
	iss       string          // vouches for everyone
	rule      event.ChainRule // how its token service nests "act"
	sts, pdp  source
	engine    string            // of pdp
	reporter  map[string]source // who reports the calls of a server, by server id
	traced    bool              // traceparent is propagated
	decisions bool              // servers record which decision let a call happen
}

// source is where events come from.
type source struct {
	id, kind string
	numbered bool // the source counts its events, so that a withheld one leaves a gap
}

// token is a bearer token as everybody who sees it can describe it.
type token struct {
	subject event.Party
	chain   []event.Link
	facts   event.Token
}

func (t *tenant) party(kind event.PartyType, sub string) event.Party {
	return event.Party{Iss: t.iss, Sub: sub, Type: kind}
}

func (t *tenant) server(id, version string) event.Server {
	return event.Server{ID: id, Name: id, URI: "https://" + id + "." + t.name + ".example/mcp", Version: version}
}

// bears fills what an event says of the token presented and of those whom it names.
func (t *tenant) bears(e *event.Event, k token) {
	e.Subject, e.Token = k.subject, k.facts
	t.delegates(e, k.chain)
}

func (t *tenant) delegates(e *event.Event, chain []event.Link) {
	if len(chain) == 0 {
		return
	}
	e.Actor = event.Party{Iss: chain[0].Iss, Sub: chain[0].Sub, Type: chain[0].Type}
	e.Chain, e.ChainRule, e.ChainRaw = chain, t.rule, claim(chain)
}

// claim is the "act" claim of RFC 8693 section 4.1: the current actor outermost.
func claim(chain []event.Link) string {
	var b strings.Builder
	for i, l := range chain {
		if i > 0 {
			b.WriteString(`,"act":`)
		}
		b.WriteString(`{"iss":"` + l.Iss + `","sub":"` + l.Sub + `"`)
	}
	return b.String() + strings.Repeat("}", len(chain))
}

// trace puts the event into the chapter's trace, where the tenant has traces.
func (t *tenant) trace(name string, e *event.Event) {
	if t.traced {
		e.Correlation.TraceID = traceID(t.chapter().Name)
		e.Correlation.SpanID, e.Correlation.ParentSpanID = spanID(name), spanID(t.parent)
	}
}

// task is the task that the whole chapter belongs to.
func (t *tenant) task() string { return "task-" + t.chapter().Name }
