package bench

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/custody-audit/custody/deploy/process"
)

// contender is a program that stores a topic in ClickHouse.
type contender struct {
	name     string
	database string // of its own, made anew for each run
	table    string // with one row for each event
	exact    bool   // a row too many is an error; the Collector repeats what timed out
	// prepare makes what the program expects in the empty database.
	prepare func(context.Context) error
	// command is the program for a run, of which there is one with this number.
	command func(run int) (process.Command, error)
	// observe, when set, is called when everything is stored and the program still runs.
	observe func(context.Context, *sample) error
	// storing, when set, is called once when the first rows are there; it must not wait.
	storing func(context.Context)
}

// sample is one run of a contender.
type sample struct {
	events     int
	start      time.Duration // from the process's start to the first rows
	total      time.Duration // from the process's start to the last row
	rate       float64       // events a second between the fifth and the four fifths of them, so that what is under way counts alike at both ends
	cpu        time.Duration // of the contender's process, all its life
	rss        int64
	clickhouse time.Duration // CPU of ClickHouse until it merges nothing more
	broker     time.Duration // CPU of the broker
	intent     time.Duration // mean time to commit an intent
}

// perEvent is a time per event in microseconds.
func (s *sample) perEvent(d time.Duration) float64 {
	return float64(d.Nanoseconds()) / 1e3 / float64(s.events)
}

func (s *sample) String() string {
	return fmt.Sprintf("%7.0f events/s, first rows after %.2f s, all after %.2f s; CPU per event: %.2f us, ClickHouse %.2f, broker %.2f; RSS %d MiB",
		s.rate, s.start.Seconds(), s.total.Seconds(), s.perEvent(s.cpu), s.perEvent(s.clickhouse), s.perEvent(s.broker), s.rss>>20)
}

// run lets a contender store a topic of n events into an empty database.
func (s *estate) run(ctx context.Context, c *contender, number, n int) (*sample, error) {
	if err := s.empty(ctx, c.database); err != nil {
		return nil, err
	}
	if err := c.prepare(ctx); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", c.name, err)
	}
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	got, err := s.measure(ctx, c, number, n)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	return got, s.drop(ctx, c.database)
}

// measure runs a contender until the n events are stored beside what is there.
func (s *estate) measure(ctx context.Context, c *contender, number, n int) (_ *sample, err error) {
	program, err := c.command(number)
	if err != nil {
		return nil, err
	}
	before, err := s.servers()
	if err != nil {
		return nil, err
	}
	there, err := s.rows(ctx, c)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	p, err := process.Start(s.dir, c.name, false, program)
	if err != nil {
		return nil, err
	}
	got := &sample{events: n}
	err = s.await(ctx, c, p, got, began, there)
	if err == nil && c.observe != nil {
		err = c.observe(ctx, got)
	}
	used, stopErr := p.Stop(syscall.SIGTERM)
	if err := errors.Join(err, stopErr); err != nil {
		return nil, err
	}
	got.cpu = used.CPU
	if got.rss == 0 {
		got.rss = used.RSS
	}
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	after, err := s.servers()
	got.clickhouse, got.broker = after[0]-before[0], after[1]-before[1]
	return got, err
}

// servers returns the CPU time of ClickHouse and of the broker.
func (s *estate) servers() (out [2]time.Duration, err error) {
	clickhouse, err1 := process.CPUTime(s.engine.PID())
	broker, err2 := process.CPUTime(s.broker.PID())
	return [2]time.Duration{clickhouse, broker}, errors.Join(err1, err2)
}

// rows counts without reading any; a table that is not there yet has none.
func (s *estate) rows(ctx context.Context, c *contender) (int, error) {
	var n uint64
	err := s.admin.QueryRow(ctx, "SELECT sum(ifNull(total_rows, 0)) FROM system.tables WHERE database = ? AND name = ?", c.database, c.table).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count rows of %s.%s: %w", c.database, c.table, err)
	}
	return int(n), nil
}

// stall is how long no row may come before the run has failed.
const stall = 3 * time.Minute

// mark is when a number of rows was there for the first time.
type mark struct {
	rows int
	at   time.Time
}

func (m *mark) set(rows int, at time.Time, want int) {
	if m.rows == 0 && rows >= want {
		*m = mark{rows, at}
	}
}

// await counts the rows until all are there. A program that ends by itself may end before we look.
func (s *estate) await(ctx context.Context, c *contender, p *process.Process, got *sample, began time.Time, there int) error {
	last, moved := 0, began
	var from, to mark
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	ended := p.Ended
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			if p.Err != nil {
				return p.Failure()
			}
			ended = nil
		case <-tick.C:
		}
		n, err := s.rows(ctx, c)
		if err != nil {
			return err
		}
		n -= there
		now := time.Now()
		if n > last {
			moved = now
			if last == 0 {
				got.start = now.Sub(began)
				if c.storing != nil {
					c.storing(ctx)
				}
			}
			got.rss = max(got.rss, p.Peak())
			from.set(n, now, got.events/5)
			to.set(n, now, got.events*4/5)
		}
		last = n
		if n >= got.events {
			got.total = now.Sub(began)
			got.rate = float64(n) / got.total.Seconds() // when they came at once
			if to.rows > from.rows {
				got.rate = float64(to.rows-from.rows) / to.at.Sub(from.at).Seconds()
			}
			if c.exact && n > got.events {
				return fmt.Errorf("%d rows of %d events", n, got.events)
			}
			return nil
		}
		if now.Sub(moved) > stall {
			return fmt.Errorf("%d of %d rows, and no more for %s; its log says: %v", n, got.events, stall, p.Failure())
		}
	}
}
