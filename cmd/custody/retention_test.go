package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/custody-audit/custody/processor/retain"
)

// checkRetention says how long the demo's records are kept, and places a hold; a pass
// of a process of its own has nothing to delete of records that just came.
func checkRetention(t *testing.T, dir string) {
	t.Helper()
	e := &house{T: t, dir: dir}
	ask(t, "retention", "set", "--tenant", "acme", "--kind", "session", "--days", "30", "--reason", "policy 12", "--data-dir", dir)
	state := verb[retain.State](e, "hold", "place", "--tenant", "acme", "--subject", "alice", "--from", "2026-01-01", "--reason", "matter 1")
	if len(state.Rules) != 1 || state.Rules[0].Days != 30 || len(state.Holds) != 1 {
		t.Fatalf("in force: %+v", state)
	}
	var shown []*retain.State
	if err := json.Unmarshal([]byte(ask(t, "retention", "show", "--tenant", "acme", "--output", "json", "--data-dir", dir)), &shown); err != nil || len(shown) != 1 || shown[0].Rules[0].Reason != "policy 12" {
		t.Errorf("shown: %+v, %v", shown, err)
	}
	if out := ask(t, "hold", "list", "--data-dir", dir); !strings.Contains(out, state.Holds[0].ID.String()) || !strings.Contains(out, "matter 1") {
		t.Errorf("holds:\n%s", out)
	}
	rep := verb[retain.Report](e, "retention", "apply", "--once")
	if rep.Deleted != 0 || len(rep.Signed) != 0 {
		t.Errorf("applied: %+v", rep)
	}
	ask(t, "hold", "release", state.Holds[0].ID.String(), "--tenant", "acme", "--reason", "closed", "--data-dir", dir)
	if out := ask(t, "retention", "show", "--data-dir", dir); strings.Contains(out, "on hold") || !strings.Contains(out, "session") {
		t.Errorf("after the release:\n%s", out)
	}
}
