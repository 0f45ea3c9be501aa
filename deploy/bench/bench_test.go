package bench

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/workload"
	"github.com/custody-audit/custody/processor/enrich"
)

// The registry is one that a processor takes, of every tenant of the workload.
func TestRegistry(t *testing.T) {
	name := filepath.Join(t.TempDir(), "registry.yaml")
	if err := os.WriteFile(name, []byte(registryText()), 0o600); err != nil {
		t.Fatal(err)
	}
	registries, err := enrich.Read(name)
	if err != nil {
		t.Fatal(err)
	}
	w := &workload.Workload{Seed: 1, Base: time.Now(), Step: time.Millisecond}
	for _, e := range w.Batch(nil, 0, 1000) {
		if registries[e.Tenant] == nil {
			t.Fatalf("nothing is registered of tenant %s", e.Tenant)
		}
	}
}

func TestMiddle(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{4, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5}} {
		if got := middle(c.values); got != c.want {
			t.Errorf("the middle of %v is %v, want %v", c.values, got, c.want)
		}
	}
}

// The 99th percentile counts events, not batches.
func TestPercentile(t *testing.T) {
	d := delays{{time.Second, 980}, {2 * time.Second, 15}, {9 * time.Second, 5}}
	for p, want := range map[int]time.Duration{50: time.Second, 98: 2 * time.Second, 99: 2 * time.Second, 100: 9 * time.Second} {
		if got := d.percentile(p); got != want {
			t.Errorf("p%d is %s, want %s", p, got, want)
		}
	}
}
