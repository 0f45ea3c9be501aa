package api_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/processor/worklist"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

type actAnswer struct {
	Finding *worklist.Finding
	History []*worklist.Entry
}

// desk is an API with the findings of a tenant, and who handles them.
func desk(t *testing.T, cfg api.Config) (*server, *worklist.Finding) {
	t.Helper()
	c := tell(t)
	cfg.Connect, cfg.History = twoWalls(c), handler(t, c)
	s := serve(t, cfg, caller{"ann", api.Analyst, []string{"globex"}}, caller{"ira", api.Responder, []string{"globex"}}, caller{"aud", api.Auditor, []string{"globex"}}, caller{"boss", api.Admin, []string{api.AllTenants}})
	found := get[struct{ Findings []*worklist.Finding }](s, "ann", "/api/v1/findings").Findings
	if len(found) == 0 {
		t.Fatal("no findings")
	}
	s.book.taken()
	return s, found[0]
}

func (s *server) act(header http.Header, as string, f *worklist.Finding, verb string, body any, status int) *actAnswer {
	s.Helper()
	a := s.with(header, as, http.MethodPost, "/api/v1/findings/"+f.Key+"/"+verb, body)
	if a.status != status {
		s.Fatalf("%s: %d %s, want %d", verb, a.status, a.body, status)
	}
	out := &actAnswer{}
	if status == http.StatusOK {
		if err := json.Unmarshal(a.body, out); err != nil {
			s.Fatal(err)
		}
	}
	return out
}

// Each act stands in the history with who, why and the event that is its evidence;
// that event was durable before the act had an effect.
func TestActsAreEvidence(t *testing.T) {
	t.Parallel()
	s, f := desk(t, api.Config{FailOpen: true}) // which is about reads
	until := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
	for i, x := range []struct {
		as, verb string
		body     map[string]string
		status   string
	}{
		{"ann", "acknowledge", map[string]string{}, worklist.Acknowledged},
		{"ann", "assign", map[string]string{"assignee": "ira"}, worklist.Assigned},
		{"ira", "comment", map[string]string{"comment": "asked"}, worklist.Assigned},
		{"ira", "resolve", map[string]string{"reason": "revoked"}, worklist.Resolved},
		{"boss", "reopen", map[string]string{"reason": "was not"}, worklist.Open},
		{"ira", "except", map[string]string{"reason": "CHG-1", "until": until.Format(time.RFC3339)}, worklist.Excepted},
	} {
		got := s.act(nil, x.as, f, x.verb, x.body, http.StatusOK)
		taken := s.book.taken()
		if got.Finding.Status != x.status || len(got.History) != i+2 || len(taken) != 1 {
			t.Fatalf("%s: %s, %d entries, %d events; want %s, %d, 1", x.verb, got.Finding.Status, len(got.History), len(taken), x.status, i+2)
		}
		entry, e := got.History[i+1], taken[0]
		if entry.ActorSub != x.as || entry.EventID.String() != event.NewID("globex", api.Source, e.Source.EventID, e.Time) || !entry.Time.Equal(e.Time.Go()) {
			t.Errorf("%s: entry %+v, event %s", x.verb, entry, e.Canonical())
		}
		if e.Type != api.TypeChange || e.Tenant != "globex" || e.Subject.Sub != x.as || e.Decision.Action != x.verb+"-finding" || e.Outcome != event.Success || e.Attributes["finding"] != f.Key || e.Attributes["action"] != entry.Action {
			t.Errorf("%s: event %s", x.verb, e.Canonical())
		}
		e.ID, e.SchemaVersion, e.Source.ID, e.Source.Type = entry.EventID.String(), event.SchemaVersion, api.Source, api.Source
		if err := e.Validate(); err != nil {
			t.Errorf("%s: no valid event: %v", x.verb, err)
		}
	}
	after := get[actAnswer](s, "aud", "/api/v1/findings/"+f.Key)
	if last := after.History[len(after.History)-1]; !last.Until.Equal(until) || last.Comment != "CHG-1" || after.Finding.HandledBy != "ira" {
		t.Errorf("an auditor sees %+v, %+v", after.Finding, last)
	}
	s.book.taken()
	s.book.fail(true)
	s.act(nil, "ira", f, "reopen", map[string]string{"reason": "x"}, http.StatusServiceUnavailable)
	s.book.fail(false)
	if now := get[actAnswer](s, "ira", "/api/v1/findings/"+f.Key); now.Finding.Status != worklist.Excepted || len(now.History) != len(after.History) {
		t.Errorf("an act that could not be recorded had an effect: %+v", now.Finding)
	}
}

