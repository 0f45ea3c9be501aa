package detect_test

import (
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor/detect"
)

// BenchmarkPrivilegeRules is a round in which nothing changed, of the rules that
// look at all privileges: 200,000 of 20,000 identities, one in ten of them unused.
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
	for _, rule := range []string{"unused_grant", "over_scoped_token"} {
		b.Run(rule, func(b *testing.B) {
			e := t.newEngine(func(c *detect.Config) {
				all, err := detect.Builtin()
				if err != nil {
					b.Fatal(err)
				}
				for _, r := range all {
					if r.ID == rule {
						c.Rules = []*detect.Rule{r}
					}
				}
			})
			began := time.Now()
			first, err := e.Once(b.Context())
			if err != nil || first.Opened == 0 {
				b.Fatalf("the first round: %+v, %v", first, err)
			}
			opening := time.Since(began)
			for b.Loop() {
				if r, err := e.Once(b.Context()); err != nil || r != (detect.Result{}) {
					b.Fatalf("a round of nothing new: %+v, %v", r, err)
				}
			}
			b.ReportMetric(float64(first.Opened), "findings")
			b.ReportMetric(float64(opening.Milliseconds()), "ms/first")
		})
	}
}
