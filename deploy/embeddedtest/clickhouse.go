package embeddedtest

import (
	"database/sql"
	"log/slog"
	"syscall"
	"testing"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/schemas/table"
)

// Database is the one with the tables.
const Database = "custody"

// ClickHouse is a running engine.
type ClickHouse struct {
	*embedded.Engine
	t testing.TB
}

// StartClickHouse starts an engine in a folder of its own and migrates it; the
// tenants have auditors.
func StartClickHouse(t testing.TB, tenants ...string) *ClickHouse {
	t.Helper()
	binary, err := embedded.EnsureEngine(t.Context())
	if err != nil {
		t.Fatalf("find the engine: %v", err)
	}
	engine, err := embedded.StartEngine(t.Context(), embedded.EngineConfig{Dir: t.TempDir(), Binary: binary, Tenants: tenants,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))}) // what is said when it dies
	if err != nil {
		t.Fatalf("start the engine: %v", err)
	}
	t.Cleanup(func() { engine.Close() })
	c := &ClickHouse{engine, t}
	if err := c.open(embedded.Admin, "").Exec(t.Context(), "CREATE DATABASE "+Database+" ENGINE = Atomic"); err != nil {
		t.Fatalf("create the database: %v", err)
	}
	if _, err := table.Migrate(t.Context(), c.Conn(embedded.Admin)); err != nil {
		t.Fatalf("migrate: %v", err)
	}
	return c
}

// Conn connects one of embedded's users to the tables, until the test ends.
func (c *ClickHouse) Conn(user string) driver.Conn {
	c.t.Helper()
	return c.open(user, Database)
}

// Sessions are connections of one of embedded's users that keep what is theirs, as
// temporary tables, until the test ends.
func (c *ClickHouse) Sessions(user string) *sql.DB {
	db := clickhouse.OpenDB(options(c.Addr(), user, c.Password(user), Database))
	c.t.Cleanup(func() { db.Close() })
	return db
}

// Store inserts records as the processor does.
func (c *ClickHouse) Store(t testing.TB, records ...*table.Record) {
	t.Helper()
	client, err := Dialer(c.Addr(), embedded.Writer, c.Password(embedded.Writer), Database)(t.Context())
	if err != nil {
		t.Fatalf("connect %s: %v", embedded.Writer, err)
	}
	defer client.Close()
	rows := table.NewBlock()
	for _, r := range records {
		rows.Add(r)
	}
	statement, columns := rows.Insert("records")
	if err := client.Do(t.Context(), ch.Query{Body: statement, Input: columns}); err != nil {
		t.Fatalf("insert records: %v", err)
	}
}

func (c *ClickHouse) open(user, database string) driver.Conn {
	c.t.Helper()
	conn, err := Open(c.Addr(), user, c.Password(user), database)
	if err != nil {
		c.t.Fatalf("connect %s: %v", user, err)
	}
	c.t.Cleanup(func() { conn.Close() })
	return conn
}

// Kill ends the engine as an out-of-memory killer would; its supervisor starts
// it again on the same address.
func (c *ClickHouse) Kill() {
	c.t.Helper()
	if err := syscall.Kill(c.PID(), syscall.SIGKILL); err != nil {
		c.t.Fatalf("kill the engine: %v", err)
	}
}