// What cannot be done is refused with what is wrong, is recorded as refused, and
// has no effect.
func TestActsAreRefused(t *testing.T) {
	t.Parallel()
	s, f := desk(t, api.Config{})
	day, year := time.Now().Add(24*time.Hour).Format(time.RFC3339), time.Now().AddDate(2, 0, 0).Format(time.RFC3339)
	for _, x := range []struct {
		as, verb string
		body     map[string]string
		status   int
		says     string
		outcome  event.Outcome
	}{
		{"aud", "acknowledge", map[string]string{}, 403, "permission handle", event.Denied},
		{"ira", "except", map[string]string{"reason": "x", "until": time.Now().Add(-time.Hour).Format(time.RFC3339)}, 422, "end that is to come", event.Error},
		{"ira", "except", map[string]string{"reason": "x", "until": year}, 422, "at most 366 days", event.Error},
		{"ira", "reopen", map[string]string{"reason": "x"}, 409, "the finding is open", event.Error},
		{"ira", "except", map[string]string{"until": day}, 422, "reason", ""},
		{"ira", "except", map[string]string{"reason": "x"}, 422, "until", ""},
		{"ira", "resolve", map[string]string{}, 422, "reason", ""},
		{"ira", "resolve", map[string]string{"reason": "x", "assignee": "y"}, 422, "assignee", ""},
		{"ira", "comment", map[string]string{"comment": strings.Repeat("x", 2001)}, 422, "comment", ""},
	} {
		a := s.as(x.as, http.MethodPost, "/api/v1/findings/"+f.Key+"/"+x.verb, x.body)
		if a.status != x.status || !strings.Contains(string(a.body), x.says) {
			t.Errorf("%s %v: %d %s, want %d and %q", x.verb, x.body, a.status, a.body, x.status, x.says)
		}
		taken := s.book.taken()
		if x.outcome == "" && len(taken) != 0 || x.outcome != "" && (len(taken) != 1 || taken[0].Outcome != x.outcome || taken[0].Type != api.TypeChange) {
			t.Errorf("%s %v: recorded %v", x.verb, x.body, taken)
		}
	}
	if now := get[actAnswer](s, "ira", "/api/v1/findings/"+f.Key); now.Finding.Status != worklist.Open || len(now.History) != 1 {
		t.Errorf("what was refused had an effect: %+v", now.Finding)
	}
	none := serve(t, api.Config{Connect: nowhere}, caller{"boss", api.Admin, []string{api.AllTenants}})
	if a := none.as("boss", http.MethodPost, "/api/v1/findings/ab/acknowledge", map[string]string{}); a.status != 503 {
		t.Errorf("without a database: %d %s", a.status, a.body)
	}
}

// A request that is repeated is one act; another one under its key is refused; and
// who acts on what has changed since is told so.
func TestActsOnce(t *testing.T) {
	t.Parallel()
	s, f := desk(t, api.Config{})
	key := http.Header{"Idempotency-Key": {"r-1"}}
	said := map[string]string{"comment": "seen"}
	first := s.act(key, "ann", f, "acknowledge", said, http.StatusOK)
	again := s.act(key, "ann", f, "acknowledge", said, http.StatusOK)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the repetition (-first +again):\n%s", diff)
	}
	s.act(key, "ann", f, "acknowledge", map[string]string{"comment": "other"}, http.StatusUnprocessableEntity)
	s.act(key, "ira", f, "acknowledge", said, http.StatusOK) // is another's key
	s.act(http.Header{"If-Match": {`"` + f.Revision + `"`}}, "ira", f, "resolve", map[string]string{"reason": "x"}, http.StatusPreconditionFailed)
	now := get[actAnswer](s, "ira", "/api/v1/findings/"+f.Key)
	if len(now.History) != 3 || now.Finding.Status != worklist.Acknowledged {
		t.Fatalf("%d entries, %s", len(now.History), now.Finding.Status)
	}
	// Of many who resolve what they all see, one does.
	var all sync.WaitGroup
	statuses := make([]int, 8)
	for i := range statuses {
		all.Go(func() {
			as := []string{"ann", "ira", "boss"}[i%3]
			statuses[i] = s.with(http.Header{"If-Match": {now.Finding.Revision}}, as, http.MethodPost, "/api/v1/findings/"+f.Key+"/resolve", map[string]string{"reason": "x"}).status
		})
	}
	all.Wait()
	count := map[int]int{}
	for _, status := range statuses {
		count[status]++
	}
	if count[http.StatusOK] != 1 || count[http.StatusPreconditionFailed] != len(statuses)-1 {
		t.Errorf("statuses %v", count)
	}
	resolved := get[actAnswer](s, "ira", "/api/v1/findings/"+f.Key)
	if got := s.act(http.Header{"If-Match": {`"` + resolved.Finding.Revision + `"`}}, "ira", f, "reopen", map[string]string{"reason": "x"}, http.StatusOK); got.Finding.Status != worklist.Open {
		t.Errorf("by its revision: %+v", got.Finding)
	}
}

// What people write may hold a secret; it is in neither the history nor the record.
func TestActsAreRedacted(t *testing.T) {
	t.Parallel()
	s, f := desk(t, api.Config{Redact: func(text string) string { return strings.ReplaceAll(text, "hunter2", "***") }})
	got := s.act(nil, "ann", f, "comment", map[string]string{"comment": "the key is hunter2"}, http.StatusOK)
	if got.History[1].Comment != "the key is ***" || strings.Contains(string(s.book.taken()[0].Canonical()), "hunter2") {
		t.Errorf("%+v", got.History[1])
	}
}

