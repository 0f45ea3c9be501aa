package dashboards_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/custody-audit/custody/dashboards"
	"github.com/custody-audit/custody/dashboards/board"
	"github.com/custody-audit/custody/deploy/bench"
)

// narrowing are the columns of tables that grow with the events by which an index
// leaves out most of them. A bound on the time is none where the key comes first: of
// event_keys it leaves nothing out.
var narrowing = map[string]*regexp.Regexp{
	"custody.records":              regexp.MustCompile(`\b(time|log_time|id|trace_id|task_id)\b`),
	"custody.event_keys":           regexp.MustCompile(`\bkey\b`),
	"custody.token_lineage_states": regexp.MustCompile(`\bref\b`),
	"custody.source_sequences":     regexp.MustCompile(`\blog_time\b`),
	"custody.verdict_states":       regexp.MustCompile(`\b(time|log_time)\b`),
}

// whole are the queries that read such a table from one end to the other, each with
// its reason.
var whole = map[string]string{}

// No query reads more than its budget, in proportion for fewer events than those that
// budgets are of; and every budget is a query's.
func TestBudgets(t *testing.T) {
	t.Parallel()
	const events = 200_000
	costs, err := bench.Dashboards(t.Context(), bench.LoadConfig{Dir: t.TempDir(), Sizes: []int{events}, Base: events, Days: 30, Seed: 1, Asked: 1, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	budgets, err := dashboards.Budgets()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range costs {
		if c.Over() {
			t.Errorf("%s reads %d rows of %d events, its budget is %d", c.Name, c.Read, events, c.Budget)
		}
		delete(budgets, c.Name)
	}
	for name := range budgets {
		t.Errorf("budget.txt: %s is no query", name)
	}
}

// Every query that reads a table of the events' size uses an index of it. Scalar
// subqueries and some sets are asked while ClickHouse plans and are not in the plan:
// the rows that they read count in [TestBudgets].
func TestIndexes(t *testing.T) {
	t.Parallel()
	s := storeStory(t)
	read, asked := 0, map[string]bool{}
	for _, b := range dashboards.All() {
		for _, q := range b.Queries() {
			name := b.Name + "/" + q.File
			if q.Variable && asked["variable/"+q.File] {
				continue
			}
			asked[name], asked["variable/"+q.File] = true, true
			needed := false
			for _, v := range startsOf(b, q) {
				for _, r := range s.reads(t, q, v) {
					read++
					if columns := narrowing[r.table]; columns != nil && !slices.ContainsFunc(r.conditions, columns.MatchString) {
						if needed = true; whole[name] == "" {
							t.Errorf("%s, %s: reads all of %s: %v", name, v.name(), r.table, r.conditions)
						}
					}
				}
			}
			if whole[name] != "" && !needed {
				t.Errorf("%s is listed to read all of a table and does not", name)
			}
		}
	}
	for name := range whole {
		if !asked[name] {
			t.Errorf("%s is listed and is no query", name)
		}
	}
	if read < 100 {
		t.Errorf("%d reads of tables in all plans", read)
	}
}

// startsOf are the views of everything that differ in what is typed into "start": a
// tenant, server or agent chosen only narrows them.
func startsOf(b *board.Board, q *board.Query) (out []view) {
	for _, v := range viewsOf(b, q) {
		if v.Variables["tenant"] == board.All && v.Variables["severity"] == board.All && v.Variables["review"] == board.All {
			out = append(out, v)
		}
	}
	return out
}

// tableRead is a reading of a table in a plan, with the conditions of the indexes used.
type tableRead struct {
	table      string
	conditions []string
}

// planNode is what EXPLAIN writes of a step.
type planNode struct {
	Type        string `json:"Node Type"`
	Description string
	Indexes     []struct{ Type, Condition string }
	Plans       []planNode
}

// reads returns what a query reads, by its plan.
func (s *store) reads(t testing.TB, q *board.Query, v view) []tableRead {
	t.Helper()
	rows, err := s.analyst.Query(t.Context(), "EXPLAIN json = 1, indexes = 1 "+v.statement(t, q))
	if err != nil {
		t.Fatalf("%s.sql, %s: %v", q.File, v.name(), err)
	}
	defer rows.Close()
	var text strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		text.WriteString(line)
	}
	var plans []struct{ Plan planNode }
	if err := json.Unmarshal([]byte(text.String()), &plans); err != nil || rows.Err() != nil {
		t.Fatalf("%s.sql: read the plan: %v, %v", q.File, err, rows.Err())
	}
	var out []tableRead
	for _, p := range plans {
		out = append(out, p.Plan.reads()...)
	}
	return out
}

func (n planNode) reads() (out []tableRead) {
	if n.Type == "ReadFromMergeTree" {
		r := tableRead{table: n.Description}
		for _, i := range n.Indexes {
			r.conditions = append(r.conditions, fmt.Sprintf("%s: %s", i.Type, i.Condition))
		}
		out = append(out, r)
	}
	for _, p := range n.Plans {
		out = append(out, p.reads()...)
	}
	return out
}
