package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/processor/retain"
	"github.com/custody-audit/custody/schemas/event"
)

// An administrator says how long records are kept and what is on hold; each is an
// event that says all of it, before it has an effect.
func TestRetention(t *testing.T) {
	t.Parallel()
	c := tell(t)
	s := serve(t, api.Config{Connect: twoWalls(c), History: handler(t, c)},
		caller{"boss", api.Admin, []string{api.AllTenants}}, caller{"aud", api.Auditor, []string{"acme"}}, caller{"out", api.Admin, []string{"globex"}})
	for _, x := range []struct {
		as, path string
		body     map[string]any
		status   int
		says     string
	}{
		{"aud", "/retention?tenant=acme", map[string]any{"days": 30, "reason": "x"}, 403, "permission retain"},
		{"aud", "/holds?tenant=acme", map[string]any{"reason": "x"}, 403, "permission retain"},
		{"out", "/retention?tenant=acme", map[string]any{"days": 30, "reason": "x"}, 403, "not one of yours"},
		{"boss", "/retention", map[string]any{"days": 30, "reason": "x"}, 422, "of one tenant"},
		{"boss", "/retention?tenant=acme", map[string]any{"days": 30}, 422, "reason"},
		{"boss", "/retention?tenant=acme", map[string]any{"days": 30, "kind": "nothing", "reason": "x"}, 422, "kind"},
		{"boss", "/retention?tenant=acme", map[string]any{"days": 40_000, "reason": "x"}, 422, "days"},
		{"boss", "/holds?tenant=acme", map[string]any{"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z", "reason": "x"}, 422, "before it begins"},
		{"boss", "/holds/00000000-0000-4000-8000-000000000001/release?tenant=acme", map[string]any{"reason": "x"}, 404, "no such hold"},
	} {
		if b := s.post(x.as, x.path, x.body, x.status); !strings.Contains(string(b), x.says) {
			t.Errorf("%s %s: %s, want %q", x.as, x.path, b, x.says)
		}
	}
	s.book.fail(true)
	s.post("boss", "/retention?tenant=acme", map[string]any{"days": 30, "reason": "x"}, 503)
	s.book.fail(false)
	show := func(as string) []*retain.State {
		return get[struct{ Tenants []*retain.State }](s, as, "/api/v1/retention").Tenants
	}
	if got := show("boss"); len(got) != 0 {
		t.Fatalf("what was refused had an effect: %+v", got[0])
	}
	s.book.taken()
	s.post("boss", "/retention?tenant=acme", map[string]any{"days": 400, "kind": "tool_invocation", "reason": "policy 12"}, 200)
	s.post("boss", "/retention?tenant=acme", map[string]any{"days": 30, "kind": "tool_invocation", "reason": "policy 13"}, 200)
	s.post("boss", "/retention?tenant=acme", map[string]any{"days": 0, "reason": "all others"}, 200)
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	held := parsed[retain.State](s, s.post("boss", "/holds?tenant=acme", map[string]any{"subject": "alice", "from": from, "reason": "matter 1"}, 200))
	if len(held.Rules) != 2 || held.Rules[1].Days != 30 || len(held.Holds) != 1 || held.Holds[0].Subject != "alice" || !held.Holds[0].From.Equal(from) || !held.Holds[0].To.IsZero() {
		t.Errorf("in force: %+v, %+v", held.Rules, held.Holds)
	}
	sealed := s.book.taken()
	if len(sealed) != 4 {
		t.Fatalf("%d events", len(sealed))
	}
	e := sealed[3]
	if e.Type != api.TypeChange || e.Tenant != "acme" || e.Subject.Sub != "boss" || e.Attributes["retention"] != "held" || e.Attributes["hold_subject"] != "alice" || e.Attributes["comment"] != "matter 1" ||
		e.Source.EventID != held.Holds[0].ID.String() || event.NewID("acme", api.Source, e.Source.EventID, e.Time) != held.Holds[0].EventID.String() {
		t.Errorf("placed: %s", e.Canonical())
	}
	if got := show("aud"); len(got) != 1 || len(got[0].Holds) != 1 || got[0].Rules[1].Reason != "policy 13" {
		t.Errorf("the auditor sees %+v", got)
	}
	if got := show("out"); len(got) != 0 {
		t.Errorf("another tenant sees %+v", got[0])
	}
	path := "/holds/" + held.Holds[0].ID.String() + "/release"
	s.post("out", path, map[string]any{"reason": "x"}, 404)
	once := func(reason string) int {
		return s.as("boss", http.MethodPost, "/api/v1"+path+"?tenant=acme", map[string]any{"reason": reason}).status
	}
	if first, second := once("closed"), once("closed"); first != 200 || second != 404 {
		t.Errorf("released: %d, then %d", first, second)
	}
	s.book.taken()
	if b := s.post("boss", "/erasures?tenant=acme", map[string]any{"person": "carol@acme.example", "reason": "carol@acme.example asked"}, 422); !strings.Contains(string(b), "leave the name out") {
		t.Errorf("a reason with the name: %s", b)
	}
	s.book.taken()
	if b := s.post("boss", "/erasures?tenant=acme", map[string]any{"person": "carol@acme.example", "reason": "request 7"}, 200); strings.Contains(string(b), "carol") {
		t.Errorf("erased: %s", b)
	}
	if e := s.book.taken(); len(e) != 1 || e[0].Attributes["retention"] != "erased" || strings.Contains(string(e[0].Canonical()), "carol") || len(e[0].Attributes["person"]) != 97 {
		t.Errorf("erased: %s", e[0].Canonical())
	}
	if got := show("aud"); len(got[0].Holds) != 0 {
		t.Errorf("still on hold: %+v", got[0].Holds[0])
	}
}
