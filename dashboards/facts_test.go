package dashboards_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/deploy/embedded"
	evidence "github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/evidence/review"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/processor/privilege"
	"github.com/custody-audit/custody/processor/verdict"
	"github.com/custody-audit/custody/processor/worklist"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// What is found in the story, what people do about it and an access review of it
// lie in files, as the real rules and the real review make them: to make them
// takes longer than to ask about them. [TestStored] makes them and compares; the
// clock is the story's.
var storedTables = []string{"finding_states", "finding_history", "reviews", "review_lines", "review_acts"}

const (
	reviewID = "00000000-0000-4000-8000-00000000000a"
)

// owned says who answers for whom in the story: not for everybody.
var owned = enrich.NewSnapshot(map[string]*enrich.Registry{
	"acme": {Principals: []enrich.Principal{
		{Iss: "https://idp.acme.example", Sub: "planner", Owner: "alice@acme.example"}, {Iss: "https://idp.acme.example", Sub: "alice", Owner: "alice@acme.example"},
	}},
	"initech": {
		Principals: []enrich.Principal{{Iss: "https://login.initech.example", Sub: "runner", Owner: "ivy@initech.example"}},
		Servers:    []enrich.Server{{ID: "payroll-mcp", Owner: "ivy@initech.example"}},
	},
})

// before is what happened months before the story: the runner could approve
// payments, and did not.
func before() *event.Event {
	e := story.Named("triage-call")
	e.Time = event.TimeOf(time.Date(2026, 6, 10, 9, 0, 0, 0, time.UTC))
	e.ObservedTime, e.Server, e.Tool.Name = e.Time, story.Named("payslip-call").Server, "list_salaries"
	e.Source.EventID, e.Source.Sequence, e.Correlation = "long-ago", 0, event.Correlation{}
	e.Token.Ref, e.Token.JTI, e.Token.Scope = "sha256:"+strings.Repeat("a", 43), "", []string{"payroll:approve"}
	e.Token.IssuedAt, e.Token.ExpiresAt = e.Time, event.TimeOf(e.Time.Go().Add(30*time.Minute))
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	return e
}

// takeIn runs the passes that keep privileges and who was heard of.
func (s *store) takeIn(t testing.TB) {
	t.Helper()
	conn := s.clickhouse.Conn(embedded.Detector)
	p, err1 := privilege.New(privilege.Config{ClickHouse: conn})
	v, err2 := verdict.New(verdict.Config{ClickHouse: conn, Sessions: s.clickhouse.Sessions(embedded.Detector)})
	e, err3 := enrich.NewEngine(enrich.EngineConfig{ClickHouse: conn, Logger: slog.New(slog.DiscardHandler),
		Passes: []enrich.Pass{{Name: "verdict", Take: v.Take}, {Name: "privilege", Take: p.Take}}})
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// load stores the rows of the files.
func (s *store) load(t testing.TB) {
	t.Helper()
	admin := s.clickhouse.Conn(embedded.Admin)
	for _, name := range storedTables {
		text, err := os.ReadFile(storedFile(name))
		if err != nil {
			t.Fatalf("%v: run \"go test ./dashboards -run TestStored -update\"", err)
		}
		var structure string
		if err := admin.QueryRow(t.Context(), "SELECT arrayStringConcat(groupArray(concat(name, ' ', type)), ', ') FROM (SELECT name, type FROM system.columns WHERE database = 'custody' AND table = $1 AND default_kind != 'ALIAS' ORDER BY position)", name).Scan(&structure); err != nil {
			t.Fatal(err)
		}
		ctx := clickhouse.Context(t.Context(), clickhouse.WithParameters(clickhouse.Parameters{"structure": escape(structure), "rows": escape(string(text))}))
		if err := admin.Exec(ctx, "INSERT INTO "+name+" SELECT * FROM format(JSONEachRow, {structure:String}, {rows:String})"); err != nil {
			t.Fatalf("load %s: %v", name, err)
		}
	}
}

// escape writes a text as ClickHouse reads the value of a String parameter.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`).Replace(text)
}

func storedFile(table string) string { return filepath.Join("testdata", "store", table+".jsonl") }

// findingOf returns the key of the finding of a rule in the files.
func findingOf(rule string) string {
	text, _ := os.ReadFile(storedFile("finding_states"))
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, `"rule":"`+rule+`"`) {
			_, key, _ := strings.Cut(line, `"key":"`)
			key, _, _ = strings.Cut(key, `"`)
			return key
		}
	}
	return "no such finding"
}

