package table_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

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

// node is one server of a cluster: the engine with a configuration of its own.
type node struct {
	dir, binary string
	port        int
	cmd         *exec.Cmd
	fifo        *os.File
}

const nodeConfig = `<clickhouse>
  <logger><level>warning</level><log>%[1]s/log</log><errorlog>%[1]s/log.err</errorlog></logger>
  <listen_host>127.0.0.1</listen_host><tcp_port>%[2]d</tcp_port><http_port>%[3]d</http_port>
  <path>%[1]s/store/</path><tmp_path>%[1]s/tmp/</tmp_path><timezone>UTC</timezone>
  <max_server_memory_usage>2000000000</max_server_memory_usage><mark_cache_size>67108864</mark_cache_size><background_pool_size>4</background_pool_size>
  <remote_servers replace="1"><evidence><secret>of the cluster</secret>%[4]s</evidence></remote_servers>
  <default_profile>default</default_profile><default_database>default</default_database>
  <users_config>%[1]s/users.xml</users_config><user_directories><users_xml><path>%[1]s/users.xml</path></users_xml></user_directories>
</clickhouse>`

const nodeUsers = `<clickhouse><profiles><default></default></profiles><quotas><default><interval><duration>3600</duration></interval></default></quotas>
  <users><default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
    <grants><query>GRANT ALL ON *.*</query></grants></default></users></clickhouse>`

// startNodes starts a cluster of shards with one server each.
func startNodes(t *testing.T, n int) (out []*node) {
	t.Helper()
	binary, err := embedded.EnsureEngine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shards := ""
	var http []int
	for range n {
		ports := freePorts(t, 2)
		out, http = append(out, &node{dir: t.TempDir(), binary: binary, port: ports[0]}), append(http, ports[1])
		shards += fmt.Sprintf("<shard><internal_replication>true</internal_replication><replica><host>127.0.0.1</host><port>%d</port></replica></shard>", ports[0])
	}
	for i, x := range out {
		for name, text := range map[string]string{"config.xml": fmt.Sprintf(nodeConfig, x.dir, x.port, http[i], shards), "users.xml": nodeUsers} {
			if err := os.WriteFile(filepath.Join(x.dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll(filepath.Join(x.dir, "tmp"), 0o700); err != nil {
			t.Fatal(err)
		}
		x.start(t)
		t.Cleanup(x.kill)
	}
	return out
}

func freePorts(t *testing.T, n int) (out []int) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	return out
}

// start runs the engine as deploy/embedded does: a clickhouse binary, or the shared
// library in a child of this program.
func (x *node) start(t *testing.T) {
	t.Helper()
	config := "--config-file=" + filepath.Join(x.dir, "config.xml")
	if strings.HasSuffix(x.binary, ".so") {
		fifo := filepath.Join(x.dir, "fifo")
		os.Remove(fifo)
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		var err error
		if x.fifo, err = os.OpenFile(fifo, os.O_RDWR, 0); err != nil {
			t.Fatal(err)
		}
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		x.cmd = exec.Command(self, config, "--path="+filepath.Join(x.dir, "store"), "--query=SYSTEM START LISTEN TCP; SELECT * FROM file('"+fifo+"', 'LineAsString', 'line String')")
		x.cmd.Env = append(os.Environ(), "CUSTODY_ENGINE_CHILD="+x.binary)
	} else {
		x.cmd = exec.Command(x.binary, "server", config)
	}
	x.cmd.Dir = x.dir
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	embeddedtest.Eventually(t, time.Minute, "an answer of a node", x.open(t, "", nil).Ping)
}

func (x *node) kill() {
	if x.cmd == nil {
		return
	}
	x.cmd.Process.Kill()
	_ = x.cmd.Wait() // it was killed
	if x.fifo != nil {
		x.fifo.Close()
	}
	x.cmd = nil
}

func (x *node) addr() string { return fmt.Sprintf("127.0.0.1:%d", x.port) }

func (x *node) open(t *testing.T, database string, settings clickhouse.Settings) driver.Conn {
	t.Helper()
	c, err := clickhouse.Open(&clickhouse.Options{Addr: []string{x.addr()}, Auth: clickhouse.Auth{Username: "default", Database: database}, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// store inserts a block as the processor does, by any node.
func (x *node) store(t *testing.T, token string, records ...*table.Record) error {
	t.Helper()
	client, err := ch.Dial(t.Context(), ch.Options{Address: x.addr(), User: "default", Database: "custody", Settings: distributed()})
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
	nodes := startNodes(t, 2)
	var conns []driver.Conn
	for _, x := range nodes {
		do(t, x.open(t, "", nil), "CREATE DATABASE custody ENGINE = Atomic")
		conns = append(conns, x.open(t, "custody", clickhouse.Settings(table.ClusterSettings())))
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
			if err := nodes[1-i].store(t, fmt.Sprint("block-", i), part...); err != nil {
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
	nodes[1].kill()
	if _, err := chains(t.Context(), conns[0]); err == nil || !strings.Contains(err.Error(), nodes[1].addr()) {
		t.Errorf("without a shard: %v", err)
	}
	if err := nodes[0].store(t, "away", records[1][:1]...); err == nil || !strings.Contains(err.Error(), nodes[1].addr()) {
		t.Errorf("a block of the shard that is away: %v", err)
	}
	nodes[1].start(t)
	if err := nodes[0].store(t, "block-1", records[1]...); err != nil { // its outcome was not known, say
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
