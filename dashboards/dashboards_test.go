package dashboards_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/dashboards"
	"github.com/custody-audit/custody/dashboards/board"
	"github.com/custody-audit/custody/schemas/story"
)

var update = flag.Bool("update", false, "write the golden files anew")

// views are what each query is asked for; the name is the variables chosen.
var views = []view{
	morning(),
	morning("tenant", "acme", "server", "github-mcp", "agent", "planner"),
	morning("tenant", "globex"),
	morning("tenant", "nobody"),
	morning("start", story.Named("deploy-call").Token.Ref),
	morning("start", story.Named("refund-call").Correlation.TraceID),
	morning("start", "ivy"),
	morning("start", "nobody"),
	morning("severity", "high"),
	morning("review", reviewID),
	// What the story is too short for, and what leads to evidence.
	{board: "privilege", View: board.View{From: time.Date(2026, 10, 5, 11, 20, 0, 0, time.UTC), To: morning().To, Interval: 10 * time.Minute, Variables: morning("tenant", "initech").Variables}},
	{board: "evidence", View: board.View{From: morning().From, To: morning().To, Interval: morning().Interval, Variables: morning("start", findingOf("call_after_deny")).Variables}},
	{board: "evidence", View: board.View{From: morning().From, To: morning().To, Interval: morning().Interval, Variables: morning("start", story.Named("deploy-call").ID).Variables}},
}

// variableNames are all that a query may use.
var variableNames = []string{"tenant", "server", "agent", "start", "severity", "review"}

// Every query gives its golden rows, asked as Grafana asks and asked as any
// client may.
func TestRows(t *testing.T) {
	t.Parallel()
	s := storeStory(t)
	tested := map[string]bool{}
	for _, b := range dashboards.All() {
		t.Run(b.Name, func(t *testing.T) {
			for _, q := range b.Queries() {
				folder := b.Name
				if q.Variable {
					folder = "variable"
				}
				if file := filepath.Join("testdata", folder, q.File+".golden"); !tested[file] {
					tested[file] = true
					golden(t, file, s.rows(t, b, q))
				}
			}
		})
	}
}

// rows asks a query in every view, both ways.
func (s *store) rows(t *testing.T, b *board.Board, q *board.Query) string {
	t.Helper()
	var got strings.Builder
	for _, v := range viewsOf(b, q) {
		answer, err := s.asGrafana(t, q, v)
		if err != nil {
			t.Errorf("%s/%s %s: %v", b.Name, q.File, v.name(), err)
			continue
		}
		plain, err := s.asClient(t, q, v)
		if err != nil {
			t.Errorf("%s/%s %s, as a client: %v", b.Name, q.File, v.name(), err)
		}
		if diff := cmp.Diff(answer, plain); diff != "" {
			t.Errorf("%s/%s %s: Grafana and a client differ (-Grafana +client):\n%s", b.Name, q.File, v.name(), diff)
		}
		got.WriteString("== " + v.name() + "\n" + answer)
	}
	return got.String()
}

// viewsOf are the views in which the query's parameters differ.
func viewsOf(b *board.Board, q *board.Query) []view {
	var out []view
	asked := map[string]bool{}
	for _, v := range views {
		if v.board != "" && (v.board != b.Name || q.Variable) {
			continue
		}
		key := ""
		if v.From != morning().From {
			key = v.From.String()
		}
		for _, name := range variableNames {
			if strings.Contains(q.SQL, "{"+name+":") {
				key += v.Variables[name] + "\x00"
			}
		}
		if !asked[key] {
			out = append(out, v)
		}
		asked[key] = true
	}
	return out
}

func (v view) name() string {
	var chosen []string
	for _, name := range variableNames {
		if value := v.Variables[name]; value != "" && value != board.All {
			chosen = append(chosen, name+"="+value)
		}
	}
	if v.From != morning().From {
		chosen = append(chosen, "from "+v.From.Format("15:04"))
	}
	if chosen == nil {
		return "everything"
	}
	return strings.Join(chosen, " ")
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
		return
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func query(t *testing.T, dashboard, file string) *board.Query {
	t.Helper()
	for _, b := range dashboards.All() {
		for _, q := range b.Queries() {
			if b.Name == dashboard && q.File == file {
				return q
			}
		}
	}
	t.Fatalf("no query %s/%s", dashboard, file)
	return nil
}
