// Package retain deletes records whose time is over, and leaves what shows that it
// was done by the rules: a signed record of each deletion, and the leaf hashes.
//
// Rules and holds are acts of people ([Act]), each an event. What lets records be
// deleted counts only as far as its event is stored; what keeps them, at once. A
// hold beats every rule.
//
// It stands beside the processor, and nothing waits for it. A pass signs what it is
// about to delete, makes it an event of the tenant, stores record and leaves, and
// then deletes; one that dies goes on with the next. So a record that is gone
// without a signed record of it was deleted by somebody else, and the
// reconciliation names it. Only what a checkpoint covers is deleted, and only where
// the bytes are those of the leaf hash beside them: what was altered stays, to be
// found.
//
// It does not reach what lies outside ClickHouse: Kafka keeps records as its topics
// are configured, backups what they have.
package retain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.opentelemetry.io/otel/metric"

	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/event"
)

// Types of events.
const (
	TypeChange  = "custody.change"  // an act, see [Act]
	TypeExpired = "custody.expired" // records were deleted
)

// Source is the id of the source that acts and deletions are events of.
const Source = "custody"

// Recorder makes events durable.
type Recorder interface {
	// Record returns nil when the event is durable.
	Record(ctx context.Context, e *event.Event) error
}

// Config configures a Retainer.
type Config struct {
	// ClickHouse is a connection whose database is migrated, as a user who may read
	// all of it, write [table.Retained] and delete from [table.Expired]. Required.
	ClickHouse driver.Conn
	// Shards returns a connection to one server of each shard of a cluster, or an error
	// when one is missing: rows are deleted there. Nil is one server.
	Shards func(context.Context) ([]driver.Conn, error)
	// Key signs, and Ring says whose signatures count. Required.
	Key  *seal.Key
	Ring *seal.Keyring
	// Folder takes the signed records outside ClickHouse; nil is none.
	Folder *seal.Folder
	// Recorder takes the events. Required.
	Recorder Recorder
	// Interval between two passes; 0 is 1 h.
	Interval time.Duration
	// Step is the most records of one signed record, which bounds memory to about
	// 100 bytes for each; 0 is 65,536.
	Step int
	// Chunk is the most records that one statement deletes; 0 is 2,000,000. Each
	// rewrites the parts of ClickHouse that they are in.
	Chunk uint64
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	Logger *slog.Logger
	Meter  metric.Meter
}

func (c *Config) setDefaults() error {
	if c.ClickHouse == nil || c.Key == nil || c.Ring == nil || c.Recorder == nil || c.Logger == nil {
		return errors.New("ClickHouse, Key, Ring, Recorder and Logger are required")
	}
	if c.Interval < 0 || c.Step < 0 {
		return errors.New("interval and step must not be negative")
	}
	if c.Interval == 0 {
		c.Interval = time.Hour
	}
	if c.Step == 0 {
		c.Step = 1 << 16
	}
	if c.Chunk == 0 {
		c.Chunk = 2_000_000
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

// Retainer deletes what is not to be kept any longer.
type Retainer struct {
	cfg    Config
	sealed *seal.Store
	tel    *telemetry
}

// New returns a retainer.
func New(cfg Config) (*Retainer, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("retain: %w", err)
	}
	tel, err := newTelemetry(cfg.Meter)
	if err != nil {
		return nil, fmt.Errorf("retain: %w", err)
	}
	return &Retainer{cfg: cfg, sealed: seal.NewStore(cfg.ClickHouse), tel: tel}, nil
}

// Report is what one pass did.
type Report struct {
	// Signed are the records of this pass, Deleted how many records of the log are
	// gone now.
	Signed  []*seal.Retention `json:"signed"`
	Deleted uint64            `json:"deleted"`
	// Held is how many would be gone were it not for holds.
	Held uint64 `json:"held"`
}

// Once runs one pass.
func (r *Retainer) Once(ctx context.Context) (*Report, error) {
	began := time.Now()
	rep := &Report{Signed: []*seal.Retention{}}
	if err := r.finish(ctx, rep); err != nil { // what a pass that died had signed
		return nil, err
	}
	err := r.sign(ctx, rep)
	if again := r.finish(ctx, rep); again != nil {
		return nil, errors.Join(err, again)
	}
	if err != nil {
		return nil, err
	}
	if err := r.forget(ctx); err != nil {
		return nil, err
	}
	r.tel.passed(ctx, rep, time.Since(began))
	return rep, nil
}

// Run runs passes until ctx is done. What fails is logged and tried again; it
// returns nil.
func (r *Retainer) Run(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.Interval)
	defer tick.Stop()
	for {
		if _, err := r.Once(ctx); err != nil && ctx.Err() == nil {
			r.tel.errors.Add(ctx, 1)
			r.cfg.Logger.Warn("records whose time is over were not deleted and will be", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
