package enrich_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor/enrich"
)

// storeCalls stores calls of a thousand agents, n of them in each of some minutes
// before a time.
func (b *bench) storeCalls(before time.Time, minutes, n int) {
	b.Helper()
	err := b.clickhouse.Conn(embedded.Admin).Exec(b.Context(), fmt.Sprintf(`INSERT INTO records (topic, epoch, offset, log_time, state, id, kind, type, time, stored_time, tenant, outcome, actor_iss, actor_sub, server_id, tool_name)
		SELECT 'custody.events', 'e', %d + number, stored_time, 'stored', generateUUIDv4(), 'tool_invocation', 'mcp.tools.call', stored_time, toDateTime64('%s', 6, 'UTC') - toIntervalMicrosecond(1 + intDiv(number * 60000000, %d)) AS stored_time,
			'acme', 'success', 'https://sts.acme.example', concat('agent-', toString(cityHash64(number) %% 1000)), concat('server-', toString(number %% 50)), concat('tool-', toString(number %% 7))
		FROM numbers(%d)`, b.offset, before.UTC().Format("2006-01-02 15:04:05.000000"), n, minutes*n))
	if err != nil {
		b.Fatal(err)
	}
	b.offset += int64(minutes * n)
}

// What a pass lets rest it gets when that is over, or at once when somebody asks for all.
func TestRest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.storeCalls(time.Now(), 10, 6)
	const rest = 3 * time.Minute
	var given, late time.Time
	given = time.Unix(0, 0)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	rounds := 0
	e, err := enrich.NewEngine(enrich.EngineConfig{ClickHouse: b.conn, Interval: time.Millisecond, Logger: slog.New(slog.DiscardHandler), Passes: []enrich.Pass{
		{Name: "resting", Rest: rest, Take: func(_ context.Context, _, to time.Time) error {
			given, late = to, time.Now()
			return nil
		}},
		{Name: "last", Take: func(context.Context, time.Time, time.Time) error {
			if rounds++; rounds == 2 {
				stop()
			}
			return nil
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if ago := late.Sub(given); ago < rest-time.Second || ago > rest+2*time.Minute || !given.Equal(given.Truncate(time.Minute)) {
		t.Errorf("it was given what was stored until %s, %s ago", given, ago)
	}
	if n := b.lines("SELECT toString(uniqExact(hour)) FROM rhythm_states"); n[0] == "0" {
		t.Error("nothing of it was counted")
	}
	var events, ripe uint64
	count := func() {
		t.Helper()
		if err := b.conn.QueryRow(t.Context(), "SELECT (SELECT sum(events) FROM activity_hourly), (SELECT count() FROM records WHERE stored_time < toStartOfMinute(now() - toIntervalSecond(?)))", int64(enrich.Rest.Seconds())).Scan(&events, &ripe); err != nil {
			t.Fatal(err)
		}
	}
	if count(); events == 0 || events > ripe {
		t.Errorf("%d events are counted, %d have rested", events, ripe)
	}
	began := time.Now()
	if b.once(e); given.Before(began) {
		t.Errorf("asked for all, it was given what was stored until %s", given)
	}
	if count(); events != 60 {
		t.Errorf("asked for all, %d events are counted", events)
	}
}

// BenchmarkMinutes is what counting costs in rounds of 30 s that reach back 90 s, over
// ten minutes of 20,000 calls each: in CPU time of ClickHouse for an event. "each
// round" is a pass that remembers nothing, which counts what it is given.
func BenchmarkMinutes(b *testing.B) {
	const minutes, n = 10, 20_000
	t := newBench(b)
	end := time.Now().Truncate(time.Minute)
	for minute := range minutes {
		t.storeCalls(end.Add(-time.Duration(minute)*time.Minute), 1, n)
	}
	for _, pass := range []struct {
		name  string
		make  func() enrich.Pass
		fresh bool
	}{
		{"activity", func() enrich.Pass { return enrich.Activity(t.conn) }, false}, {"activity/each round", func() enrich.Pass { return enrich.Activity(t.conn) }, true},
		{"rhythm", func() enrich.Pass { return enrich.Rhythm(t.conn) }, false}, {"rhythm/each round", func() enrich.Pass { return enrich.Rhythm(t.conn) }, true},
	} {
		b.Run(pass.name, func(b *testing.B) {
			for b.Loop() {
				before := t.spent()
				p := pass.make()
				for now := end.Add(-minutes*time.Minute + 40*time.Second); now.Before(end.Add(2*time.Minute + p.Rest)); now = now.Add(30 * time.Second) {
					until := now
					if pass.fresh {
						p = pass.make()
					} else if p.Rest > 0 {
						until = now.Add(-p.Rest).Truncate(time.Minute)
					}
					if err := p.Take(b.Context(), until.Add(-2*time.Minute), until); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64((t.spent()-before).Microseconds())/(minutes*n), "cpu-us/event")
			}
		})
	}
}

// spent is the CPU time of ClickHouse so far.
func (b *bench) spent() time.Duration {
	b.Helper()
	var us uint64
	if err := b.clickhouse.Conn(embedded.Admin).QueryRow(b.Context(), "SELECT sum(value) FROM system.events WHERE event IN ('UserTimeMicroseconds', 'SystemTimeMicroseconds')").Scan(&us); err != nil {
		b.Fatal(err)
	}
	return time.Duration(us) * time.Microsecond
}