// The files are what the rules find in the story, what is done about it below, and
// the access review that is made of both; told with the story's clock.
func TestStored(t *testing.T) {
	t.Parallel()
	s := storeEvents(t)
	s.takeIn(t)
	admin := s.clickhouse.Conn(embedded.Admin)
	engine, err := detect.New(detect.Config{ClickHouse: s.clickhouse.Conn(embedded.Detector), Sessions: s.clickhouse.Sessions(embedded.Detector), Logger: slog.New(slog.DiscardHandler), Rules: told(t)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.storeAnomaly(t, admin)
	s.actOnFindings(t, admin)
	s.reviewed(t, admin)
	for _, name := range storedTables {
		got := s.dump(t, admin, name)
		if strings.Count(got, "\n") < 1 {
			t.Errorf("%s has no rows", name)
		}
		golden(t, storedFile(name), got)
	}
}

// told are the rules that go by the story, not by the present.
func told(t *testing.T) (out []*detect.Rule) {
	t.Helper()
	rules, err := detect.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		switch r.ID {
		case "emitter_silent", "unused_grant", "over_scoped_token", "dormant_identity":
		default:
			out = append(out, r)
		}
	}
	return out
}

// storeAnomaly adds what the story is too short for, as rule volume_anomaly words it.
func (s *store) storeAnomaly(t testing.TB, admin driver.Conn) {
	t.Helper()
	subject := []string{"https://idp.acme.example", "planner", "2026-10-05"}
	err := admin.Exec(t.Context(), `INSERT INTO finding_states SELECT 'acme', $1, 'volume_anomaly', 1, $2, 'medium', 'open', 'An identity made far more calls in an hour than it usually does',
		'planner: 310 calls in the hour from 2026-10-05 09:00 UTC; Mondays around 9h usually 11 to 17 (median 14, MAD 2), 6 weeks; odd above 36.2', '', 'planner', 'github-mcp', '', '', '', '',
		[toUUID($3)], '2026-10-05 09:00:01', '2026-10-05 09:45:00', 'recorded', 'every call that was stored is counted', [], now64(6), now64(6)`,
		detect.Key("acme", "volume_anomaly", subject), subject, story.Named("merge-call").ID)
	if err != nil {
		t.Fatal(err)
	}
}

// actOnFindings does something about four of them.
func (s *store) actOnFindings(t testing.TB, admin driver.Conn) {
	t.Helper()
	list, err := worklist.List(t.Context(), admin, worklist.Filter{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	at := func(minute int) time.Time { return time.Date(2026, 10, 5, 12, minute, 0, 0, time.UTC) }
	acts := map[string][]worklist.Act{
		"call_after_deny":       {{Time: at(0), Action: worklist.Acknowledge}, {Time: at(1), Action: worklist.Assign, Assignee: "dora"}},
		"scope_widening":        {{Time: at(1), Action: worklist.Acknowledge}, {Time: at(3), Action: worklist.Resolve, Comment: "the client asks for less now"}},
		"static_credential":     {{Time: at(2), Action: worklist.Except, Until: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), Comment: "until payroll is replaced"}},
		"call_without_decision": {{Time: at(2), Action: worklist.Comment, Comment: "asked the owner"}},
	}
	done := 0
	for _, f := range list {
		for i, a := range acts[f.Rule] {
			a.ID, a.ActorSub = uuid.NewSHA1(uuid.Nil, fmt.Append(nil, f.Key, i)), "carol"
			if err := worklist.Append(t.Context(), admin, f, &a); err != nil {
				t.Fatal(err)
			}
			done++
		}
	}
	if done != 6 {
		t.Fatalf("%d acts on %d findings", done, len(list))
	}
}

// reviewed makes an access review of initech, in which the first lines are decided.
func (s *store) reviewed(t testing.TB, admin driver.Conn) {
	t.Helper()
	for _, tenant := range []string{"initech"} {
		if _, err := enrich.Store(t.Context(), admin, tenant, owned.Registry(tenant), "import", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
			t.Fatal(err)
		}
	}
	reader, err := evidence.New(evidence.Config{ClickHouse: s.analyst, Tenant: "initech"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 10, 5, 12, 4, 0, 0, time.UTC)
	r, err := review.Freeze(t.Context(), review.Source{ClickHouse: s.analyst, Reader: reader}, review.Request{
		ID: uuid.MustParse(reviewID), Name: "The third quarter", Now: now, CreatedBy: "carol",
		Scope: review.Scope{Tenant: "initech", From: now.Add(-4 * time.Hour), To: now, WindowDays: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Samples, r.Gaps, r.Coverage = []review.Sample{}, []review.Gap{}, []evidence.SourceCoverage{} // drawn by lot, or by the clock of the findings
	r.EventID = uuid.NewSHA1(uuid.Nil, []byte("created"))
	if err := review.Put(t.Context(), admin, r); err != nil {
		t.Fatal(err)
	}
	for i, action := range []review.Action{review.Revoke, review.Certify, review.Except} {
		a := &review.Act{ID: uuid.NewSHA1(uuid.Nil, []byte{byte(i)}), Line: r.Lines[i].Key, Time: now.Add(time.Duration(i) * 10 * time.Second), Action: string(action), ActorSub: "ivy", Reason: "by the owner", EventID: uuid.NewSHA1(uuid.Nil, []byte{9, byte(i)})}
		if action == review.Except {
			a.Until = now.AddDate(0, 1, 0)
		}
		if err := review.Append(t.Context(), admin, r, a); err != nil {
			t.Fatal(err)
		}
	}
}

// dump returns the rows of a table as JSON, one a line. What the detections did
// they did a minute after the last event of a finding.
func (s *store) dump(t testing.TB, admin driver.Conn, name string) string {
	t.Helper()
	columns := map[string]string{
		"finding_states":  "* REPLACE (last_seen + 60 AS opened_time, last_seen + 60 AS changed_time)",
		"finding_history": "h.* REPLACE (if(h.actor_sub = '', f.last_seen + 60, h.time) AS time, if(h.actor_sub = '', toUUID(UUIDNumToString(toFixedString(unhex(substring(toString(h.key), 1, 32)), 16))), h.id) AS id)",
	}[name]
	if columns == "" {
		columns = "*"
	}
	var rows []string
	from := map[string]string{
		"finding_history": "finding_history AS h INNER JOIN finding_states AS f FINAL ON f.tenant = h.tenant AND f.key = h.key", "review_acts": name,
	}[name]
	if from == "" {
		from = name + " FINAL"
	}
	sql := "SELECT arraySort(groupArray(trimRight(formatRow('JSONEachRow', t.*), '\n'))) FROM (SELECT " + columns + " FROM " + from + ") AS t SETTINGS output_format_json_quote_64bit_integers = 0, date_time_output_format = 'iso'"
	if err := admin.QueryRow(t.Context(), sql).Scan(&rows); err != nil {
		t.Fatalf("dump %s: %v", name, err)
	}
	return strings.Join(rows, "\n") + "\n"
}
