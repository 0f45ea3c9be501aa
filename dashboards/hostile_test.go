package dashboards_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/dashboards"
	"github.com/custody-audit/custody/dashboards/board"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// hostile are values that end a literal, a comment, a macro or a variable in one
// way of quoting or another. An address in a link can carry any of them.
var hostile = []string{
	`' OR 1=1 --`,
	`\' OR 1=1 --`,
	`\`,
	`'') OR ('1'='1`,
	`" OR "1"="1`,
	"` OR 1=1 --",
	`*' UNION ALL SELECT raw FROM records --`,
	`'; DROP TABLE records; --`,
	`$__timeFilter(time)`,
	`$__fromTime_ms OR 1=1`,
	`${tenant:raw}`,
	`[[tenant]]`,
	`{tenant:String}`,
	`%27 OR 1=1 --`,
	`%' OR tenant LIKE '%`,
	"acme\x00' OR 1=1 --",
	"acme\n-- ' OR 1=1",
	"/* acme */ '",
	"ａｃｍｅ' OR 'ü'='ü",
	"_cme",
}

// A hostile value in any variable of any query finds what nobody of that name
// would find, asked as Grafana asks: the same rows, and never an error. That all
// the values reach ClickHouse alike is in TestHostileText and TestHostileNameIsFound.
func TestHostileValues(t *testing.T) {
	t.Parallel()
	s := storeStory(t)
	each(t, func(t *testing.T, q *board.Query, name string) {
		nobody, err := s.asGrafana(t, q, morning(name, "nobody"))
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range []string{hostile[0], hostile[1], strings.Join(hostile, "\n")} {
			got, err := s.asGrafana(t, q, morning(name, value))
			if err != nil {
				t.Errorf("%s %s=%q: %v", q.File, name, value, err)
			} else if got != nobody {
				t.Errorf("%s %s=%q finds\n%s", q.File, name, value, got)
			}
		}
	})
}

// With every hostile value, all that changes in the text of a query is letters,
// digits and "-_.~%" between the quotes that are ours.
func TestHostileText(t *testing.T) {
	each(t, func(t *testing.T, q *board.Query, name string) {
		const mark = "m4rk"
		parts := strings.Split(morning(name, mark).Interpolate(q.RawSQL), "decodeURLComponent('"+mark+"')")
		if len(parts) < 2 {
			t.Errorf("%s does not use %s", q.File, name)
		}
		for _, value := range hostile {
			v := morning(name, value)
			encoded := v.Interpolate("${" + name + ":percentencode}")
			if strings.Trim(encoded, "-_.~%0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
				t.Errorf("%q is encoded as %q", value, encoded)
			}
			if got, want := v.Interpolate(q.RawSQL), strings.Join(parts, "decodeURLComponent('"+encoded+"')"); got != want {
				t.Errorf("%s %s=%q:\n%s", q.File, name, value, cmp.Diff(want, got))
			}
		}
	})
}

// each calls check for every variable of every query, those of variables once.
func each(t *testing.T, check func(t *testing.T, q *board.Query, variable string)) {
	t.Helper()
	seen := map[string]bool{}
	for _, b := range dashboards.All() {
		t.Run(b.Name, func(t *testing.T) {
			checked := 0
			for _, q := range b.Queries() {
				if q.Variable && seen[q.File] {
					continue
				}
				seen[q.File] = seen[q.File] || q.Variable
				for _, name := range variablesOf(q.SQL) {
					check(t, q, name)
					checked++
				}
			}
			if checked < 3 {
				t.Errorf("only %d variables looked at", checked)
			}
		})
	}
}

// A tenant of a hostile name is found by it, and only it: the value arrives whole.
func TestHostileNameIsFound(t *testing.T) {
	s := storeStory(t)
	q := dashboards.All()[0].Queries()[1] // the servers of a tenant
	for _, value := range hostile {
		e := story.Named("deploy-call")
		e.Tenant, e.Server.ID = value, "server of "+value
		e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
		s.insert(t, e)
		got, err := s.asGrafana(t, q, morning("tenant", value))
		if want := "server LowCardinality(String)\n" + strings.ReplaceAll("server of "+value, "\n", `\n`) + "\n"; err != nil || got != want {
			t.Errorf("tenant %q has servers %q, %v; want %q", value, got, err, want)
		}
	}
}

// Why no query uses Grafana's own quoting: a backslash before a quote opens it.
func TestSQLStringIsNotEnough(t *testing.T) {
	s := storeStory(t)
	const sql = "SELECT count() > 0 AS found FROM events WHERE tenant = ${tenant:sqlstring}"
	for value, want := range map[string]string{`' OR 1=1 -- `: "0", `\' OR 1=1 -- `: "1"} {
		got, err := s.ask(t.Context(), strings.ReplaceAll(sql, "${tenant:sqlstring}", "'"+strings.NewReplacer("'", "''", `"`, `\"`).Replace(value)+"'"))
		if err != nil || got != "found UInt8\n"+want+"\n" {
			t.Errorf("%q: %q, %v; want %s", value, got, err, want)
		}
	}
}

var variableInSQL = regexp.MustCompile(`\{(\w+):String\}`)

// variablesOf names the variables that a query uses.
func variablesOf(sql string) []string {
	var names []string
	seen := map[string]bool{}
	for _, m := range variableInSQL.FindAllStringSubmatch(sql, -1) {
		if !seen[m[1]] {
			names = append(names, m[1])
		}
		seen[m[1]] = true
	}
	return names
}
