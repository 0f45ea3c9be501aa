package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// parentVariable makes a process of this test binary a parent of an engine: it
// holds the data folder.
const parentVariable = "CUSTODY_TEST_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentVariable); dir != "" {
		if err := beParent(dir); err != nil {
			fmt.Fprintln(os.Stderr, "parent:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// beParent starts an engine and stores a row for ever.
func beParent(dir string) error {
	binary, err := EnsureEngine(context.Background())
	if err != nil {
		return err
	}
	e, err := StartEngine(context.Background(), EngineConfig{Dir: dir, Binary: binary, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	c, err := clickhouse.Open(&clickhouse.Options{Addr: []string{e.Addr()}, Auth: clickhouse.Auth{Username: Admin, Password: e.Password(Admin)}})
	if err != nil {
		return err
	}
	for _, sql := range []string{"CREATE DATABASE IF NOT EXISTS custody ENGINE = Atomic", "CREATE TABLE IF NOT EXISTS custody.t (n UInt32) ENGINE = MergeTree ORDER BY n", "INSERT INTO custody.t VALUES (1)"} {
		if err := c.Exec(context.Background(), sql); err != nil {
			return err
		}
	}
	fmt.Println(e.PID())
	io.Copy(io.Discard, os.Stdin) // until we are killed, or the test is
	return nil
}

// A parent that is killed leaves no engine behind, and the next one recovers what
// was stored.
func TestParentKilled(t *testing.T) {
	dir := t.TempDir()
	const kills = 3
	for range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), parentVariable+"="+dir)
		cmd.Stderr = os.Stderr
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		stdout, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil {
			t.Fatalf("the parent ended before it was killed: %v", err)
		}
		var engine int
		fmt.Sscan(line, &engine)
		if err := syscall.Kill(engine, 0); engine == 0 || err != nil {
			t.Fatalf("engine %d: %v", engine, err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		eventually(t, "the engine ends with its parent", func() bool { return ended(engine) })
	}
	var n uint64
	if err := connect(t, startEngine(t, dir), Analyst).QueryRow(t.Context(), "SELECT count() FROM custody.t").Scan(&n); err != nil || n != kills {
		t.Errorf("after %d kills: %d rows, %v", kills, n, err)
	}
}

// ended tells that there is no such process, or nothing but its exit code.
func ended(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(b), ") ")
	return err != nil || strings.HasPrefix(state, "Z")
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// An engine that dies is started again behind the same address, with its data.
func TestEngineKilled(t *testing.T) {
	e := startEngine(t, t.TempDir())
	addr, c := e.Addr(), connect(t, e, Admin)
	run(t, c, "CREATE DATABASE custody ENGINE = Atomic", "CREATE TABLE custody.t (n UInt32) ENGINE = MergeTree ORDER BY n", "INSERT INTO custody.t VALUES (1)")
	before := e.PID()
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var n uint64
	eventually(t, "the engine answers again", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return c.QueryRow(ctx, "SELECT count() FROM custody.t").Scan(&n) == nil
	})
	if n != 1 || e.PID() == before || e.Addr() != addr {
		t.Errorf("%d rows, process %d after %d, address %s after %s", n, e.PID(), before, e.Addr(), addr)
	}
}

// A client whose connection is reset in the middle of an insert takes nothing
// with it: the engine goes on, and the insert is not there.
func TestClientGoneInInsert(t *testing.T) {
	e := startEngine(t, t.TempDir())
	admin := connect(t, e, Admin)
	run(t, admin, "CREATE DATABASE custody ENGINE = Atomic", "CREATE TABLE custody.t (n UInt64) ENGINE = MergeTree ORDER BY n")
	pid := e.PID()
	for range 20 {
		var wire net.Conn
		c, err := clickhouse.Open(&clickhouse.Options{
			Addr: []string{e.Addr()}, Auth: clickhouse.Auth{Username: Writer, Password: e.Password(Writer)},
			DialContext: func(ctx context.Context, addr string) (net.Conn, error) {
				var d net.Dialer
				var err error
				wire, err = d.DialContext(ctx, "tcp", addr)
				return wire, err
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		batch, err := c.PrepareBatch(t.Context(), "INSERT INTO custody.t")
		if err != nil {
			t.Fatal(err)
		}
		for n := range uint64(100_000) {
			if err := batch.Append(n); err != nil {
				t.Fatal(err)
			}
		}
		if err := batch.Flush(); err != nil {
			t.Fatal(err)
		}
		wire.(*net.TCPConn).SetLinger(0) // as the kernel does for a process that is killed
		wire.Close()
		c.Close()
	}
	var n uint64
	if err := admin.QueryRow(t.Context(), "SELECT count() FROM custody.t").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows, %v", n, err)
	}
	if e.PID() != pid {
		t.Errorf("the engine was started again: process %d after %d", e.PID(), pid)
	}
}

// A client that asks for a database which is not there is refused, and nobody
// else notices.
func TestUnknownDatabase(t *testing.T) {
	e := startEngine(t, t.TempDir())
	admin := connect(t, e, Admin)
	run(t, admin, "SELECT 1")
	pid := e.PID()
	for range 3 {
		c, err := clickhouse.Open(&clickhouse.Options{Addr: []string{e.Addr()}, Auth: clickhouse.Auth{Username: Writer, Password: e.Password(Writer), Database: "nowhere"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "nowhere") {
			t.Errorf("error %v", err)
		}
		c.Close()
	}
	for _, said := range []string{"", "\x00", "GET / HTTP/1.1\r\n\r\n", "\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
		c, err := net.Dial("tcp", e.Addr())
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte(said))
		c.Close()
	}
	run(t, admin, "SELECT 1", "CREATE DATABASE `with-sign` ENGINE = Atomic")
	c, err := clickhouse.Open(&clickhouse.Options{Addr: []string{e.Addr()}, Auth: clickhouse.Auth{Username: Admin, Password: e.Password(Admin), Database: "with-sign"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	run(t, c, "SELECT 1")
	if e.PID() != pid {
		t.Errorf("the engine was started again: process %d after %d", e.PID(), pid)
	}
}

// A client that is nobody, or shows another's password, is refused, and nobody
// else notices.
func TestWrongPassword(t *testing.T) {
	e := startEngine(t, t.TempDir())
	admin := connect(t, e, Admin)
	run(t, admin, "SELECT 1")
	pid := e.PID()
	for _, c := range []clickhouse.Auth{
		{Username: Writer, Password: e.Password(Detector)}, {Username: Writer}, {Username: "nobody", Password: "x"}, {Username: "default"}, {Username: ""},
		{Username: " INTERSERVER SECRET "},
	} {
		client, err := clickhouse.Open(&clickhouse.Options{Addr: []string{e.Addr()}, Auth: c})
		if err != nil {
			t.Fatal(err)
		}
		var refused *clickhouse.Exception
		if err := client.Ping(t.Context()); !errors.As(err, &refused) || refused.Code != 516 {
			t.Errorf("%q: %v", c.Username, err)
		}
		client.Close()
	}
	run(t, admin, "SELECT 1")
	if e.PID() != pid {
		t.Errorf("the engine was started again: process %d after %d", e.PID(), pid)
	}
}

// What a person can do wrong is told in one line that says what to do.
func TestStartErrors(t *testing.T) {
	e := startEngine(t, t.TempDir())
	taken := e.proxy.listener.Addr().(*net.TCPAddr).Port
	notEngine := filepath.Join(t.TempDir(), "clickhouse")
	if err := os.WriteFile(notEngine, []byte("#!/bin/sh\necho this is no engine\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	engine := func(cfg EngineConfig) func() error {
		cfg.Logger = e.cfg.Logger
		return func() error { _, err := StartEngine(t.Context(), cfg); return err }
	}
	broker := func(cfg BrokerConfig) func() error {
		return func() error {
			b, err := StartBroker(cfg)
			if err == nil {
				b.Close()
			}
			return err
		}
	}
	dir := t.TempDir()
	b, err := StartBroker(BrokerConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for name, c := range map[string]struct {
		start func() error
		want  []string
	}{
		"engine, port taken":    {engine(EngineConfig{Dir: t.TempDir(), Binary: e.cfg.Binary, Port: taken}), []string{fmt.Sprint(taken), "the port is taken", "choose another"}},
		"engine, folder in use": {engine(EngineConfig{Dir: e.cfg.Dir, Binary: e.cfg.Binary}), []string{e.cfg.Dir, fmt.Sprintf("in use by process %d", os.Getpid())}},
		"engine, not one":       {engine(EngineConfig{Dir: t.TempDir(), Binary: notEngine}), []string{"this is no engine"}},
		"engine, not there":     {engine(EngineConfig{Dir: t.TempDir(), Binary: "/nowhere/clickhouse"}), []string{"/nowhere/clickhouse", "no such file"}},
		"broker, port taken":    {broker(BrokerConfig{Dir: t.TempDir(), Port: taken}), []string{fmt.Sprint(taken), "the port is taken", "choose another"}},
		"broker, folder in use": {broker(BrokerConfig{Dir: dir}), []string{dir, "in use by process"}},
	} {
		err := c.start()
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q has no %q", name, err, want)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q has more than one line", name, err)
		}
	}
}

// Where the engine is looked for, and what is said when it is not there.
func TestEnsureEngine(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	t.Run("named", func(t *testing.T) {
		t.Setenv("CUSTODY_ENGINE", missing)
		if _, err := EnsureEngine(t.Context()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "CUSTODY_ENGINE") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("without npm", func(t *testing.T) {
		t.Setenv("CUSTODY_ENGINE_DIR", t.TempDir())
		t.Setenv("PATH", t.TempDir())
		if _, err := EnsureEngine(t.Context()); err == nil || !strings.Contains(err.Error(), "install Node.js with npm, or ClickHouse") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("on PATH", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "clickhouse")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir)
		if got, err := EnsureEngine(t.Context()); got != path || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("half installed", func(t *testing.T) {
		dir, bin := t.TempDir(), t.TempDir()
		if err := os.WriteFile(filepath.Join(bin, "npm"), []byte("#!/bin/sh\necho no network\nexit 1\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("CUSTODY_ENGINE_DIR", dir)
		t.Setenv("PATH", bin+":/bin")
		library := filepath.Join(dir, engineVersion, "node_modules", "@chdb", "lib-linux-x64-gnu", "libchdb.so")
		if err := errors.Join(os.MkdirAll(filepath.Dir(library), 0o700), os.WriteFile(library, []byte("half"), 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := EnsureEngine(t.Context()); err == nil || !strings.Contains(err.Error(), "no network") {
			t.Errorf("error %v", err)
		}
	})
}
