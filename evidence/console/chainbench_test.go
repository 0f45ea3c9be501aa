package console_test

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkChainPage makes the page of a delegation of 200 hops with a call each, from
// the request to its last byte. cpu-ms/op is what this process worked for it; ClickHouse
// is another process.
func BenchmarkChainPage(b *testing.B) {
	events, start := fanOut(200)
	v := open(b, events...).visit("admin")
	size := 0
	before := worked(b)
	for b.Loop() {
		page := v.page("/chain?tenant=deep&open=all&start=" + start)
		if n := strings.Count(page, `class="agent hop node`); n != 200 {
			b.Fatalf("%d boxes of agents, want 200", n)
		}
		size = len(page)
	}
	b.ReportMetric(float64((worked(b)-before).Milliseconds())/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(size), "page-B")
}

// worked is the CPU time that this process took.
func worked(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
