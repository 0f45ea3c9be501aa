package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func measureTruth(t *testing.T, args ...string) truthResult {
	t.Helper()
	out := strings.Split(strings.TrimSpace(ask(t, append([]string{"bench", "truth", "--seed", "1", "--output", "json", "--data-dir", t.TempDir()}, args...)...)), "\n")
	var r truthResult
	if err := json.Unmarshal([]byte(out[len(out)-1]), &r); err != nil {
		t.Fatal(err)
	}
	t.Logf("%v: %s", args, out[len(out)-1])
	if r.Hops.True < 70 || r.Verdicts.True < 300 {
		t.Errorf("the estate's book has %d hops and %d verdicts", r.Hops.True, r.Verdicts.True)
	}
	return r
}

// Chains and verdicts are what the estate itself wrote down, however late and in
// whatever order its events come.
func TestTruthWhateverTheOrder(t *testing.T) {
	t.Parallel()
	r := measureTruth(t, "--delay", "0.1", "--reorder", "0.3")
	if r.Hops.Precision != 1 || r.Hops.Recall != 1 || r.Verdicts.Precision != 1 || r.Verdicts.Recall != 1 {
		t.Errorf("hops %+v, verdicts %+v", r.Hops, r.Verdicts)
	}
	if r.Delayed < 20 || r.Reordered < 50 || r.Withheld != 0 {
		t.Errorf("%d delayed, %d reordered, %d withheld of %d", r.Delayed, r.Reordered, r.Withheld, r.Events)
	}
}

// Of what never came some is concluded all the same, and little that is wrong.
func TestTruthWithEventsWithheld(t *testing.T) {
	t.Parallel()
	r := measureTruth(t, "--withhold", "0.1")
	if r.Hops.Precision < 0.98 || r.Hops.Recall < 0.9 || r.Verdicts.Precision < 0.85 || r.Verdicts.Recall < 0.7 {
		t.Errorf("hops %+v, verdicts %+v", r.Hops, r.Verdicts)
	}
	if r.Withheld < 20 || r.Hops.Recall == 1 && r.Verdicts.Recall == 1 {
		t.Errorf("%d of %d withheld, and all was concluded", r.Withheld, r.Events)
	}
}
