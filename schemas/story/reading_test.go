package story

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/schemas/event"
)

// reading is the plainest possible judge of the story, written without the
// product's rules, so that the chapters mean what they say.
type reading struct {
	events  []*event.Event
	calls   []*event.Event // that were carried out
	issued  map[string]*event.Event
	found   map[string][]string
	visited map[string]bool
}

func (r *reading) find(what string, e *event.Event) {
	r.found[what] = append(r.found[what], e.Source.EventID)
}

func TestEachChapterShowsOneThing(t *testing.T) {
	r := &reading{events: Events(), issued: map[string]*event.Event{}, found: map[string][]string{}, visited: map[string]bool{}}
	for _, e := range r.events {
		switch {
		case r.visited[e.ID]:
			r.find("delivered again", e)
		case e.Kind == event.ToolInvocation && e.Outcome == event.Success:
			r.calls = append(r.calls, e)
		case e.Kind == event.TokenExchange && r.issued[e.Exchange.IssuedTokenRef] == nil:
			r.issued[e.Exchange.IssuedTokenRef] = e
		case e.Type == event.TypeCredentialIssued:
			r.issued[e.Token.Ref] = e
		}
		r.visited[e.ID] = true
	}
	for _, e := range r.events {
		r.exchange(e)
		r.sequence(e)
	}
	for _, c := range r.calls {
		r.decision(c)
		r.token(c)
		r.task(c)
	}
	r.grants()
	want := map[string][]string{
		"delivered again":    {"report-call"},
		"called after deny":  {"refund-call"},
		"granted more":       {"exchange-widening"},
		"wrong audience":     {"invoices-call"},
		"no decision":        {"notes-call"},
		"static":             {"salaries-august-call", "salaries-september-call"},
		"after its task":     {"late-close-call"},
		"never used":         {"grant-payments"},
		"issued by nobody":   {"payslip-call"},
		"number missing":     {"exchange-report"},
		"after revocation":   {"after-revocation-call"},
		"outside its window": nil,
	}
	for what, names := range want {
		if diff := cmp.Diff(names, r.found[what]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
		delete(r.found, what)
	}
	if len(r.found) > 0 {
		t.Errorf("nobody expected %v", r.found)
	}
}

func (r *reading) exchange(e *event.Event) {
	for _, s := range e.Exchange.GrantedScope {
		if !slices.Contains(e.Exchange.SubjectScope, s) {
			r.find("granted more", e)
		}
	}
}

// sequence expects the number before this one somewhere among the same source's.
func (r *reading) sequence(e *event.Event) {
	before := func(o *event.Event) bool {
		return o.Source.ID == e.Source.ID && o.Source.Sequence == e.Source.Sequence-1
	}
	if e.Source.Sequence > 1 && !slices.ContainsFunc(r.events, before) {
		r.find("number missing", e)
	}
}

// decision looks for the latest answer about this very use before the call.
func (r *reading) decision(c *event.Event) {
	var last *event.Event
	for _, e := range r.events {
		if e.Kind == event.PermissionDecision && e.Time <= c.Time && e.Token.Ref == c.Token.Ref &&
			e.Correlation.JSONRPCID == c.Correlation.JSONRPCID && e.Server.ID == c.Server.ID {
			last = e
		}
	}
	switch {
	case last == nil:
		r.find("no decision", c)
	case last.Decision.Effect == event.Deny:
		r.find("called after deny", c)
	}
}

func (r *reading) token(c *event.Event) {
	if c.Token.Static {
		r.find("static", c)
		return
	}
	if r.issued[c.Token.Ref] == nil {
		r.find("issued by nobody", c)
	}
	if !slices.Contains(c.Token.Audience, c.Server.URI) {
		r.find("wrong audience", c)
	}
	if c.Time < c.Token.IssuedAt || c.Time > c.Token.ExpiresAt {
		r.find("outside its window", c)
	}
	for _, e := range r.events {
		if e.Type == event.TypeCredentialRevoked && e.Token.Ref == c.Token.Ref && e.Time < c.Time {
			r.find("after revocation", c)
		}
	}
}

func (r *reading) task(c *event.Event) {
	for _, e := range r.events {
		if e.Type == event.TypeSessionEnded && e.Correlation.TaskID == c.Correlation.TaskID && e.Tenant == c.Tenant && e.Time < c.Time {
			r.find("after its task", c)
		}
	}
}

func (r *reading) grants() {
	for _, g := range r.events {
		use := func(c *event.Event) bool {
			return c.Tool.Name == g.Tool.Name && c.Server.ID == g.Server.ID && (c.Subject == g.Subject || c.Actor == g.Subject)
		}
		if g.Kind == event.Grant && !slices.ContainsFunc(r.calls, use) {
			r.find("never used", g)
		}
	}
}
