package main

import (
	"bufio"
	"encoding/json"
	"strings"
	"testing"

	"github.com/custody-audit/custody/deploy/bench"
)

// The benchmark runs from end to end and gives each figure on a line; what the
// figures are is not a matter of a test.
func TestBenchProcessor(t *testing.T) {
	t.Setenv(mainVariable, "1") // its children are this binary
	out := ask(t, "bench", "processor", "--events", "2000", "--rounds", "2", "--partitions", "2", "--rate", "500", "--duration", "2s", "--output", "json")
	got := map[string]bench.Figure{}
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
		var f bench.Figure
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		got[f.Name] = f
	}
	for _, name := range []string{"processor_cpu", "end_to_end_vs_bare", "seal_cpu", "seal_bytes", "intent_commit", "rss", "stored_p99"} {
		f := got[name]
		if f.Value <= 0 || f.Unit == "" || f.Target == nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if f := got["end_to_end_vs_bare"]; f.RatioTo == nil || f.Ratio == nil || *f.RatioTo != "bare" || *f.Ratio <= 0 {
		t.Errorf("end_to_end_vs_bare: %+v", f)
	}
}

// Growth is measured over partitions and over what is stored before.
func TestBenchGrowth(t *testing.T) {
	t.Setenv(mainVariable, "1")
	out := ask(t, "bench", "processor", "--events", "500", "--partitions", "1,2", "--stored", "2k", "--output", "json")
	for _, name := range []string{"processor_cpu/partitions=1", "processor_cpu/partitions=2", "processor_cpu/stored=0", "processor_cpu/stored=2000"} {
		if !strings.Contains(out, `"name":"`+name+`"`) {
			t.Errorf("no %s in\n%s", name, out)
		}
	}
}

// The cost of the detections is measured; what it is is not a matter of a test.
func TestBenchRules(t *testing.T) {
	t.Setenv(mainVariable, "1")
	out := ask(t, "bench", "rules", "--partitions", "2", "--rate", "500", "--duration", "3s", "--catch-up=false", "--output", "json")
	for _, name := range []string{"passes_cpu", "rules_cpu", "detect_cpu", "storing_cpu", "detect_rss", "passes_caught_up"} {
		if !strings.Contains(out, `"name":"`+name+`"`) {
			t.Errorf("no figure %s in %s", name, out)
		}
	}
}
