package faults

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A short storm breaks no promise; and what is broken afterwards by hand is seen,
// so that the checker can fail.
func TestCheck(t *testing.T) {
	self := filepath.Join(t.TempDir(), "custody")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", self, "../../cmd/custody").CombinedOutput(); err != nil {
		t.Fatalf("build custody: %v\n%s", err, out)
	}
	r, err := start(t.Context(), Config{Self: self, Seed: 3, Duration: 6 * time.Second, Rate: 400, Members: 2, Partitions: 2, Kinds: []string{processorKill, clickhouseKill}, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := r.storm(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, problems := r.members.close(); len(problems) > 0 {
		t.Fatal(problems)
	}
	if got := r.again(t); !got.OK() || r.result.Faults == 0 || got.States["stored"] < 400 || got.States["duplicate"] == 0 || got.States["malformed"] == 0 || got.Views == 0 {
		t.Fatalf("after %d faults: %+v", r.result.Faults, got)
	}
	for _, c := range []struct {
		name, tamper string
		seen         func(*Result) bool
	}{
		{"a checkpoint", "ALTER TABLE checkpoints UPDATE root = reverse(root) WHERE partition = 0 AND size = (SELECT max(size) FROM checkpoints WHERE partition = 0)", func(r *Result) bool { return !r.RootOK && r.Lost == 0 }},
		{"a key gone", "ALTER TABLE event_keys DELETE WHERE partition = 0 AND offset = (SELECT min(offset) FROM event_keys WHERE partition = 0)", func(r *Result) bool { return !r.RollupOK && r.Lost == 0 }},
		{"a row hidden", "ALTER TABLE records UPDATE state = 'duplicate' WHERE partition = 1 AND offset = (SELECT max(offset) FROM records WHERE partition = 1 AND state = 'stored')", func(r *Result) bool { return r.WrongState == 1 }},
		{"a row twice", "INSERT INTO records SELECT * FROM records WHERE partition = 1 AND offset = 3", func(r *Result) bool { return r.Duplicates == 1 && r.Lost == 0 }},
		{"a row edited", "ALTER TABLE records UPDATE raw = concat(raw, ' ') WHERE partition = 0 AND offset = 2", func(r *Result) bool { return r.Lost == 1 }},
		{"a row gone", "ALTER TABLE records DELETE WHERE partition = 0 AND offset = 1", func(r *Result) bool { return r.Lost == 2 }},
	} {
		if err := r.admin.Exec(t.Context(), c.tamper+" SETTINGS mutations_sync = 2"); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := r.again(t); got.OK() || !c.seen(got) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// again checks what is there now.
func (r *run) again(t *testing.T) *Result {
	again := *r
	again.result = &Result{States: map[string]int{}}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := again.check(ctx); err != nil {
		t.Fatal(err)
	}
	return again.result
}
