package workload_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/workload"
	"github.com/custody-audit/custody/schemas/event"
)

// The events are valid, of their own ids, of several kinds, about 900 bytes long,
// and the same for the same seed.
func TestWorkload(t *testing.T) {
	w := &workload.Workload{Seed: 1, Base: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC), Step: 50 * time.Microsecond}
	const n = 10_000
	all := w.Batch(nil, 0, n)
	ids, kinds, size := map[string]bool{}, map[event.Kind]int{}, 0
	for i, e := range all {
		if err := e.Validate(); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
		ids[e.ID] = true
		kinds[e.Kind]++
		size += len(e.Canonical())
	}
	if len(ids) != n {
		t.Errorf("%d ids of %d events", len(ids), n)
	}
	if len(kinds) != 4 || kinds[event.ToolInvocation] != n*3/10 {
		t.Errorf("kinds %v", kinds)
	}
	if mean := size / n; mean < 850 || mean > 950 {
		t.Errorf("%d bytes in the mean, want about 900", mean)
	}
	again := w.Batch(nil, n/2, n)
	for i, e := range again {
		if !bytes.Equal(e.Canonical(), all[n/2+i].Canonical()) {
			t.Fatalf("event %d differs when it is made again", n/2+i)
		}
	}
	w.Seed++
	if bytes.Equal(w.Batch(nil, 0, workload.PerTask)[3].Canonical(), all[3].Canonical()) {
		t.Error("another seed makes the same events")
	}
}
