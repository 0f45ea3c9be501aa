package registry_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/registry"
)

func source(id string) (collector.Source, string) {
	key, hash := registry.NewKey()
	return collector.Source{ID: id, Tenant: "acme", KeySHA256: hash}, key
}

func TestAddSource(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sources.yaml")
	first, key := source("payments-mcp")
	if err := registry.AddSource(file, first); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), key) {
		t.Error("the key itself is in the file")
	}
	commented := "# who may speak\n" + strings.Replace(string(b), "tenant: acme", "tenant: acme # of the payments team", 1)
	if err := os.WriteFile(file, []byte(commented), 0o600); err != nil {
		t.Fatal(err)
	}
	second, other := source("acme-opa")
	second.Type = "opa"
	if err := registry.AddSource(file, second); err != nil {
		t.Fatal(err)
	}
	if b, err = os.ReadFile(file); err != nil || !strings.Contains(string(b), "# who may speak") || !strings.Contains(string(b), "# of the payments team") {
		t.Errorf("comments are gone (%v):\n%s", err, b)
	}
	r, err := registry.New(registry.Config{File: file, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{key: "payments-mcp", other: "acme-opa"} {
		if s, err := r.Authenticate(t.Context(), collector.Credentials{Bearer: k}, "opa"); err != nil || s.ID != want {
			t.Errorf("key of %s opens %v (%v)", want, s, err)
		}
	}
	if err := registry.AddSource(file, first); err == nil {
		t.Error("the same source twice is accepted")
	}
}

func TestAddSourceLeavesForeignFilesAlone(t *testing.T) {
	for _, text := range []string{"- {id: a}", "sources: {a: b}", "other: []", "sources: [", "sources: [{id: x, key: y}]"} {
		file := filepath.Join(t.TempDir(), "sources.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, _ := source("a")
		if err := registry.AddSource(file, s); err == nil {
			t.Errorf("%q: accepted", text)
		}
		if b, err := os.ReadFile(file); err != nil || string(b) != text {
			t.Errorf("%q became %q (%v)", text, b, err)
		}
	}
}
