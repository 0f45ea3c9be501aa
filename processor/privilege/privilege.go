// Package privilege keeps who may do what, and who does: for each identity and
// server the scopes and tools that it was granted, and those that it used.
//
// It stands behind the processor's store, as a pass of the later enrichment: so
// an insert waits for nothing of it. ClickHouse does all of it. Whether a grant
// is too much is not stored: evidence/query judges it when it is asked, by the
// window that is asked about.
//
// It guarantees that what is kept depends neither on the order in which events
// came nor on how often they are taken in: it is smallest and largest times, bits
// and sets of distinct values. Large sets are estimates, see the columns.
package privilege

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/table"
)

// Config configures a Pass.
type Config struct {
	// ClickHouse is a connection whose database is migrated, as a user who may
	// read all of it and write privilege_states, server_addresses and
	// token_services. Required.
	ClickHouse driver.Conn
}

// Pass keeps grants and their use.
type Pass struct {
	conn  driver.Conn
	taken *enrich.Taken
}

// New returns a pass. It connects when it runs.
func New(cfg Config) (*Pass, error) {
	if cfg.ClickHouse == nil {
		return nil, errors.New("privilege: ClickHouse is required")
	}
	return &Pass{cfg.ClickHouse, enrich.NewTaken(cfg.ClickHouse, stepRows)}, nil
}

var (
	//go:embed grants.sql
	grantsSQL string
	//go:embed delegated.sql
	delegatedSQL string
	//go:embed addresses.sql
	addressesSQL string
	//go:embed services.sql
	servicesSQL string
)

// settings bound one query, so that the pass takes ClickHouse neither from the
// processor nor from those who ask.
var settings = clickhouse.Settings{
	"max_execution_time":    60,
	"timeout_overflow_mode": "throw",
	"max_memory_usage":      1 << 30,
	"max_threads":           2,
	"priority":              10, // behind those who ask
	"async_insert":          0,
}

// stepRows bounds what one step takes in, and so ClickHouse's memory.
const stepRows = 200_000

// Take takes in what was stored from inclusive, to exclusive. It may be given the
// same again: what it has taken in it remembers for a while.
func (p *Pass) Take(ctx context.Context, from, to time.Time) error {
	return p.taken.Steps(ctx, from, to, p.step)
}

func (p *Pass) step(ctx context.Context, from, to time.Time) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"from": table.Micro(from), "to": table.Micro(to)}), clickhouse.WithSettings(settings))
	for _, sql := range []string{grantsSQL, delegatedSQL, addressesSQL, servicesSQL} {
		if err := p.conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("take in who may do what: %w", err)
		}
	}
	return nil
}
