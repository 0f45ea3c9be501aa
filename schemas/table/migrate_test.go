package table_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/schemas/table"
)

var update = flag.Bool("update", false, "write the golden schema")

// empty starts an engine with a database and no tables.
func empty(t *testing.T) driver.Conn {
	t.Helper()
	binary, err := embedded.EnsureEngine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e, err := embedded.StartEngine(t.Context(), embedded.EngineConfig{Dir: t.TempDir(), Binary: binary, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	open := func(database string) driver.Conn {
		c, err := embeddedtest.Open(e.Addr(), embedded.Admin, e.Password(embedded.Admin), database)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	do(t, open(""), "CREATE DATABASE custody ENGINE = Atomic")
	return open("custody")
}

func do(t *testing.T, c driver.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if err := c.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func column[T any](t *testing.T, c driver.Conn, sql string) (out []T) {
	t.Helper()
	rows, err := c.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var v T
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// schema is every table as the database shows it.
func schema(t *testing.T, c driver.Conn) string {
	t.Helper()
	var sb strings.Builder
	for _, name := range column[string](t, c, "SELECT name FROM system.tables WHERE database = 'custody' AND name NOT LIKE '.%' ORDER BY name") {
		sb.WriteString(column[string](t, c, "SHOW CREATE TABLE `"+name+"`")[0] + ";\n\n")
	}
	return sb.String()
}

func migrate(t *testing.T, c driver.Conn) []string {
	t.Helper()
	applied, err := table.Migrate(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return applied
}

// What the migrations make is what was reviewed: a change of any column, codec,
// index, order or retention shows in the golden file.
func TestSchema(t *testing.T) {
	t.Parallel()
	c := empty(t)
	all, err := table.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	if applied := migrate(t, c); len(applied) != len(all) {
		t.Errorf("applied %d of %d", len(applied), len(all))
	}
	got, golden := schema(t, c), filepath.Join("testdata", "schema.sql")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("run the test with -update and review (-want +got):\n%s", diff)
	}
	if applied := migrate(t, c); len(applied) != 0 {
		t.Errorf("applied again: %v", applied)
	}
	for _, m := range all {
		if !slices.Equal(column[string](t, c, "SELECT sha256 FROM migrations FINAL WHERE name = '"+m.Name+"'"), []string{m.SHA256}) {
			t.Errorf("%s is not recorded with its SHA-256", m.Name)
		}
	}
}

// A migration that ended between any two of its steps goes on: after a statement
// without its record too.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	c := empty(t)
	migrate(t, c)
	want := schema(t, c)
	all, err := table.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	for from := range all {
		do(t, c, fmt.Sprintf("DELETE FROM migrations WHERE id > %d", from)) // the statements are there, the records are not
		if applied := migrate(t, c); len(applied) != len(all)-from {
			t.Errorf("from %d on: applied %v", from, applied)
		}
	}
	if diff := cmp.Diff(want, schema(t, c)); diff != "" {
		t.Errorf("the schema changed:\n%s", diff)
	}
}

// Several that begin at the same time, as services do after a deployment, end
// with the same schema.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	c := empty(t)
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			if _, err := table.Migrate(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	status, err := table.Check(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range status {
		if !s.Applied || s.Problem != "" {
			t.Errorf("%+v", s)
		}
	}
	if want, err := os.ReadFile(filepath.Join("testdata", "schema.sql")); err != nil || string(want) != schema(t, c) {
		t.Errorf("the schema differs, %v", err)
	}
}

// A migration that was edited after its release, and a database of a newer
// release, are refused, and nothing is changed.
func TestRefused(t *testing.T) {
	t.Parallel()
	c := empty(t)
	migrate(t, c)
	do(t, c, "DROP VIEW findings", "DELETE FROM migrations WHERE id > 5") // there would be something to do
	before := schema(t, c)
	for _, x := range []struct {
		row, want string
	}{
		{"(3, '0003_create_events.sql', '" + strings.Repeat("0", 64) + "')", "0003_create_events.sql: applied with SHA-256 000000000000..."},
		{"(9999, '9999_of_the_future.sql', '" + strings.Repeat("0", 64) + "')", "migration 9999, which this program does not know: it was migrated by a newer release"},
	} {
		do(t, c, "INSERT INTO migrations (id, name, sha256) VALUES "+x.row)
		if applied, err := table.Migrate(t.Context(), c); err == nil || !strings.Contains(err.Error(), x.want) || len(applied) > 0 {
			t.Errorf("applied %v, error %v, want %s", applied, err, x.want)
		}
	}
	if diff := cmp.Diff(before, schema(t, c)); diff != "" {
		t.Errorf("something was changed:\n%s", diff)
	}
}

func TestNoDatabase(t *testing.T) {
	t.Parallel()
	c, err := embeddedtest.Open("127.0.0.1:1", "u", "p", "custody")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := table.Migrate(ctx, c); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("error %v", err)
	}
}

// Every table with tenants is named as such: what is not named has no row filter,
// and an auditor must not read it.
func TestTenanted(t *testing.T) {
	t.Parallel()
	c := empty(t)
	migrate(t, c)
	with := func(engines string) []string {
		return column[string](t, c, "SELECT DISTINCT table FROM system.columns WHERE database = 'custody' AND name = 'tenant' AND table IN (SELECT name FROM system.tables WHERE database = 'custody' AND "+engines+") ORDER BY table")
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(table.Tenanted)), with("engine LIKE '%MergeTree'")); diff != "" {
		t.Errorf("tables (-named +there):\n%s", diff)
	}
	// A view with parameters has no columns before it is given them.
	asked := column[string](t, c, "SELECT name FROM system.tables WHERE database = 'custody' AND notEmpty(parameterized_view_parameters)")
	if diff := cmp.Diff(slices.Sorted(slices.Values(table.Views)), slices.Sorted(slices.Values(append(with("engine = 'View'"), asked...)))); diff != "" {
		t.Errorf("views (-named +there):\n%s", diff)
	}
	if definers := column[string](t, c, "SELECT name FROM system.tables WHERE database = 'custody' AND engine = 'View' AND create_table_query LIKE '%SQL SECURITY%'"); len(definers) > 0 {
		t.Errorf("views that read as another user than who asks: %v", definers)
	}
}

// The engine of the tests keeps no roles, so the statements are parsed only.
func TestRolesParse(t *testing.T) {
	t.Parallel()
	c := empty(t)
	statements := table.Roles("custody", []string{"acme", "globex-2"})
	for _, s := range statements {
		if ast := column[string](t, c, "EXPLAIN AST "+s); len(ast) == 0 {
			t.Errorf("%s: nothing", s)
		}
	}
	text := strings.Join(statements, "\n")
	for _, want := range []string{
		"CREATE ROW POLICY IF NOT EXISTS `custody_auditor_acme` ON `custody`.records USING tenant = 'acme' TO `custody_auditor_acme`",
		"GRANT SELECT ON `custody`.findings TO `custody_auditor_globex-2`", "GRANT SELECT, INSERT ON `custody`.* TO custody_writer",
		"GRANT INSERT ON `custody`.finding_history TO custody_handler", "CREATE ROW POLICY IF NOT EXISTS `custody_auditor_acme` ON `custody`.finding_history USING tenant = 'acme' TO `custody_auditor_acme`",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Contains(text, "migrations") || strings.Contains(text, "rule_progress TO `custody_auditor") {
		t.Errorf("an auditor may read what is no tenant's:\n%s", text)
	}
}
