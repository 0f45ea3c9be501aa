package embedded

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

func startEngine(t *testing.T, dir string) *Engine {
	t.Helper()
	binary, err := EnsureEngine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e, err := StartEngine(t.Context(), EngineConfig{Dir: dir, Binary: binary, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func connect(t *testing.T, e *Engine, user string) driver.Conn {
	t.Helper()
	c, err := clickhouse.Open(&clickhouse.Options{Addr: []string{e.Addr()}, Auth: clickhouse.Auth{Username: user, Password: e.Password(user)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func run(t *testing.T, c driver.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if err := c.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// What is stored before a stop is there after the next start, and users can do
// what they are for and no more.
func TestEngine(t *testing.T) {
	dir := t.TempDir()
	e := startEngine(t, dir)
	admin := connect(t, e, Admin)
	run(t, admin, "CREATE DATABASE custody ENGINE = Atomic", "CREATE TABLE custody.t (n UInt32) ENGINE = MergeTree ORDER BY n")
	run(t, connect(t, e, Writer), "INSERT INTO custody.t VALUES (1), (2)")
	if err := connect(t, e, Writer).Exec(t.Context(), "DROP TABLE custody.t"); err == nil {
		t.Error("the writer may drop a table")
	}
	if err := connect(t, e, Analyst).Exec(t.Context(), "INSERT INTO custody.t VALUES (3)"); err == nil {
		t.Error("the analyst may write")
	}
	if err := connect(t, e, "default").Exec(t.Context(), "SELECT * FROM custody.t"); err == nil {
		t.Error("the user without password may read")
	}
	if _, err := StartEngine(t.Context(), EngineConfig{Dir: dir, Binary: e.cfg.Binary, Logger: e.cfg.Logger}); err == nil {
		t.Error("a second engine started in the same folder")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	said, err := os.ReadFile(filepath.Join(dir, "engine.log"))
	if err != nil || bytes.Contains(said, []byte("<Trace>")) || bytes.Contains(said, []byte("<Debug>")) {
		t.Errorf("the log has more than warnings, texts of queries among it, or is none: %v", err)
	}
	var n uint64
	if err := connect(t, startEngine(t, dir), Analyst).QueryRow(t.Context(), "SELECT count() FROM custody.t").Scan(&n); err != nil || n != 2 {
		t.Errorf("after restart: %d rows, %v", n, err)
	}
}
