package privilege_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/privilege"
	"github.com/custody-audit/custody/schemas/event"
)

// traffic is n events of a thousand agents on one day: exchanges, decisions and calls.
func traffic(day float64, n int) (out []*event.Event) {
	tools := []string{"read", "merge", "label"}
	for i := range n / 3 {
		agent, token, tool := fmt.Sprint("agent-", i%1000), fmt.Sprint("token-", i/4), tools[i%3]
		out = append(out, exchange(day, agent, token, 3600, "repo:read", "repo:write", "issue:write"),
			on(day, event.PermissionDecision, event.TypeDecision, agent, func(e *event.Event) {
				e.Tool.Name, e.Decision = tool, event.Decision{Effect: event.Allow, Engine: "opa"}
			}),
			call(day, agent, tool, token, "repo:read", "repo:write", "issue:write"))
	}
	return out
}

// BenchmarkTake is what the pass costs for 100,000 new records, and what asking costs then.
func BenchmarkTake(b *testing.B) {
	t := newBench(b)
	for day := range 5 {
		t.store(traffic(float64(day), 20_000))
	}
	p, err := privilege.New(privilege.Config{ClickHouse: t.conn})
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for b.Loop() {
		if err := p.Take(b.Context(), time.Unix(0, 0), time.Now().Add(time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	began := time.Now()
	page := t.list(query.PrivilegeFilter{})
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms/list")
	b.ReportMetric(float64(len(page.Privileges)), "privileges")
	var rows, bytes uint64
	if err := t.conn.QueryRow(b.Context(), "SELECT total_rows, total_bytes FROM system.tables WHERE name = 'privilege_states'").Scan(&rows, &bytes); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(bytes)/float64(max(rows, 1)), "bytes/row")
}
