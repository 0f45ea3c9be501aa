// Package verdict judges every tool call against the decisions, the exchanges and
// the issues of tokens that were seen, and keeps what it concludes in ClickHouse.
//
// It stands behind the processor's store, as the detections do: a pass of the
// later enrichment gives it what was stored since it last looked. It finds which
// calls that concerns, new ones and old ones, and judges those by all that is
// stored. So an event that comes late judges anew the calls that it belongs to.
// What is concluded from silence is not stored at all: the view verdicts looks
// up which sources were heard of when it is asked.
//
// It guarantees that the verdicts do not depend on the order in which events
// came, nor on how often they are taken in; that only what changed is written,
// the newest row counts; and that no event of another tenant has a part in them.
// It does not guarantee that two passes at work at the same time do the work once.
package verdict

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/metric"

	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/processor/parts"
	"github.com/custody-audit/custody/schemas/table"
)

// Config configures a Pass.
type Config struct {
	// ClickHouse is a connection whose database is migrated, as a user who may
	// read all of it and write coverage_states, token_calls, token_issues and verdict_states. Required.
	ClickHouse driver.Conn
	// Sessions are connections of the same user, one for each question: what
	// clickhouse.OpenDB returns. Required.
	Sessions *sql.DB
	// Chunk is the most calls that one query judges; 0 is 50,000. More need more
	// memory of ClickHouse, fewer read what they have in common more often.
	Chunk int
	// Rows is how many rows a step takes in, and the rest of their last block; 0 is
	// 200,000. More need more memory of ClickHouse.
	Rows  int
	Meter metric.Meter
}

// Pass judges calls. One step runs at a time.
type Pass struct {
	conn    driver.Conn
	asking  *sql.DB
	whom    parts.Question // which calls are concerned
	chunk   int
	tel     *telemetry
	taken   *enrich.Taken
	version uint64 // of the rows written last
}

// New returns a pass. It connects when it runs.
func New(cfg Config) (*Pass, error) {
	if cfg.ClickHouse == nil || cfg.Sessions == nil || cfg.Chunk < 0 || cfg.Rows < 0 {
		return nil, errors.New("verdict: want ClickHouse and Sessions, and Chunk and Rows of 0 or more")
	}
	if cfg.Chunk == 0 {
		cfg.Chunk = 50_000
	}
	if cfg.Rows == 0 {
		cfg.Rows = 200_000
	}
	tel, err := newTelemetry(cfg.Meter)
	if err != nil {
		return nil, fmt.Errorf("verdict: %w", err)
	}
	whom, err := parts.Parse(concernedSQL)
	if err != nil {
		return nil, fmt.Errorf("verdict: %w", err)
	}
	return &Pass{conn: cfg.ClickHouse, asking: cfg.Sessions, whom: whom, chunk: cfg.Chunk, tel: tel, taken: enrich.NewTaken(cfg.ClickHouse, cfg.Rows)}, nil
}

// The queries of a step, in their order.
var (
	//go:embed coverage.sql
	coverageSQL string
	//go:embed issues.sql
	issuesSQL string
	//go:embed calls.sql
	callsSQL string
	//go:embed concerned.sql
	concernedSQL string
	//go:embed used.sql
	usedSQL string
	//go:embed judge.sql
	judgeSQL string
)

// Take takes in what was stored from inclusive, to exclusive. It may be given the
// same again: what it has taken in it remembers for a while.
func (p *Pass) Take(ctx context.Context, from, to time.Time) error {
	return p.taken.Steps(ctx, from, to, func(ctx context.Context, from, to time.Time) error {
		return p.step(ctx, clickhouse.Parameters{"from": table.Micro(from), "to": table.Micro(to)})
	})
}

