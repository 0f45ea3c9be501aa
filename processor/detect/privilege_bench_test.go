package detect_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/schemas/event"
)

// BenchmarkPrivilegeRules is a round in which no finding changes, of the rules that
// read 200,000 privileges of 20,000 identities, one in ten of them unused: where
// nothing is new (idle), where the pass wrote of 200 identities (touch), and where
// all of it is judged (sweep).
func BenchmarkPrivilegeRules(b *testing.B) {
	t := newBench(b, nil)
	admin := t.clickhouse.Conn(embedded.Admin)
	for _, sql := range []string{
		`INSERT INTO privilege_states (tenant, iss, sub, server, kind, name, holder, how, granted_first, granted_last, granted_days, used_first, used_last, used_days)
		SELECT 'acme', 'https://sts.acme.example', concat('agent-', toString(number % 20000)), concat('server-', toString(number % 50)), 'scope', concat('scope-', toString(intDiv(number, 20000))),
			(now64(6, 'UTC'), 'agent', ''), if(number % 20 = 0, 8, 1),
			(now64(6, 'UTC') - toIntervalDay(100), generateUUIDv4()), now64(6, 'UTC'), groupBitmapState(toUInt32(intDiv(toUnixTimestamp(now()), 86400) - number % 90)),
			if(number % 10 = 0, (toDateTime64('2299-12-31 00:00:00', 6, 'UTC'), toUUID('00000000-0000-0000-0000-000000000000')), (now64(6, 'UTC') - toIntervalDay(50), generateUUIDv4())),
			if(number % 10 = 0, (toDateTime64(0, 6, 'UTC'), toUUID('00000000-0000-0000-0000-000000000000')), (now64(6, 'UTC') - toIntervalDay(2), generateUUIDv4())),
			groupBitmapState(toUInt32(intDiv(toUnixTimestamp(now()), 86400) - 2))
		FROM numbers(200000) GROUP BY number`,
		`INSERT INTO coverage_states (tenant, kind, source_id, server_id, issuer, hour, first_time, last_time, minutes)
		SELECT 'acme', 'tool_invocation', 'gateway', concat('server-', toString(number % 50)), '', toStartOfHour(now('UTC') - toIntervalHour(intDiv(number, 50))), now64(6, 'UTC') - toIntervalHour(intDiv(number, 50)), now64(6, 'UTC') - toIntervalHour(intDiv(number, 50)), 1
		FROM numbers(50 * 24 * 100)`,
	} {
		if err := admin.Exec(b.Context(), sql); err != nil {
			b.Fatal(err)
		}
	}
	passed := func() {
		if err := admin.Exec(b.Context(), "INSERT INTO pass_progress SELECT 'privilege', now64(6, 'UTC'), now64(6, 'UTC')"); err != nil {
			b.Fatal(err)
		}
	}
	for _, rule := range []string{"unused_grant", "over_scoped_token"} {
		e := t.newEngine(func(c *detect.Config) {
			c.Visible = time.Nanosecond // each round judges what came since the last
			c.Rules = slices.DeleteFunc(builtin(b), func(r *detect.Rule) bool { return r.ID != rule })
		})
		passed()
		began := time.Now()
		first, err := e.Once(b.Context())
		if err != nil || first.Opened == 0 {
			b.Fatalf("the first round: %+v, %v", first, err)
		}
		opening := time.Since(began)
		for name, prepare := range map[string]string{
			"idle":  "",
			"touch": "INSERT INTO privilege_states (tenant, iss, sub, server, kind, name, granted_first, used_first, taken_time) SELECT 'acme', 'https://sts.acme.example', concat('agent-', toString(number * 100)), concat('server-', toString(number * 100 % 50)), 'scope', 'scope-0', (toDateTime64('2299-12-31 00:00:00', 6, 'UTC'), toUUID('00000000-0000-0000-0000-000000000000')) AS never, never, now64(6, 'UTC') FROM numbers(200)",
			"sweep": "DELETE FROM rule_progress WHERE rule = '" + rule + ":sweep'",
		} {
			b.Run(rule+"/"+name, func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					if prepare != "" {
						t.store(ago(1, "triage-call", func(e *event.Event) { e.Source.Sequence, e.Source.EventID = 0, uuid.NewString() }))
						if err := admin.Exec(b.Context(), prepare); err != nil {
							b.Fatal(err)
						}
						passed()
					}
					b.StartTimer()
					if r, err := e.Once(b.Context()); err != nil || r != (detect.Result{}) {
						b.Fatalf("a round of nothing new: %+v, %v", r, err)
					}
				}
				b.ReportMetric(float64(first.Opened), "findings")
				b.ReportMetric(float64(opening.Milliseconds()), "ms/first")
			})
		}
	}
}
