package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/processor/seal"
)

// checkProof takes evidence of a sealed installation away and proves it.
func checkProof(t *testing.T, dataDir string, sent int) {
	t.Helper()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	key, err := seal.ReadKey(filepath.Join(dataDir, "seal", "key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file("keys.txt"), []byte("log "+key.Verifier()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ask(t, "proof", "export", "--data-dir", dataDir, "kind:permission_decision decision:deny", "-o", file("denied.zip"))
	ask(t, "proof", "export", "--data-dir", dataDir, "--tenant", "acme", "--range", "2020-01-01T00:00:00Z/2100-01-01T00:00:00Z", "--from-checkpoint", file("denied.zip"), "-o", file("all.zip"))
	var r proof.Report
	known := filepath.Join(dataDir, "seal", "checkpoints")
	out := ask(t, "proof", "verify", file("all.zip"), "--policy", file("keys.txt"), "--latest-known", known, "--latest-known", file("denied.zip"), "--output", "json")
	if err := json.Unmarshal([]byte(out), &r); err != nil || !r.Intact || int(r.Events) == 0 || int(r.Events) > sent || !r.Unwitnessed {
		t.Errorf("%v: %s", err, out)
	}
	if out := ask(t, "proof", "verify", file("denied.zip"), "--policy", file("keys.txt")); !strings.HasPrefix(out, "INTACT") || !strings.Contains(out, "unwitnessed") {
		t.Errorf("verified: %s", out)
	}
	ask(t, "proof", "extract", file("denied.zip"), "--policy", file("keys.txt"), "--dir", file("out"))
	if names, err := filepath.Glob(file("out/*.tlog-proof")); err != nil || len(names) == 0 {
		t.Errorf("extracted: %v, %v", names, err)
	}
	b, err := os.ReadFile(file("denied.zip"))
	if err != nil {
		t.Fatal(err)
	}
	altered := []byte(strings.Replace(string(b), `"effect":"deny"`, `"effect":"deni"`, 1))
	if err := errors.Join(os.WriteFile(file("altered.zip"), altered, 0o600), os.WriteFile(file("none.zip"), []byte("no bundle"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, code := range map[string]exitCode{"altered.zip": 1, "none.zip": 2} {
		out, err := try(t, "proof", "verify", file(name), "--policy", file("keys.txt"))
		if err != code || code == 1 && !strings.Contains(out, "TAMPERED WITH: content") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