// step brings up to date who was heard of, how tokens came to be and which call of
// each is its first, and then the verdicts that rest on it.
func (p *Pass) step(ctx context.Context, window clickhouse.Parameters) error {
	for _, sql := range []string{coverageSQL, issuesSQL, callsSQL} {
		if err := p.conn.Exec(with(ctx, window), sql); err != nil {
			return fmt.Errorf("take in what is new of sources and tokens: %w", err)
		}
	}
	version, err := p.nextVersion(ctx)
	if err != nil {
		return err
	}
	calls, err := p.concerned(ctx, window)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(calls, p.chunk) {
		if err := inHalves(chunk, func(calls []call) error { return p.judge(ctx, calls, version) }); err != nil {
			return err
		}
	}
	return nil
}

// inHalves judges calls, and those that are too much for a query by halves: many
// calls that many decisions may belong to must not stop the pass.
func inHalves(calls []call, judge func([]call) error) error {
	err := judge(calls)
	if len(calls) == 1 || !enrich.Exceeded(err) {
		return err
	}
	half := len(calls) / 2
	if err := inHalves(calls[:half], judge); err != nil {
		return err
	}
	return inHalves(calls[half:], judge)
}

// call names a call; by the hour it is found.
type call struct {
	tenant string
	hour   time.Time
	id     uuid.UUID
}

func (p *Pass) concerned(ctx context.Context, window clickhouse.Parameters) (calls []call, err error) {
	err = p.whom.Ask(with(ctx, window), p.asking, func(rows *sql.Rows) error {
		for rows.Next() {
			var c call
			if err := rows.Scan(&c.tenant, &c.hour, &c.id); err != nil {
				return err
			}
			calls = append(calls, c)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for the calls that are concerned: %w", err)
	}
	return calls, nil
}

// judge judges calls and writes what is not stored as it comes out.
func (p *Pass) judge(ctx context.Context, calls []call, version uint64) error {
	concerned, err := ext.NewTable("concerned", ext.Column("tenant", "String"), ext.Column("hour", "DateTime('UTC')"), ext.Column("id", "UUID"))
	if err != nil {
		return fmt.Errorf("name calls: %w", err)
	}
	for _, c := range calls {
		if err := concerned.Append(c.tenant, c.hour, c.id); err != nil {
			return fmt.Errorf("name calls: %w", err)
		}
	}
	used, err := p.used(ctx, concerned)
	if err != nil {
		return err
	}
	ctx = with(ctx, clickhouse.Parameters{"version": fmt.Sprint(version)}, clickhouse.WithExternalTable(concerned, used), p.tel.writing(ctx))
	if err := p.conn.Exec(ctx, judgeSQL); err != nil {
		return fmt.Errorf("judge %d calls: %w", len(calls), err)
	}
	p.tel.judged.Add(ctx, int64(len(calls)))
	return nil
}

// used are the tokens of the calls concerned. They are asked for first, so that
// ClickHouse has a list to look up and no query within the query.
func (p *Pass) used(ctx context.Context, concerned *ext.Table) (*ext.Table, error) {
	used, err := ext.NewTable("used", ext.Column("tenant", "String"), ext.Column("ref", "String"))
	if err != nil {
		return nil, fmt.Errorf("name tokens: %w", err)
	}
	err = table.Each(with(ctx, nil, clickhouse.WithExternalTable(concerned)), p.conn, usedSQL, func(rows driver.Rows) error {
		var tenant, ref string
		if err := rows.Scan(&tenant, &ref); err != nil {
			return err
		}
		return used.Append(tenant, ref)
	})
	if err != nil {
		return nil, fmt.Errorf("look for the tokens of %d calls: %w", concerned.Block().Rows(), err)
	}
	return used, nil
}

// nextVersion grows with the time at which what a row rests on was read, so that
// of two passes the one that knew more prevails.
func (p *Pass) nextVersion(ctx context.Context) (uint64, error) {
	var now time.Time
	if err := p.conn.QueryRow(ctx, "SELECT now64(6, 'UTC')").Scan(&now); err != nil {
		return 0, fmt.Errorf("ask clickhouse for the time: %w", err)
	}
	p.version = max(p.version+1, uint64(now.UnixMicro()))
	return p.version, nil
}
