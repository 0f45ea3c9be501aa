package verdict_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/deploy/workload"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/verdict"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// Whichever event comes last, the same is judged in the end. Each order is tried
// in tenants of its own, so that all are judged in two rounds.
func TestAnyEventMayComeLast(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	stories := make([][]*event.Event, len(story.Events()))
	for i := range stories {
		stories[i] = story.Events()
		for _, e := range stories[i] {
			move(e, fmt.Sprintf("%s-%d", e.Tenant, i))
		}
		b.store(slices.Concat(stories[i][:i], stories[i][i+1:])...)
	}
	b.once()
	before := b.verdicts()
	for i := range stories {
		b.store(stories[i][i])
	}
	b.once()
	told := b.told()
	for i := range stories {
		for tenant, want := range judged {
			if diff := cmp.Diff(want, told[fmt.Sprintf("%s-%d", tenant, i)]); diff != "" {
				t.Errorf("%s of %s comes last (-want +got):\n%s", stories[i][i].Source.EventID, tenant, diff)
			}
		}
	}
	if cmp.Equal(before, b.verdicts()) {
		t.Error("no late event changed a verdict")
	}
}

// mixed are stories in tenants of their own and the workload of a busy
// installation, in any order.
func mixed(rng *rand.Rand, copies int, tasks uint64) []*event.Event {
	w := workload.Workload{Seed: rng.Uint64(), Base: time.Date(2026, 10, 5, 9, 0, 0, 0, time.UTC), Step: 5 * time.Second}
	events := w.Batch(nil, 0, tasks*workload.PerTask)
	for i := range copies {
		for _, e := range without("report-call-again") {
			move(e, fmt.Sprintf("%s-%d", e.Tenant, i))
			events = append(events, e)
		}
	}
	rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	return events
}

// anew judges everything from the beginning.
func (b *bench) anew() []*query.Verdict {
	b.Helper()
	b.empty(table.Computed...)
	b.engine = b.newEngine()
	b.once()
	return b.verdicts()
}

// In any order and any number of rounds, with engines that are started again, the
// same comes out as when everything is judged at once.
func TestRandomOrders(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for seed := range uint64(2) {
		b.empty()
		b.engine = b.newEngine()
		rng := rand.New(rand.NewPCG(seed, 7))
		events := mixed(rng, 3, 60)
		for len(events) > 0 {
			n := min(len(events), 1+rng.IntN(300))
			b.store(events[:n]...)
			events = events[n:]
			if rng.IntN(3) == 0 {
				b.engine = b.newEngineOf(verdict.Config{Chunk: 1 + rng.IntN(100), Rows: 200 + rng.IntN(800)})
			}
			if rng.IntN(6) == 0 {
				b.empty("pass_progress")
			}
			b.once()
		}
		got := b.verdicts()
		if diff := cmp.Diff(b.anew(), got); diff != "" {
			t.Errorf("seed %d (-at once +in rounds):\n%s", seed, diff)
		}
		if len(got) < 3*22+100 {
			t.Errorf("seed %d: %d verdicts", seed, len(got))
		}
	}
}

// A round that is cut off anywhere is repeated by the next engine, and nothing is left out.
func TestCutOff(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rng := rand.New(rand.NewPCG(11, 7))
	events, cut := mixed(rng, 3, 60), 0
	began := time.Now()
	b.store(events[:60]...)
	b.once()
	whole := time.Since(began) // of a round, on this machine and day
	for part := range slices.Chunk(events[60:], 60) {
		b.store(part...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.Int64N(int64(whole))))
		if err := b.engine.Once(ctx); err != nil {
			cut++
			b.engine = b.newEngine()
			if cut%3 == 0 {
				b.once()
			}
		}
		cancel()
	}
	b.once()
	got := b.verdicts()
	if diff := cmp.Diff(b.anew(), got); diff != "" {
		t.Errorf("(-at once +cut off):\n%s", diff)
	}
	if cut == 0 {
		t.Error("no round was cut off")
	}
	t.Logf("%d of %d rounds were cut off", cut, (len(events)+59)/60)
}

// Engines that run beside each other, while events come, end with what one of
// them says of everything.
func TestEnginesTogether(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, stop := context.WithCancel(t.Context())
	var engines sync.WaitGroup
	for range 2 {
		e := b.newEngine()
		engines.Go(func() {
			for ctx.Err() == nil {
				if err := e.Once(ctx); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	for part := range slices.Chunk(mixed(rand.New(rand.NewPCG(13, 7)), 2, 40), 40) {
		b.store(part...)
	}
	stop()
	engines.Wait()
	b.once()
	got := b.verdicts()
	if diff := cmp.Diff(b.anew(), got); diff != "" {
		t.Errorf("(-at once +together):\n%s", diff)
	}
}

// Judging again writes no row.
func TestTwiceAddsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store(without()...)
	b.once()
	rows := b.count("SELECT count() FROM verdict_states")
	for range 2 {
		b.engine = b.newEngine()
		b.empty("pass_progress")
		b.once()
	}
	if n := b.count("SELECT count() FROM verdict_states"); n != rows || n != 22 {
		t.Errorf("%d rows, then %d", rows, n)
	}
}

// What another tenant decided, issued, used or was heard of is nothing to this one.
func TestNothingCrossesTenants(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, want := range map[string]string{
		"refund-decision":   "refund-call: no_decision_source by -, legitimate, narrowed", // the next about billing-mcp is half an hour later
		"exchange-crm":      "customer-call: decided_allow by customer-decision (token_jsonrpc), orphan, unknown",
		"customer-call":     "invoices-call: decided_allow by invoices-decision (token_jsonrpc), passthrough, narrowed",
		"exchange-widening": "export-call: decided_allow by export-decision (token_jsonrpc), orphan, unknown",
	} {
		b.empty()
		b.engine = b.newEngine()
		events := story.Events()
		for _, e := range events {
			if e.Source.EventID == name {
				move(e, "hooli")
			}
		}
		b.store(events...)
		b.once()
		if got := b.told()["globex"]; !slices.Contains(got, want) {
			t.Errorf("%s is another tenant's: no %q in\n%s", name, want, strings.Join(got, "\n"))
		}
	}
	b.empty()
	b.engine = b.newEngine()
	events := story.Events()
	for _, e := range events {
		if e.Source.ID == "globex-pdp" || e.Source.ID == "globex-keycloak" {
			move(e, "hooli")
		}
	}
	b.store(events...)
	b.once()
	for _, line := range b.told()["globex"] {
		if !strings.Contains(line, ": no_decision_source by -, issuer_not_connected, unknown") && !strings.Contains(line, "passthrough, unknown") {
			t.Errorf("nobody is connected: %s", line)
		}
	}
}
