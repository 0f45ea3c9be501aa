package api_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/evidence/review"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
)

type reviewed struct {
	review.Review
	Progress []review.Progress
}

type decided struct {
	Acts     []*review.Act
	Progress []review.Progress
}

// chamber is an API where owners of the story's agents decide.
func chamber(t *testing.T) (*server, *embeddedtest.ClickHouse) {
	t.Helper()
	c := tell(t)
	r := &enrich.Registry{
		Principals: []enrich.Principal{{Iss: "https://idp.acme.example", Sub: "planner", Owner: "alice@acme.example"}, {Iss: "https://idp.acme.example", Sub: "github-mcp", Owner: "bob@acme.example"}},
		Servers:    []enrich.Server{{ID: "github-mcp", Owner: "code@acme.example"}},
	}
	if _, err := enrich.Store(t.Context(), c.Conn(embedded.Registrar), "acme", r, "test", time.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	return serve(t, api.Config{Connect: twoWalls(c), History: handler(t, c)},
		caller{"boss", api.Admin, []string{api.AllTenants}}, caller{"aud", api.Auditor, []string{"acme"}}, caller{"out", api.Admin, []string{"globex"}},
		caller{"alice", api.Reviewer, []string{"acme"}}, caller{"bob", api.Reviewer, []string{"acme"}}), c
}

func (s *server) post(as, path string, body any, status int) []byte {
	s.Helper()
	a := s.as(as, http.MethodPost, "/api/v1"+path, body)
	if a.status != status {
		s.Fatalf("%s %s: %d %s, want %d", as, path, a.status, a.body, status)
	}
	return a.body
}

func parsed[T any](s *server, b []byte) (out T) {
	s.Helper()
	if err := json.Unmarshal(b, &out); err != nil {
		s.Fatalf("%v in %s", err, b)
	}
	return out
}

// A review is frozen, decided about by two owners and an administrator, each act an
// event with the digest of what was frozen, and closed.
func TestReview(t *testing.T) {
	t.Parallel()
	s, _ := chamber(t)
	r := parsed[reviewed](s, s.post("boss", "/reviews?tenant=acme", map[string]any{"name": "Q4", "from": "2020-01-01T00:00:00Z", "window_days": 3650}, 200))
	made := s.book.taken()
	if len(made) != 1 || made[0].Type != api.TypeChange || made[0].Tenant != "acme" || made[0].Attributes["digest"] != r.Digest || made[0].Attributes["review"] != r.ID.String() || r.EventID.String() != event.NewID("acme", api.Source, made[0].Source.EventID, made[0].Time) {
		t.Fatalf("created: %s", made[0].Canonical())
	}
	of := func(owner string) (keys []string) {
		for _, l := range r.Lines {
			if l.Owner == owner {
				keys = append(keys, l.Key)
			}
		}
		return keys
	}
	nobodys, alices, bobs := of(""), of("alice@acme.example"), of("bob@acme.example")
	kinds := map[string]int{}
	for _, l := range r.Lines {
		kinds[l.Kind]++
	}
	for _, tenant := range []string{"globex", "initech"} {
		more := parsed[reviewed](s, s.post("boss", "/reviews?tenant="+tenant, map[string]any{"name": "Q4", "from": "2020-01-01T00:00:00Z", "window_days": 3650}, 200))
		for _, l := range more.Lines {
			kinds[l.Kind]++
			if l.Kind != review.Privilege && (len(l.Evidence) == 0 || len(l.Controls) == 0) {
				t.Errorf("a line without evidence or controls: %+v", l)
			}
		}
	}
	if len(alices) < 2 || len(bobs) == 0 || len(nobodys) == 0 || r.Lines[0].Owner != "" || r.Progress[0].Owner != "" || kinds[review.Privilege] == 0 || kinds[review.Credential] == 0 || kinds[review.Finding] == 0 ||
		len(r.Decisions) == 0 || len(r.Samples) != 8 || len(r.Unowned) == 0 || r.Calls.Total == 0 || len(r.Coverage) == 0 {
		t.Errorf("frozen: %+v, %+v", r.Progress, kinds)
	}
	path := "/reviews/" + r.ID.String()[:13]
	if mine := get[reviewed](s, "alice", "/api/v1"+path); len(mine.Lines) != len(alices) || len(mine.Samples) != 0 {
		t.Errorf("alice sees %d lines, want her %d", len(mine.Lines), len(alices))
	}
	s.book.taken()
	out := parsed[decided](s, s.post("alice", path+"/certify", map[string]any{"lines": alices[1:], "reason": "needed"}, 200))
	if sealed := s.book.taken(); len(sealed) != len(alices)-1 || sealed[0].Attributes["line"] != alices[1] || sealed[0].Attributes["digest"] != r.Digest || sealed[0].Subject.Sub != "alice" || out.Acts[0].EventID.String() != event.NewID("acme", api.Source, sealed[0].Source.EventID, sealed[0].Time) {
		t.Errorf("certified: %s", sealed[0].Canonical())
	}
	s.post("alice", path+"/except", map[string]any{"lines": alices[:1], "reason": "CHG-7", "until": time.Now().Add(time.Hour).Format(time.RFC3339)}, 200)
	s.post("bob", path+"/revoke", map[string]any{"lines": bobs, "reason": "not used"}, 200)
	s.post("boss", path+"/certify", map[string]any{"lines": nobodys[:1], "reason": "known"}, 200)
	s.post("boss", path+"/revoke", map[string]any{"lines": nobodys[:1], "reason": "is not"}, 200)
	s.post("boss", path+"/close", map[string]any{"reason": "over"}, 200)
	s.post("boss", path+"/revoke", map[string]any{"lines": nobodys, "reason": "late"}, 409)
	got := get[reviewed](s, "aud", "/api/v1"+path)
	want := map[string]review.Counts{"": {Revoked: 1, Open: uint64(len(nobodys) - 1)}, "alice@acme.example": {Certified: uint64(len(alices) - 1), Excepted: 1}, "bob@acme.example": {Revoked: uint64(len(bobs))}}
	for _, p := range got.Progress {
		w := want[p.Owner]
		w.Lines = w.Certified + w.Excepted + w.Revoked + w.Open
		if _, known := want[p.Owner]; known && p.Counts != w {
			t.Errorf("progress %+v, want %+v", p, w)
		}
	}
	listed := get[struct{ Reviews []*review.Listed }](s, "aud", "/api/v1/reviews").Reviews
	if len(listed) != 1 || !listed[0].Closed || listed[0].Lines != uint64(len(r.Lines)) || listed[0].Unowned != uint64(len(nobodys)) || got.Digest != r.Digest || got.Closed() == nil {
		t.Errorf("listed %+v", listed[0])
	}
}

// Who may not, may not: another's line, a line of nobody, what one holds oneself,
// another tenant; and a request that fails for one line does nothing about others.
func TestReviewIsRefused(t *testing.T) {
	t.Parallel()
	s, c := chamber(t)
	r := parsed[reviewed](s, s.post("boss", "/reviews?tenant=acme", map[string]any{"name": "Q4", "from": "2020-01-01T00:00:00Z", "window_days": 3650}, 200))
	path := "/reviews/" + r.ID.String()
	line := func(owner string) string {
		return r.Lines[slices.IndexFunc(r.Lines, func(l *review.Line) bool { return l.Owner == owner })].Key
	}
	for _, x := range []struct {
		as, path string
		body     map[string]any
		status   int
		says     string
	}{
		{"alice", path + "/certify", map[string]any{"lines": []string{line("alice@acme.example"), line("bob@acme.example")}, "reason": "x"}, 403, "another owner's"},
		{"alice", path + "/revoke", map[string]any{"lines": []string{line("")}, "reason": "x"}, 403, "nobody answers"},
		{"aud", path + "/certify", map[string]any{"lines": []string{line("")}, "reason": "x"}, 403, "permission decide"},
		{"alice", path + "/close", map[string]any{"reason": "x"}, 403, "permission campaign"},
		{"alice", "/reviews?tenant=acme", map[string]any{"name": "x"}, 403, "permission campaign"},
		{"out", path + "/close", map[string]any{"reason": "x"}, 404, "no such review"},
		{"out", path + "/close?tenant=acme", map[string]any{"reason": "x"}, 403, "not one of yours"},
		{"boss", "/reviews", map[string]any{"name": "x"}, 422, "of one tenant"},
		{"boss", "/reviews?tenant=acme", map[string]any{"name": "x", "to": "2100-01-01T00:00:00Z"}, 422, "that is over"},
		{"boss", path + "/certify", map[string]any{"lines": []string{"00000000000000"}, "reason": "x"}, 404, "with such a line"},
		{"boss", path + "/certify", map[string]any{"lines": []string{line("")}}, 422, "reason"},
		{"boss", path + "/except", map[string]any{"lines": []string{line("")}, "reason": "x", "until": "2020-01-01T00:00:00Z"}, 422, "end that is to come"},
	} {
		if b := s.post(x.as, x.path, x.body, x.status); !strings.Contains(string(b), x.says) {
			t.Errorf("%s %s: %s, want %q", x.as, x.path, b, x.says)
		}
	}
	s.book.fail(true)
	s.post("boss", path+"/revoke", map[string]any{"lines": []string{line("")}, "reason": "x"}, 503)
	s.book.fail(false)
	if now := get[reviewed](s, "aud", "/api/v1"+path); len(now.Acts) != 0 {
		t.Errorf("what was refused had an effect: %+v", now.Acts)
	}
	altered(t, c, s, r.Review, path)
}

// altered changes one word of a stored line: nobody sees the review any more.
func altered(t *testing.T, c *embeddedtest.ClickHouse, s *server, r review.Review, path string) {
	t.Helper()
	err := c.Conn(embedded.Admin).Exec(t.Context(), `INSERT INTO review_lines (tenant, review, number, body)
		SELECT tenant, review, number, replaceOne(body, 'planner', 'planter') FROM review_lines FINAL WHERE review = '`+r.ID.String()+`'`)
	if err != nil {
		t.Fatal(err)
	}
	if a := s.as("aud", http.MethodGet, "/api/v1"+path, nil); a.status != http.StatusInternalServerError || !strings.Contains(string(a.body), "its digest differs") {
		t.Errorf("an altered review: %d %.300s", a.status, a.body)
	}
}
