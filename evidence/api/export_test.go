package api_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/parquet-go/parquet-go"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// stream asks for an export and returns what came with its trailers.
func (s *server) stream(id, target string) (answer, error) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), http.MethodGet, s.url+target, nil)
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.keys[id])
	res, err := s.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	for name, values := range res.Trailer {
		res.Header[name] = values
	}
	return answer{res.StatusCode, res.Header, b}, err
}

// An export is the tenant's events in a form, says how many there are and what it
// leaves out, and is recorded when it begins and when it ends.
func TestExport(t *testing.T) {
	t.Parallel()
	s := serve(t, api.Config{Connect: twoWalls(tell(t)), Limits: api.Limits{ExportRows: 40}}, caller{"audit", api.Auditor, []string{"acme"}}, caller{"soc", api.Analyst, []string{"acme"}})
	want := map[string]bool{}
	for _, e := range ofTenant("acme") {
		want[e.ID] = true
	}
	count := map[string]func([]byte) (int, error){
		"ndjson": func(b []byte) (int, error) {
			n := 0
			for line := range bytes.Lines(b) {
				e, err := event.Decode(bytes.TrimSpace(line))
				if err != nil || !want[e.ID] {
					return 0, fmt.Errorf("%s: %w", line, err)
				}
				n++
			}
			return n, nil
		},
		"ocsf": func(b []byte) (int, error) {
			n := 0
			for d := json.NewDecoder(bytes.NewReader(b)); d.More(); n++ {
				var o struct {
					Class int `json:"class_uid"`
				}
				if err := d.Decode(&o); err != nil || o.Class != 6003 {
					return 0, fmt.Errorf("class %d: %w", o.Class, err)
				}
			}
			return n, nil
		},
		"csv": func(b []byte) (int, error) {
			rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
			return len(rows) - 1, err
		},
		"parquet": func(b []byte) (int, error) {
			f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				return 0, err
			}
			return int(f.NumRows()), nil
		},
	}
	for format, rows := range count {
		for _, limit := range []int{0, 5} {
			target, n := "/api/v1/export?format="+format, len(want)
			if limit > 0 {
				target, n = target+fmt.Sprint("&limit=", limit), limit
			}
			s.book.taken()
			a, err := s.stream("audit", target)
			if err != nil || a.status != http.StatusOK {
				t.Fatalf("%s: %d %s %v", target, a.status, a.body, err)
			}
			if got, err := rows(a.body); err != nil || got != n || a.header.Get("Custody-Rows") != fmt.Sprint(n) || (a.header.Get("Custody-Cut") != "") != (limit > 0) {
				t.Errorf("%s: %d rows, %v; want %d; trailers %v", target, got, err, n, a.header)
			}
			taken := s.book.taken()
			if len(taken) != 2 || taken[0].Attributes["stage"] != "begun" || taken[1].Attributes["stage"] != "ended" || taken[1].Attributes["rows"] != fmt.Sprint(n) ||
				taken[0].Correlation.RequestID == "" || taken[0].Correlation.RequestID != taken[1].Correlation.RequestID {
				t.Errorf("%s: recorded %v", target, taken)
			}
		}
	}
	for target, status := range map[string]int{
		"/api/v1/export?limit=41": 422, "/api/v1/export?format=xml": 422, "/api/v1/export?filter=nofield:x": 422, "/api/v1/export?filter=@nobody": 422, "/api/v1/export?tenant=globex": 403,
	} {
		s.book.taken()
		if a := s.as("audit", "GET", target, nil); a.status != status || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", target, a.status, a.body)
		}
	}
	if a := s.as("soc", "GET", "/api/v1/export", nil); a.status != 403 {
		t.Errorf("an analyst exports: %d", a.status)
	}
	if a, err := s.stream("audit", "/api/v1/export?filter=tool:nothing"); err != nil || a.status != 200 || len(a.body) != 0 || a.header.Get("Custody-Rows") != "0" {
		t.Errorf("an empty export: %d %s %v", a.status, a.body, err)
	}
	s.book.fail(true)
	if a := s.as("audit", "GET", "/api/v1/export", nil); a.status != 503 || bytes.Contains(a.body, []byte("acme")) {
		t.Errorf("an export that cannot be recorded: %d %s", a.status, a.body)
	}
}

