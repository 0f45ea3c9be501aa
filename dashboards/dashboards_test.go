package dashboards_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
}

// Every query gives its golden rows, asked as Grafana asks and asked as any
// client may.
func TestRows(t *testing.T) {
	t.Parallel()
	s := storeStory(t)
	tested := map[string]bool{}
	for _, b := range dashboards.All() {
		for _, q := range b.Queries() {
			if tested[q.File] && q.Variable {
				continue
			}
			tested[q.File] = true
			var got strings.Builder
			for _, v := range viewsOf(q) {
				answer, err := s.asGrafana(t, q, v)
				if err != nil {
					t.Fatalf("%s/%s %s: %v", b.Name, q.File, v.name(), err)
				}
				plain, err := s.asClient(t, q, v)
				if err != nil {
					t.Fatalf("%s/%s %s, as a client: %v", b.Name, q.File, v.name(), err)
				}
				if diff := cmp.Diff(answer, plain); diff != "" {
					t.Errorf("%s/%s %s: Grafana and a client differ (-Grafana +client):\n%s", b.Name, q.File, v.name(), diff)
				}
				got.WriteString("== " + v.name() + "\n" + answer)
			}
			folder := b.Name
			if q.Variable {
				folder = "variable"
			}
			golden(t, filepath.Join("testdata", folder, q.File+".golden"), got.String())
		}
	}
}

// viewsOf are the views in which the query's parameters differ.
func viewsOf(q *board.Query) []view {
	var out []view
	asked := map[string]bool{}
	for _, v := range views {
		key := ""
		for _, name := range []string{"tenant", "server", "agent", "start"} {
			if strings.Contains(q.SQL, "{"+name+":") {
				key += v.variables[name] + "\x00"
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
	for _, name := range []string{"tenant", "server", "agent", "start"} {
		if value := v.variables[name]; value != "" && value != board.All {
			chosen = append(chosen, name+"="+value)
		}
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
