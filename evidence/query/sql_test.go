package query_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/table"
)

func TestSQL(t *testing.T) {
	t.Parallel()
	c := tell(t)
	analyst, acme := reader(t, c, embedded.Analyst, ""), reader(t, c, table.Auditor("acme"), "acme")
	got, err := analyst.SQL(t.Context(), "SELECT tenant, count() AS n, any(leaf_hash) AS leaf FROM events GROUP BY tenant ORDER BY tenant", 2)
	if err != nil || len(got.Rows) != 2 || got.Cut == "" || got.Columns[1].Name != "n" || got.Rows[0][0] != "acme" || len(got.Rows[0][2].(string)) != 64 {
		t.Fatalf("%+v %v", got, err)
	}
	if got, err = acme.SQL(t.Context(), "SELECT DISTINCT tenant FROM events", 10); err != nil || len(got.Rows) != 1 || got.Rows[0][0] != "acme" {
		t.Errorf("the auditor of acme sees %+v %v", got, err)
	}
	// What is no question, reads files, or goes around the row filters, is not asked.
	for _, bad := range []string{
		"INSERT INTO records (tenant) VALUES ('x')", "DROP TABLE records", "SET max_execution_time = 0", "", "; SELECT 1", "SELECT 1; SELECT 2", "EXPLAIN SELECT 1", "SELECT * FROM records INTO OUTFILE 'x'",
		"SELECT * FROM mergeTreeIndex(custody, records)", "SELECT * FROM `mergeTreeIndex`(custody, records)", "SELECT * FROM \"mergeTreeIndex\"(custody, records)",
		"SELECT file('/etc/passwd')", "SELECT `file`('/etc/passwd')", "SELECT `\\x66ile`('/etc/passwd')", "SELECT * APPLY(file) FROM (SELECT '/etc/passwd' AS x)", "SELECT * APPLY file FROM (SELECT '/etc/passwd' AS x)",
		"/* ' */ SELECT file('/etc/passwd') /* ' */", "SELECT 1 -- '\n, file('/etc/passwd') -- '", "SELECT 'a\\'', file('/etc/passwd'), '", "SELECT $a$'$a$, file('/etc/passwd')", "SELECT 1 # '\n, file('/etc/passwd')",
		"SELECT \"'\", file('/etc/passwd'), \"'\"", "SELECT ‘a’, file('/etc/passwd')", "DESCRIBE TABLE file('/etc/passwd')", "SELECT * FROM fileCluster('a', '/etc/passwd')", "SELECT * FROM filesystem('/etc')",
	} {
		if got, err := acme.SQL(t.Context(), bad, 10); !errors.Is(err, query.ErrNotAQuestion) {
			t.Errorf("%s: %v %+v", bad, err, got)
		}
	}
	// What is in a literal is no function.
	if _, err := acme.SQL(t.Context(), "SELECT count() FROM events WHERE tool_name = 'file' OR tool_name = 'it\\'s a ''file()'' -- /* $ ;'", 10); err != nil {
		t.Error(err)
	}
	// ClickHouse refuses the rest.
	for _, bad := range []string{
		"SELECT * FROM events SETTINGS max_execution_time = 0", "SELECT * FROM events SETTINGS max_execution_time = 3600", "SELECT * FROM events SETTINGS max_memory_usage = 0",
		"SELECT * FROM events SETTINGS readonly = 0", "SELECT * FROM system.query_log", "SELECT * FROM system.processes", "SELECT * FROM system.parts", "SELECT * FROM system.users",
		"SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'x String')", "SELECT * FROM file('/etc/passwd', 'LineAsString')", "SELECT * FROM remote('127.0.0.1', custody.records)",
		"SELECT * FROM executable('id', 'CSV', 'x String')", "SELECT * FROM sqlite('/etc/passwd', 'x')", "SELECT * FROM icebergLocal('/etc')",
	} {
		if got, err := acme.SQL(t.Context(), bad, 10); err == nil {
			t.Errorf("%s is answered: %+v", bad, got)
		}
	}
	// However one looks, nothing foreign is there.
	for _, text := range []string{
		"SELECT * FROM records", "SELECT raw FROM records WHERE 1 OR tenant = 'globex'", "SELECT * FROM merge('custody', '.*')", "SELECT * FROM merge('custody', '^records$')",
		"SELECT * FROM event_keys", "SELECT * FROM token_edges", "SELECT * FROM findings", "SELECT * FROM view(SELECT tenant FROM records)",
		"WITH x AS (SELECT * FROM events) SELECT * FROM x", "SELECT * FROM system.tables", "SELECT * FROM information_schema.tables",
		"SELECT * FROM loop(custody.records) LIMIT 100", "DESCRIBE TABLE records", "SHOW TABLES", "SELECT name, value FROM system.settings", "SHOW PROCESSLIST",
	} {
		got, err := acme.SQL(t.Context(), text, 10_000)
		if err != nil {
			continue // refused is as good
		}
		for _, row := range got.Rows {
			for _, v := range row {
				if s, ok := v.(string); ok && (strings.Contains(s, "globex") || strings.Contains(s, "initech")) {
					t.Fatalf("%s shows %.200s", text, s)
				}
			}
		}
	}
}