// Findings are narrowed and grouped by what the parameters say.
func TestFindingsAreNarrowed(t *testing.T) {
	t.Parallel()
	s, f := desk(t, api.Config{})
	s.act(nil, "ann", f, "assign", map[string]string{"assignee": "ira"}, http.StatusOK)
	for query, want := range map[string]bool{
		"assignee=ira": true, "assignee=ann": false, "status=assigned": true, "status=open": false, "status=all&identity=" + f.Identity: true, "identity=nobody": false,
		"chain=" + f.Chain: true, "chain=x": false, "rule=" + f.Rule: true, "severity=" + f.Severity: true,
	} {
		found := get[struct{ Findings []*worklist.Finding }](s, "ann", "/api/v1/findings?"+query).Findings
		has := false
		for _, x := range found {
			has = has || x.Key == f.Key
		}
		if has != want {
			t.Errorf("%s: %v, want %v", query, has, want)
		}
	}
	groups := get[struct{ Groups []*worklist.Group }](s, "ann", "/api/v1/findings/groups?by=chain").Groups
	if len(groups) == 0 || groups[0].Tenant != "globex" {
		t.Errorf("groups %+v", groups)
	}
}

// The history is held against the events of the log: what is altered, added or
// taken away in it is named, and what the API did is not.
func TestHistoryIsVerified(t *testing.T) {
	t.Parallel()
	c := tell(t)
	s := serve(t, api.Config{Connect: twoWalls(c), History: handler(t, c)}, caller{"ira", api.Responder, []string{"globex"}})
	found := get[struct{ Findings []*worklist.Finding }](s, "ira", "/api/v1/findings").Findings
	s.book.taken()
	key := http.Header{"Idempotency-Key": {"once"}}
	s.act(key, "ira", found[0], "assign", map[string]string{"assignee": "bob", "comment": "yours"}, http.StatusOK)
	s.act(key, "ira", found[0], "assign", map[string]string{"assignee": "bob", "comment": "yours"}, http.StatusOK)
	s.act(nil, "ira", found[0], "except", map[string]string{"reason": "known", "until": time.Now().Add(time.Hour).Format(time.RFC3339)}, http.StatusOK)
	s.act(nil, "ira", found[0], "except", map[string]string{"reason": "known", "until": time.Now().Add(-time.Hour).Format(time.RFC3339)}, http.StatusUnprocessableEntity)
	s.act(nil, "ira", found[1], "resolve", map[string]string{"reason": "done"}, http.StatusOK)
	s.act(nil, "ira", found[1], "comment", map[string]string{"comment": "more"}, http.StatusOK)
	var records []*table.Record
	events := s.book.taken()
	for i, e := range events { // as the gateway and the processor do
		e.ID, e.SchemaVersion, e.Source.ID, e.Source.Type, e.ObservedTime, e.Salt = event.NewID(e.Tenant, api.Source, e.Source.EventID, e.Time), event.SchemaVersion, api.Source, api.Source, e.Time, event.NewSalt()
		records = append(records, &table.Record{Position: table.Position{Topic: "custody.events", Epoch: "e", Partition: 7, Offset: int64(i)}, LogTime: e.Time.Go(), State: table.Stored, Raw: e.Canonical(), ContentHash: e.ContentHash(), Event: e})
	}
	c.Store(t, records...)
	differ := func(tenant string) (out []string) {
		t.Helper()
		list, err := worklist.Verify(t.Context(), c.Conn(embedded.Analyst), tenant, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			if d.Tenant != "globex" || d.EventID == uuid.Nil || d.Time.Unix() < 1 {
				t.Errorf("%+v", d)
			}
			out = append(out, d.Kind+" "+d.Action+" "+d.Actor)
		}
		slices.Sort(out)
		return out
	}
	if got := differ(""); len(got) != 0 || len(events) != 6 {
		t.Fatalf("%d events, untouched: %v", len(events), got)
	}
	admin := c.Conn(embedded.Admin)
	for _, statement := range []string{
		"ALTER TABLE finding_history UPDATE comment = 'nothing' WHERE action = 'assigned' SETTINGS mutations_sync = 1",
		"ALTER TABLE finding_history DELETE WHERE action = 'resolved' SETTINGS mutations_sync = 1",
		"INSERT INTO finding_history (tenant, key, time, id, action, actor_sub, comment, event_id) VALUES ('globex', '" + found[2].Key + "', now64(6), generateUUIDv4(), 'resolved', 'eve', 'x', generateUUIDv4())",
	} {
		if err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"altered assigned ira", "event_missing resolved eve", "row_missing resolved ira"}, differ("globex")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := differ("acme"); len(got) != 0 {
		t.Errorf("of another tenant: %v", got)
	}
}
