package table_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// storeBlock inserts a block as the processor does, by any node.
func storeBlock(t *testing.T, x *embeddedtest.Node, token string, records ...*table.Record) error {
	t.Helper()
	client, err := ch.Dial(t.Context(), ch.Options{Address: x.Addr(), User: "default", Database: "custody", Settings: distributed()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	b := table.NewBlock()
	for _, r := range records {
		b.Add(r)
	}
	statement, columns := b.Insert("records")
	return client.Do(t.Context(), ch.Query{Body: statement, Input: columns, Settings: []ch.Setting{{Key: "insert_deduplication_token", Value: token}, ch.SettingInt("async_insert", 0),
		ch.SettingInt("deduplicate_blocks_in_dependent_materialized_views", 1), ch.SettingInt("max_partitions_per_insert_block", 0)}})
}

func distributed() (out []ch.Setting) {
	for k, v := range table.ClusterSettings() {
		out = append(out, ch.Setting{Key: k, Value: fmt.Sprint(v), Important: true})
	}
	return out
}

// tellStory is the story as records of two partitions, by turns.
func tellStory() (out [2][]*table.Record) {
	seen := map[string]bool{}
	for i, e := range story.Events() {
		r := &table.Record{Position: table.Position{Topic: "custody.events", Epoch: "e", Partition: i % 2, Offset: int64(i / 2)}, LogTime: e.ObservedTime.Go(),
			State: table.Stored, Raw: e.Canonical(), ContentHash: e.ContentHash(), Event: e}
		if seen[e.ID] {
			r.State = table.Duplicate
		}
		seen[e.ID] = true
		out[i%2] = append(out[i%2], r)
	}
	return out
}

// Two shards hold the story together: each delegation is found whole by any of
// them, a block that comes again is stored once, and without one of them an answer
// is an error and not half of it.
func TestCluster(t *testing.T) {
	nodes := embeddedtest.StartNodes(t, 2)
	var conns []driver.Conn
	for _, x := range nodes {
		do(t, x.Open(t, "", nil), "CREATE DATABASE custody ENGINE = Atomic")
		conns = append(conns, x.Open(t, "custody", clickhouse.Settings(table.ClusterSettings())))
	}
	if _, _, err := table.FindCluster(t.Context(), conns[0], "no such"); err == nil || !strings.Contains(err.Error(), "remote_servers") {
		t.Errorf("a cluster that is not there: %v", err)
	}
	cluster, servers, err := table.FindCluster(t.Context(), conns[0], "evidence")
	if err != nil || servers != 2 || cluster.Replicated {
		t.Fatalf("%+v, %d servers, %v", cluster, servers, err)
	}
	for i, want := range []int{len(all(t)), 0} {
		if applied, err := cluster.Migrate(t.Context(), conns); err != nil || len(applied) != want {
			t.Fatalf("run %d: applied %d, %v", i, len(applied), err)
		}
	}
	records := tellStory()
	for i, part := range records {
		for range 2 { // the second time it is known
			if err := storeBlock(t, nodes[1-i], fmt.Sprint("block-", i), part...); err != nil {
				t.Fatal(err)
			}
		}
	}
	one := embeddedtest.StartClickHouse(t)
	one.Store(t, append(slices.Clone(records[0]), records[1]...)...)
	sameAnswers(t, one.Conn(embedded.Analyst), conns)
	for i, c := range conns {
		if n := column[uint64](t, c, "SELECT count() FROM records_local"); n[0] != uint64(len(records[i])) {
			t.Errorf("shard %d holds %d records, its partition has %d", i, n[0], len(records[i]))
		}
		for _, view := range column[string](t, c, "SELECT name FROM system.tables WHERE database = 'custody' AND engine = 'View' AND empty(parameterized_view_parameters)") {
			_ = column[uint64](t, c, "SELECT count() FROM (SELECT * FROM "+view+")") // joins and sub-queries over several shards are allowed, or this is an error
		}
	}
	nodes[1].Kill()
	if _, err := chains(t.Context(), conns[0]); err == nil || !strings.Contains(err.Error(), nodes[1].Addr()) {
		t.Errorf("without a shard: %v", err)
	}
	if err := storeBlock(t, nodes[0], "away", records[1][:1]...); err == nil || !strings.Contains(err.Error(), nodes[1].Addr()) {
		t.Errorf("a block of the shard that is away: %v", err)
	}
	nodes[1].Start(t)
	if err := storeBlock(t, nodes[0], "block-1", records[1]...); err != nil { // its outcome was not known, say
		t.Fatal(err)
	}
	sameAnswers(t, one.Conn(embedded.Analyst), conns)
}

func all(t *testing.T) []table.Migration {
	t.Helper()
	m, err := table.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// sameAnswers holds a cluster against one server with the same records.
func sameAnswers(t *testing.T, one driver.Conn, conns []driver.Conn) {
	t.Helper()
	want, err := chains(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range conns {
		got, err := chains(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("node %d answers otherwise (-one server +cluster):\n%s", i, diff)
		}
		for _, counted := range []string{"records", "events", "event_keys", "source_sequences", "token_edges"} {
			if w, g := column[uint64](t, one, "SELECT count() FROM "+counted), column[uint64](t, c, "SELECT count() FROM "+counted); w[0] != g[0] {
				t.Errorf("node %d has %d rows in %s, one server %d", i, g[0], counted, w[0])
			}
		}
	}
}

// chains is what an analyst reads of three deep delegations, as JSON.
func chains(ctx context.Context, c driver.Conn) (string, error) {
	r, err := query.New(query.Config{ClickHouse: c})
	if err != nil {
		return "", err
	}
	var sb strings.Builder
	for _, name := range []string{"deploy-call", "merge-call", "refund-call"} {
		found, err := r.Chain(ctx, story.Named(name).ID)
		if err != nil {
			return "", err
		}
		b, err := json.MarshalIndent(found.Chains, "", " ")
		if err != nil {
			return "", err
		}
		sb.Write(b)
	}
	return sb.String(), nil
}

// With several servers to a shard the same files make replicated tables. The engine
// of the tests can parse them and not run them: it has no port for other replicas.
func TestReplicatedStatements(t *testing.T) {
	t.Parallel()
	c := empty(t)
	cluster := &table.Cluster{Name: "evidence", Replicated: true}
	var sb strings.Builder
	for _, m := range all(t) {
		statements, err := cluster.Statements(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range statements {
			if ast := column[string](t, c, "EXPLAIN AST "+s); len(ast) == 0 {
				t.Errorf("%s: nothing", m.Name)
			}
			if strings.Contains(s, "ENGINE") {
				fmt.Fprintln(&sb, summary(s))
			}
		}
	}
	roles, err := cluster.Roles("custody", []string{"acme"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range roles {
		if ast := column[string](t, c, "EXPLAIN AST "+s); len(ast) == 0 {
			t.Errorf("%s: nothing", s)
		}
	}
	for _, name := range table.Tenanted { // a row that is filtered above and not below could be read below
		for _, want := range []string{" ON `custody`." + name + "_local USING tenant = 'acme' TO", "GRANT SELECT ON `custody`." + name + "_local TO"} {
			if !slices.ContainsFunc(roles, func(s string) bool { return strings.Contains(s, want) }) {
				t.Errorf("no %s", want)
			}
		}
	}
	golden := filepath.Join("testdata", "cluster.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(sb.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), sb.String()); diff != "" {
		t.Errorf("run the test with -update and review (-want +got):\n%s", diff)
	}
}

// summary is a CREATE without its columns.
func summary(sql string) string {
	head, rest, _ := strings.Cut(sql, "\n")
	if i := strings.Index(rest, "ENGINE ="); i >= 0 {
		return head + " " + strings.ReplaceAll(rest[i:], "\n", " ")
	}
	return head
}
