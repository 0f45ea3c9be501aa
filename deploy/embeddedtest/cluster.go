package embeddedtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/deploy/embedded"
)

// Node is one server of a cluster: the engine with a configuration of its own, in
// which the user default may do everything.
type Node struct {
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

// StartNodes starts a cluster, evidence, of shards with one server each.
func StartNodes(t testing.TB, n int) (out []*Node) {
	t.Helper()
	binary, err := embedded.EnsureEngine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shards := ""
	ports := freePorts(t, 2*n)
	for i := range n {
		out = append(out, &Node{dir: t.TempDir(), binary: binary, port: ports[2*i]})
		shards += fmt.Sprintf("<shard><internal_replication>true</internal_replication><replica><host>127.0.0.1</host><port>%d</port></replica></shard>", ports[2*i])
	}
	for i, x := range out {
		for name, text := range map[string]string{"config.xml": fmt.Sprintf(nodeConfig, x.dir, x.port, ports[2*i+1], shards), "users.xml": nodeUsers} {
			if err := os.WriteFile(filepath.Join(x.dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll(filepath.Join(x.dir, "tmp"), 0o700); err != nil {
			t.Fatal(err)
		}
		x.Start(t)
		t.Cleanup(x.Kill)
	}
	return out
}

func freePorts(t testing.TB, n int) (out []int) {
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

// Start runs the engine as deploy/embedded does: a clickhouse binary, or the shared
// library in a child of this program.
func (x *Node) Start(t testing.TB) {
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
	Eventually(t, time.Minute, "an answer of a node", x.Open(t, "", nil).Ping)
}

// Kill ends the server as an out-of-memory killer would; Start starts it on the same data.
func (x *Node) Kill() {
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

// Addr is where it answers.
func (x *Node) Addr() string { return fmt.Sprintf("127.0.0.1:%d", x.port) }

// Open connects to it until the test ends.
func (x *Node) Open(t testing.TB, database string, settings clickhouse.Settings) driver.Conn {
	t.Helper()
	c, err := clickhouse.Open(&clickhouse.Options{Addr: []string{x.Addr()}, Auth: clickhouse.Auth{Username: "default", Database: database}, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
