package table_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// unrecoverable says of each materialized view why the processor could not make
// its rows whole after a kill. It asks which positions are there and inserts the
// others by the view's own query, so view and target carry the position; and a
// repeated insert is dropped by the target's own window, or it would double.
func unrecoverable(t *testing.T, c driver.Conn) (problems []string) {
	t.Helper()
	for _, view := range column[string](t, c, "SELECT name FROM system.tables WHERE database = 'custody' AND engine = 'MaterializedView' ORDER BY name") {
		target, named := strings.CutSuffix(view, "_view")
		if into := column[string](t, c, "SELECT extract(create_table_query, ' TO custody\\.(\\w+)') FROM system.tables WHERE database = 'custody' AND name = '"+view+"'")[0]; !named || into != target {
			problems = append(problems, fmt.Sprintf("%s writes to %q: want the name of its target and _view", view, into))
			target = into
		}
		for _, name := range []string{view, target} {
			columns := column[string](t, c, "SELECT name FROM system.columns WHERE database = 'custody' AND table = '"+name+"'")
			for _, want := range []string{"epoch", "partition", "offset"} {
				if !slices.Contains(columns, want) {
					problems = append(problems, name+" has no column "+want)
				}
			}
		}
		window := column[string](t, c, "SELECT extract(engine_full, 'non_replicated_deduplication_window = (\\d+)') FROM system.tables WHERE database = 'custody' AND name = '"+target+"'")
		if window[0] == "" || window[0] == "0" {
			problems = append(problems, target+" has no deduplication window")
		}
	}
	return problems
}

func TestViewsRecover(t *testing.T) {
	t.Parallel()
	c := empty(t)
	migrate(t, c)
	if problems := unrecoverable(t, c); problems != nil {
		t.Errorf("%s", strings.Join(problems, "\n"))
	}
	do(t, c, "CREATE TABLE calls (tenant String, epoch String, number AggregateFunction(count)) ENGINE = AggregatingMergeTree ORDER BY (tenant, epoch)",
		"CREATE MATERIALIZED VIEW calls_by_tenant TO calls AS SELECT tenant, any(epoch) AS epoch, countState() AS number FROM records GROUP BY tenant")
	want := []string{
		`calls_by_tenant writes to "calls": want the name of its target and _view`,
		"calls_by_tenant has no column partition", "calls_by_tenant has no column offset",
		"calls has no column partition", "calls has no column offset", "calls has no deduplication window",
	}
	if problems := unrecoverable(t, c); !slices.Equal(problems, want) {
		t.Errorf("of a roll-up:\n%s", strings.Join(problems, "\n"))
	}
}

// What was numbered before the table was made is in it, once, however often the migration runs.
func TestSequencesAreFilled(t *testing.T) {
	t.Parallel()
	c := empty(t)
	migrate(t, c)
	do(t, c, "INSERT INTO records (epoch, partition, offset, state, tenant, source_id, source_event_id, source_sequence) VALUES ('e', 0, 0, 'stored', 'acme', 's', 'run-2', 2), ('e', 0, 1, 'stored', 'acme', 's', 'other', 3), ('e', 0, 2, 'duplicate', 'acme', 's', 'run-2', 2), ('e', 0, 3, 'stored', 'acme', 's', 'x', 0)",
		"DELETE FROM source_sequences WHERE offset = 0", "DELETE FROM migrations WHERE name LIKE '%fill_source_sequences%'")
	for range 2 {
		migrate(t, c)
		got := column[string](t, c, "SELECT concat(toString(offset), ' ', run, ' ', toString(sequence)) FROM source_sequences ORDER BY offset")
		if want := []string{"0 run 2", "1  3"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		do(t, c, "DELETE FROM migrations WHERE name LIKE '%fill_source_sequences%'")
	}
}
