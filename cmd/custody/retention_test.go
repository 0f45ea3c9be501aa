package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/custody-audit/custody/deploy/embedded"
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

// What a replaced key signs counts for nobody, so it deletes nothing.
func TestRetentionByReplacedKey(t *testing.T) {
	t.Parallel()
	p := newInstallation(t)
	flags := []string{"--seal-dir", p.dir, "--clickhouse-addresses", p.engine.Addr(), "--clickhouse-user", embedded.Writer, "--clickhouse-password-file", p.flags["clickhouse-password-file"]}
	key, renewed := p.flags["seal-key-file"], filepath.Join(p.dir, "new.key")
	apply := func(key string) error {
		_, err := try(t, append([]string{"retention", "apply", "--once", "--seal-key-file", key, "--kafka-brokers", p.flags["kafka-brokers"], "--kafka-topic-prefix", p.flags["kafka-topic-prefix"], "--kafka-partitions", "3"}, flags...)...)
		return err
	}
	if err := apply(key); err != nil {
		t.Errorf("by the log's key: %v", err)
	}
	ask(t, "seal", "keygen", "custody.example/doctor", "--seal-key-file", renewed)
	ask(t, append([]string{"seal", "rotate", "--seal-key-file", key, "--new-key-file", renewed}, flags...)...)
	if err := apply(key); err == nil || !strings.Contains(err.Error(), "was replaced by custody.example/doctor+") {
		t.Errorf("by the replaced key: %v", err)
	}
	if err := apply(renewed); err != nil {
		t.Errorf("by the new key: %v", err)
	}
}
