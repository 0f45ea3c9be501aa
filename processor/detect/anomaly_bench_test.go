package detect_test

import (
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor/detect"
)

// BenchmarkAnomalyRules are rounds of the rules that hold identities against their
// past: 5,000 identities, one in ten of them young, with 2 million rows of nine
// weeks and 150,000 things they were seen with. In a round 20,000 calls are new, or
// none; all have made 24 calls and more in this hour, which is enough to be weighed.
// cpu-ms/op is what ClickHouse took of a core, which a busy machine changes less.
func BenchmarkAnomalyRules(b *testing.B) {
	t := newBench(b, nil)
	t.storePast()
	all, err := detect.Builtin()
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range all {
		if r.Query == "" {
			continue
		}
		for _, round := range []struct {
			name    string
			visible time.Duration // how far it reaches back
		}{{"new", time.Hour}, {"quiet", time.Nanosecond}} {
			b.Run(r.ID+"/"+round.name, func(b *testing.B) {
				e := t.newEngine(func(c *detect.Config) { c.Rules, c.Visible = []*detect.Rule{r}, round.visible })
				if _, err := e.Once(b.Context()); err != nil {
					b.Fatal(err)
				}
				before := t.spent()
				for b.Loop() {
					if again, err := e.Once(b.Context()); err != nil || again != (detect.Result{}) {
						b.Fatalf("judging again: %+v, %v", again, err)
					}
				}
				b.ReportMetric((t.spent()-before).Seconds()*1000/float64(b.N), "cpu-ms/op")
			})
		}
	}
}

// spent is the CPU time of the engine's queries so far.
func (b *bench) spent() time.Duration {
	b.Helper()
	var us uint64
	if err := b.clickhouse.Conn(embedded.Admin).QueryRow(b.Context(), "SELECT sum(value) FROM system.events WHERE event IN ('UserTimeMicroseconds', 'SystemTimeMicroseconds')").Scan(&us); err != nil {
		b.Fatal(err)
	}
	return time.Duration(us) * time.Microsecond
}

// storePast is what passes have computed of nine weeks, and the records of now.
func (b *bench) storePast() {
	b.Helper()
	admin := b.clickhouse.Conn(embedded.Admin)
	for _, sql := range []string{
		`INSERT INTO rhythm_states (tenant, week_hour, iss, sub, hour, stored_hour, server_id, tool_name, outcome, minutes, first, last_time)
		SELECT 'acme', (toDayOfWeek(hour) - 1) * 24 + toHour(hour), 'https://sts.acme.example', concat('agent-', toString(agent)), hour, hour, concat('server-', toString(agent % 50)), concat('tool-', toString(number % 2)), 'success',
			map(toUInt8(5), toUInt64(10 + cityHash64(number) % 6)), (hour, generateUUIDv4()), hour
		FROM (SELECT number, intDiv(number, 400) AS agent, intDiv(number % 400, 2) AS slot, toStartOfHour(now('UTC')) - toIntervalHour(168 * intDiv(slot, 22) + slot % 22) AS hour FROM numbers(2000000))
		WHERE agent % 10 != 0 OR slot < 44`,
		`INSERT INTO first_seen_states (tenant, what, iss, sub, object, first, last_time)
		SELECT 'acme', multiIf(thing < 20, 'tool', thing < 25, 'server', thing < 27, 'client', 'path'), 'https://sts.acme.example', concat('agent-', toString(agent)),
			multiIf(thing < 20, [concat('server-', toString(agent % 50)), concat('tool-', toString(thing))], thing < 25, [concat('server-', toString(if(thing = 20, agent % 50, thing)))], thing < 27, [concat('client-', toString(thing)), ''], ['alice', concat('agent-', toString(if(thing = 27, agent, thing)), '@https://sts.acme.example')]),
			(now64(6, 'UTC') - toIntervalDay(if(agent % 10 = 0, 10, 70)), generateUUIDv4()), now64(6, 'UTC')
		FROM (SELECT intDiv(number, 30) AS agent, number % 30 AS thing FROM numbers(150000))`,
		`INSERT INTO records (topic, epoch, offset, log_time, state, id, kind, type, time, tenant, outcome, subject_sub, actor_iss, actor_sub, server_id, tool_name)
		SELECT 'custody.events', 'e', number, now64(3), 'stored', generateUUIDv4(), 'tool_invocation', 'mcp.tools.call', now64(6, 'UTC'), 'acme', 'success', 'alice',
			'https://sts.acme.example', concat('agent-', toString(number % 5000)), concat('server-', toString(number % 50)), concat('tool-', toString(number % 2))
		FROM numbers(20000)`,
	} {
		if err := admin.Exec(b.Context(), sql); err != nil {
			b.Fatal(err)
		}
	}
	if err := b.passes.Once(b.Context()); err != nil {
		b.Fatal(err)
	}
}
