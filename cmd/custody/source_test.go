package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// A source is added, its key rotated, and it is disabled: the file follows.
func TestSourceLife(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sources.yaml")
	source := func(args ...string) (string, error) {
		t.Helper()
		return try(t, append(append([]string{"source"}, args...), "--collector-sources", file)...)
	}
	must := func(args ...string) string {
		t.Helper()
		out, err := source(args...)
		if err != nil {
			t.Fatalf("source %s: %v", strings.Join(args, " "), err)
		}
		return out
	}
	first := must("add", "a", "--tenant", "acme", "--type", "opa", "--events-per-second", "100")
	second := must("rotate", "a")
	if !strings.HasPrefix(first, "cst_") || !strings.HasPrefix(second, "cst_") || first == second {
		t.Errorf("keys %q and %q", first, second)
	}
	if _, err := source("rotate", "a"); err == nil || !strings.Contains(err.Error(), "--finish") {
		t.Errorf("a second rotation: %v", err)
	}
	if list := must("list"); !strings.Contains(list, "key,previous key") {
		t.Errorf("list: %s", list)
	}
	must("rotate", "a", "--finish")
	if _, err := source("rotate", "a", "--finish"); err == nil {
		t.Error("nothing to finish, and no error")
	}
	if out := must("add", "b", "--tenant", "acme", "--spiffe-id", "spiffe://acme.example/b"); out != "" {
		t.Errorf("a source with a certificate got the key %q", out)
	}
	must("disable", "b")
	if list := must("list"); !strings.Contains(list, "certificate") || !strings.Contains(list, "disabled") || strings.Contains(list, "previous") {
		t.Errorf("list: %s", list)
	}
	must("disable", "b", "--undo")
	if list := must("list"); strings.Contains(list, "disabled") {
		t.Errorf("list: %s", list)
	}
	for _, bad := range [][]string{
		{"add", "c", "--tenant", "acme", "--type", "nonsense"}, {"add", "a", "--tenant", "acme"}, {"disable", "nobody"},
		{"add", "d", "--tenant", "acme", "--oidc-issuer", "http://issuer.example"},
	} {
		if _, err := source(bad...); err == nil {
			t.Errorf("source %v is accepted", bad)
		}
	}
}
