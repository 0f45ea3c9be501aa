package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/custody-audit/custody/deploy/process"
	"github.com/custody-audit/custody/deploy/workload"
)

// latencyPrefix is before the topic of the events that come at a steady rate.
const latencyPrefix = "steady."

// stamped is a batch that Kafka acknowledged.
type stamped struct {
	produced
	at time.Time
}

// latency runs the processor while events come at the rate and returns the 99th
// percentile of the time from Kafka's acknowledgement to the first look at
// ClickHouse that shows the event.
func (r *runner) latency(ctx context.Context) (Figure, error) {
	r.say("%d events/s for %s", r.cfg.Rate, r.cfg.Duration)
	c := r.custody(latencyPrefix)
	if err := r.fresh(ctx, c); err != nil {
		return Figure{}, err
	}
	got, used, err := r.atRate(ctx, c, latencyPrefix)
	if err != nil {
		return Figure{}, err
	}
	total := got.total()
	r.say("stored after: p50 %.2f s, p99 %.2f s, at most %.2f s; %d events, CPU per event %.2f us", got.percentile(50).Seconds(),
		got.percentile(99).Seconds(), got[len(got)-1].delay.Seconds(), total, float64(used.CPU.Microseconds())/float64(total))
	return absolute("stored_p99", got.percentile(99).Seconds(), "s", 5), r.drop(ctx, c.database)
}

// fresh makes the contender's database anew.
func (r *runner) fresh(ctx context.Context, c *contender) error {
	if err := r.empty(ctx, c.database); err != nil {
		return err
	}
	return c.prepare(ctx)
}

// atRate lets the processor run while events come at the rate to a new topic of the
// prefix, until all are stored.
func (r *runner) atRate(ctx context.Context, c *contender, prefix string) (delays, process.Usage, error) {
	if err := r.createTopic(ctx, custodyTopic(prefix), r.cfg.Partitions); err != nil {
		return nil, process.Usage{}, err
	}
	r.run++
	program, err := c.command(r.run)
	if err != nil {
		return nil, process.Usage{}, err
	}
	p, err := process.Start(r.dir, "custody-steady", false, program)
	if err != nil {
		return nil, process.Usage{}, err
	}
	got, err := r.steady(ctx, p, custodyTopic(prefix))
	used, stopErr := p.Stop(syscall.SIGTERM)
	return got, used, errors.Join(err, stopErr)
}

// delayed is how long a number of events took.
type delayed struct {
	delay time.Duration
	count int
}

type delays []delayed // sorted

func (d delays) total() (events int) {
	for _, x := range d {
		events += x.count
	}
	return events
}

func (d delays) percentile(p int) time.Duration {
	left := d.total() * p / 100
	for _, x := range d {
		if left -= x.count; left < 0 {
			return x.delay
		}
	}
	return d[len(d)-1].delay
}

// steady sends and looks at the same time.
func (r *runner) steady(ctx context.Context, p *process.Process, topic string) (delays, error) {
	sent := make(chan stamped, 1<<16)
	var out delays
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error {
		defer close(sent)
		return r.send(ctx, topic, sent)
	})
	both.Go(func() error {
		var err error
		out, err = r.look(ctx, p, sent)
		return err
	})
	if err := both.Wait(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no event was sent")
	}
	slices.SortFunc(out, func(a, b delayed) int { return int(a.delay - b.delay) })
	return out, nil
}

// send produces what is due, every 20 ms, whether the last is acknowledged or not.
func (r *runner) send(ctx context.Context, topic string, sent chan<- stamped) error {
	began := time.Now()
	w := &workload.Workload{Seed: r.cfg.Seed + 1, Base: began, Step: time.Second / time.Duration(r.cfg.Rate)}
	all := uint64(r.cfg.Duration.Seconds()*float64(r.cfg.Rate)) / workload.PerTask * workload.PerTask
	producing, ctx := errgroup.WithContext(ctx)
	producing.SetLimit(64)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var late sync.Once
	for done := uint64(0); done < all; {
		select {
		case <-ctx.Done():
			return producing.Wait()
		case <-tick.C:
		}
		due := min(uint64(time.Since(began).Seconds()*float64(r.cfg.Rate))/workload.PerTask*workload.PerTask, all)
		if due == done {
			continue
		}
		if time.Since(began) > r.cfg.Duration*3/2 {
			late.Do(func() { r.say("the machine does not produce %d events/s; the rate is lower", r.cfg.Rate) })
		}
		from := done
		done = due
		producing.Go(func() error {
			out, err := r.produce(ctx, topic, r.cfg.Partitions, canonical(w.Batch(nil, from, due)))
			for _, b := range out {
				sent <- stamped{b, time.Now()}
			}
			return err
		})
	}
	return producing.Wait()
}

// look asks every 50 ms how far each partition is stored. A delay is measured at
// the end of the look that shows it: up to a look too long, never too short.
func (r *runner) look(ctx context.Context, p *process.Process, sent <-chan stamped) (delays, error) {
	var out delays
	waiting, open, moved := []stamped{}, true, time.Now()
	for open || len(waiting) > 0 {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-p.Ended:
			return nil, p.Failure()
		case <-time.After(50 * time.Millisecond):
		}
		for more := open; more; {
			select {
			case s, ok := <-sent:
				if more = ok; ok {
					waiting = append(waiting, s)
				}
				open = ok
			default:
				more = false
			}
		}
		stored, err := r.stored(ctx)
		if err != nil {
			return nil, err
		}
		now := time.Now()
		left := waiting[:0]
		for _, s := range waiting {
			if stored[s.partition] >= s.end {
				out, moved = append(out, delayed{now.Sub(s.at), s.count}), now
			} else {
				left = append(left, s)
			}
		}
		waiting = left
		if len(waiting) > 0 && now.Sub(moved) > stall {
			return nil, fmt.Errorf("%d batches are not stored, and no more came for %s", len(waiting), stall)
		}
	}
	return out, nil
}

// stored returns the offset after the last stored one of each partition; blocks
// are stored in order.
func (r *runner) stored(ctx context.Context) (map[int]int64, error) {
	rows, err := r.admin.Query(ctx, "SELECT partition, max(offset) + 1 FROM custody.records GROUP BY partition")
	if err != nil {
		return nil, fmt.Errorf("ask for stored offsets: %w", err)
	}
	defer rows.Close()
	out := map[int]int64{}
	for rows.Next() {
		var partition uint32
		var end uint64
		if err := rows.Scan(&partition, &end); err != nil {
			return nil, err
		}
		out[int(partition)] = int64(end)
	}
	return out, rows.Err()
}
