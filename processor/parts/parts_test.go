package parts_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/processor/parts"
)

func numbers(t *testing.T, sessions *sql.DB, question string) ([]uint64, error) {
	t.Helper()
	q, err := parts.Parse(question)
	if err != nil {
		return nil, err
	}
	ctx := clickhouse.Context(t.Context(), clickhouse.WithParameters(clickhouse.Parameters{"n": "4"}), clickhouse.WithSettings(clickhouse.Settings{"max_memory_usage": 100 << 20}))
	var out []uint64
	err = q.Ask(ctx, sessions, func(rows *sql.Rows) error {
		for rows.Next() {
			var n uint64
			if err := rows.Scan(&n); err != nil {
				return err
			}
			out = append(out, n)
		}
		return nil
	})
	return out, err
}

// Each answer is worked out by hand. rand() tells a part that is evaluated once from
// one that is evaluated wherever it is named.
func TestAsk(t *testing.T) {
	t.Parallel()
	sessions := embeddedtest.StartClickHouse(t).Sessions(embedded.Detector)
	sessions.SetMaxOpenConns(1) // whatever a question leaves, the next one meets
	for _, c := range []struct {
		name, question string
		want           uint64
	}{
		{"no parts", "SELECT 7::UInt64", 7},
		{"no materialized parts", "WITH a AS (SELECT 3::UInt64 AS x), 4 AS y SELECT x + y FROM a", 7},
		{"parts, one naming the other, and a parameter", `-- a comment, (with a parenthesis
WITH
    2 AS two, -- and another's )
    a AS MATERIALIZED (SELECT number AS x, ') , SELECT \'' AS text FROM numbers({n:UInt32})),
    b AS materialized
    (
        SELECT x * two AS x FROM a UNION ALL SELECT 1 -- the last
    ) /* , SELECT */,
    c AS (SELECT max(x) AS most FROM b)
SELECT sum(x)::UInt64 + (SELECT most FROM c) FROM b`, 0 + 2 + 4 + 6 + 1 + 6},
		{"evaluated once", "WITH a AS MATERIALIZED (SELECT groupArray(rand()) AS x FROM numbers(9)) SELECT (SELECT x FROM a) = (SELECT x FROM a) AND count() = 1 FROM a", 1},
		{"a type that a table had better not have", "WITH a AS MATERIALIZED (SELECT toLowCardinality('x') = 'x' AS y) SELECT y::UInt64 FROM a", 1},
		{"a name used before", "WITH a AS MATERIALIZED (SELECT 5::UInt64 AS x) SELECT x FROM a", 5},
	} {
		got, err := numbers(t, sessions, c.question)
		if err != nil || len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %v %v, want %d", c.name, got, err, c.want)
		}
	}
}

// A question that fails leaves no table behind and says which part it was.
func TestFailedPart(t *testing.T) {
	t.Parallel()
	sessions := embeddedtest.StartClickHouse(t).Sessions(embedded.Detector)
	sessions.SetMaxOpenConns(1)
	_, err := numbers(t, sessions, "WITH a AS MATERIALIZED (SELECT 1), b AS MATERIALIZED (SELECT throwIf(true, 'on purpose') FROM a) SELECT 1 FROM a, b")
	var e *clickhouse.Exception
	if !errors.As(err, &e) || e.Code != 395 || !strings.HasPrefix(err.Error(), "b: ") {
		t.Fatalf("%v", err)
	}
	if got, err := numbers(t, sessions, "WITH a AS MATERIALIZED (SELECT 2::UInt64 AS x) SELECT x FROM a"); err != nil || got[0] != 2 {
		t.Errorf("afterwards: %v %v", got, err)
	}
	if got, err := numbers(t, sessions, "WITH a AS MATERIALIZED (SELECT arrayJoin(range(1000000)) AS x) SELECT sum(cityHash64(arrayMap(y -> (y, toString(x)), range(x)))) FROM a"); err == nil {
		t.Errorf("100 MiB were not the limit: %v", got)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"WITH a AS MATERIALIZED (SELECT 1)", "without a SELECT"},
		{"WITH a AS (SELECT ']') ] SELECT 1", "closes nothing"},
		{"WITH a AS MATERIALIZED (SELECT 'x) SELECT 1", "without an end"},
		{"WITH a AS MATERIALIZED (SELECT 1), a AS MATERIALIZED (SELECT 2) SELECT 1", "a twice"},
		{"WITH a AS MATERIALIZED (SELECT 1), , SELECT 1", "empty element"},
	} {
		if _, err := parts.Parse(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
}