// flaky is a connection that answers its first query only.
type flaky struct {
	driver.Conn
	asked int
}

func (f *flaky) Query(ctx context.Context, sql string, args ...any) (driver.Rows, error) {
	if f.asked++; f.asked > 1 {
		return nil, errors.New("clickhouse is gone")
	}
	return f.Conn.Query(ctx, sql, args...)
}

// An export that cannot be finished cannot be taken for one that is.
func TestExportBreaksOff(t *testing.T) {
	t.Parallel()
	c := embeddedtest.StartClickHouse(t, "acme")
	var records []*table.Record
	for n := range 6000 { // more than is asked for at a time
		e := story.Named("deploy-call")
		e.ID = event.NewID(e.Tenant, e.Source.ID, fmt.Sprint(n), e.Time)
		records = append(records, &table.Record{Position: table.Position{Topic: "custody.events", Epoch: "e", Offset: int64(n)}, LogTime: e.ObservedTime.Go(),
			State: table.Stored, Raw: e.Canonical(), ContentHash: e.ContentHash(), Event: e})
	}
	c.Store(t, records...)
	connect := func(string) (driver.Conn, error) { return &flaky{Conn: c.Conn(embedded.Analyst)}, nil }
	s := serve(t, api.Config{Connect: connect}, caller{"audit", api.Auditor, []string{"acme"}})
	soon := story.Named("deploy-call").Time.Go().Add(time.Minute).Format(time.RFC3339) // so that its first question finds a page of them
	a, err := s.stream("audit", "/api/v1/export?filter=before:"+soon)
	if err == nil || a.status != 200 || bytes.Count(a.body, []byte("\n")) == 0 || a.header.Get("Custody-Rows") != "" {
		t.Errorf("%d, %d bytes, %v: want it cut off", a.status, len(a.body), err)
	}
	if taken := s.book.taken(); len(taken) != 2 || taken[1].Attributes["stage"] != "broken off" || taken[1].Outcome != event.Error {
		t.Errorf("recorded %v", taken)
	}
}

// A statement is a question, within limits, about the caller's own tenant.
func TestSQL(t *testing.T) {
	t.Parallel()
	s := serve(t, api.Config{Connect: twoWalls(tell(t)), Limits: api.Limits{Rows: 1000}}, caller{"soc", api.Analyst, []string{"acme"}}, caller{"audit", api.Auditor, []string{"acme"}})
	type table struct {
		Columns []struct{ Name, Type string }
		Rows    [][]any
		Cut     []string
	}
	question := func(statement string, limit int) (answer, table) {
		t.Helper()
		a := s.as("soc", "POST", "/api/v1/sql", map[string]any{"statement": statement, "limit": limit})
		var got table
		if a.status == 200 {
			if err := json.Unmarshal(a.body, &got); err != nil {
				t.Fatal(err)
			}
		}
		return a, got
	}
	if a, got := question("SELECT tenant, count() AS n FROM events GROUP BY tenant", 10); a.status != 200 || len(got.Rows) != 1 || got.Rows[0][0] != "acme" || got.Columns[1].Name != "n" || len(got.Cut) != 0 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if e := s.book.taken()[0]; !strings.HasPrefix(e.Attributes["body.statement"], "SELECT tenant") || e.Attributes["rows"] != "1" {
		t.Errorf("recorded %s", e.Canonical())
	}
	if a, got := question("SELECT number, repeat('x', 1000) FROM numbers(1000000)", 3); a.status != 200 || len(got.Rows) != 3 || len(got.Cut) != 1 {
		t.Errorf("a long answer: %d %.300s", a.status, a.body)
	}
	for statement, want := range map[string]struct {
		status int
		says   string
	}{
		"SELECT nan":                     {422, "toString"},
		"SELECT colour FROM events":      {422, "colour"},
		"SELECT FROM WHERE":              {422, "body.statement"},
		"DROP TABLE records":             {422, "want SELECT"},
		"SELECT * FROM system.query_log": {422, "body.statement"},
		"SELECT groupArray(number) FROM numbers(10000000) SETTINGS max_memory_usage = 1000000": {422, "more memory"},
		"SELECT sleepEachRow(3) FROM numbers(20) SETTINGS max_execution_time = 2":              {504, "no answer within"},
		// What is refused because of other tenants' rows, or says what is in them, would tell of them.
		"SELECT count() FROM events WHERE throwIf(tenant = 'globex', 'seen') = 0": {200, `"rows":[[`},
		"SELECT throwIf(1, source_id) FROM events WHERE tenant = 'globex'":        {422, "body.statement"},
	} {
		if a, _ := question(statement, 10); a.status != want.status || !strings.Contains(string(a.body), want.says) || strings.Contains(string(a.body), "globex-") {
			t.Errorf("%s: %d %s", statement, a.status, a.body)
		}
	}
	if a, _ := question("SELECT 1", 1001); a.status != 422 || !strings.Contains(string(a.body), "body.limit") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := s.as("audit", "POST", "/api/v1/sql", map[string]any{"statement": "SELECT 1"}); a.status != 403 {
		t.Errorf("an auditor asks in SQL: %d %s", a.status, a.body)
	}
}

