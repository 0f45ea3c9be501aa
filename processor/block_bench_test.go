package processor

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// BenchmarkRow is what a record costs from its bytes to the columns of a block,
// without a registry and with one in which everybody stands. The time is that of
// the processor: the clock on the wall tells of others too.
func BenchmarkRow(b *testing.B) {
	registry := &enrich.Registry{}
	for i := range 10_000 {
		registry.Principals = append(registry.Principals, enrich.Principal{Iss: "https://idp.acme.example", Sub: fmt.Sprint("person-", i), Owner: fmt.Sprint("owner-", i%300)})
	}
	var lines [][]byte
	for _, e := range story.Events() {
		if e.Tenant != "acme" {
			continue
		}
		lines = append(lines, e.AppendCanonical([]byte{0}))
		for _, p := range []event.Party{e.Subject, e.Actor} {
			registry.Principals = append(registry.Principals, enrich.Principal{Iss: p.Iss, Sub: p.Sub, Owner: p.Sub + "'s owner", Team: "team"})
		}
		registry.Servers = append(registry.Servers, enrich.Server{ID: e.Server.ID, Owner: "code", Sensitivity: "internal"})
		registry.Tools = append(registry.Tools, enrich.Tool{Server: e.Server.ID, Name: e.Tool.Name, Scopes: []string{"repo:read"}})
	}
	for name, s := range map[string]*enrich.Snapshot{"registry=none": nil, "registry=large": enrich.NewSnapshot(map[string]*enrich.Registry{"acme": registry})} {
		b.Run(name, func(b *testing.B) {
			k := newBlock()
			fill := func() {
				k.begin(position{})
				for i := range 20_000 {
					r := &k.record
					leaf := lines[i%len(lines)]
					*r = table.Record{Raw: leaf[1:], State: table.Stored, Facts: &k.facts}
					if err := k.read(r, leaf); err != nil {
						b.Fatal(err)
					}
					s.Facts(r.Event, &k.facts)
					k.rows.Add(r)
				}
			}
			fill() // grows the buffers, which blocks that are used again have
			b.ReportAllocs()
			begin := cpuTime(b)
			for b.Loop() {
				fill()
			}
			b.ReportMetric(float64(cpuTime(b)-begin)/float64(b.N)/20_000, "cpu-ns/event")
		})
	}
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