// Saved filters are the tenant's own, stand for their text, and their changes are
// recorded as such.
func TestSavedQueries(t *testing.T) {
	t.Parallel()
	s := serve(t, api.Config{Connect: twoWalls(tell(t)), QueriesDir: t.TempDir()},
		caller{"soc", api.Analyst, []string{"acme"}}, caller{"other", api.Analyst, []string{"globex"}}, caller{"audit", api.Auditor, []string{"acme"}})
	save := func(as, name, filter string) answer {
		return s.as(as, "PUT", "/api/v1/queries/"+name, map[string]string{"filter": filter, "description": "why"})
	}
	if a := save("soc", "deploys", "tool:deploy_service"); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if e := s.book.taken()[0]; e.Type != api.TypeChange || e.Attributes["body.filter"] != "tool:deploy_service" || e.Attributes["path"] != "/api/v1/queries/deploys" {
		t.Errorf("recorded %s", e.Canonical())
	}
	page := get[struct{ Events []*event.Event }](s, "soc", "/api/v1/events?filter=@deploys+kind:tool_invocation")
	if len(page.Events) != 1 || page.Events[0].Source.EventID != "deploy-call" {
		t.Errorf("%v", page.Events)
	}
	for what, a := range map[string]answer{
		"a filter that is none":       save("soc", "bad", "nofield:x"),
		"a name that nobody has":      save("soc", "bad", "@nobody"),
		"another tenant's name":       s.as("other", "GET", "/api/v1/events?filter=@deploys", nil),
		"a name that is a path":       save("soc", "..%2Fglobex", "last:1h"),
		"a name with capital letters": save("soc", "Deploys", "last:1h"),
		"another tenant's, removed":   s.as("other", "DELETE", "/api/v1/queries/deploys", nil),
		"an auditor who saves":        save("audit", "mine", "last:1h"),
	} {
		if a.status != 422 && a.status != 404 && a.status != 403 || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	type queries struct {
		Queries []struct{ Name, Filter string }
	}
	if got := get[queries](s, "audit", "/api/v1/queries"); len(got.Queries) != 1 || got.Queries[0].Name != "deploys" {
		t.Errorf("%v", got)
	}
	if a := s.as("soc", "DELETE", "/api/v1/queries/deploys", nil); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if got := get[queries](s, "soc", "/api/v1/queries"); len(got.Queries) != 0 {
		t.Errorf("%v", got)
	}
}
