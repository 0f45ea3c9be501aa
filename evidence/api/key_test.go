package api_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/api"
)

// Keys come, are rotated, expire and go while the server runs, and the file never
// has one.
func TestKeysOfAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "apikeys.yaml")
	keys, err := api.NewKeys(api.KeysConfig{File: file, MayBeMissing: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.NewKeys(api.KeysConfig{File: file, Logger: quiet}); err == nil || !strings.Contains(err.Error(), "custody apikey add") {
		t.Errorf("a missing file: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go keys.Run(ctx)
	s := serveWith(t, keys)
	old, oldHash := api.NewKey()
	fresh, freshHash := api.NewKey()
	status := func(key string, want int) {
		t.Helper()
		embeddedtest.Eventually(t, time.Minute, "the file is read again", func(context.Context) error {
			if a := s.as(key, "GET", "/api/v1/whoami", nil); a.status != want {
				return &unexpected{a}
			}
			return nil
		})
	}
	status(old, 401)
	if err := api.AddKey(file, api.Key{ID: "grafana", Roles: []api.Role{api.Analyst}, Tenants: []string{"acme"}, KeySHA256: oldHash}); err != nil {
		t.Fatal(err)
	}
	status(old, 200)
	edit := func(change func(*api.Key)) {
		t.Helper()
		if err := api.EditKey(file, "grafana", func(k *api.Key) error { change(k); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	edit(func(k *api.Key) { k.KeySHA256, k.PreviousKeySHA256 = freshHash, oldHash })
	status(fresh, 200)
	status(old, 200)
	edit(func(k *api.Key) { k.PreviousKeySHA256 = "" })
	status(old, 401)
	status(fresh, 200)
	edit(func(k *api.Key) { k.Disabled = true })
	status(fresh, 401)
	edit(func(k *api.Key) { k.Disabled = false })
	status(fresh, 200)
	edit(func(k *api.Key) { k.Expires = time.Now().Add(-time.Second) })
	status(fresh, 401)
	text, err := os.ReadFile(file)
	info, err2 := os.Stat(file)
	if err != nil || err2 != nil || strings.Contains(string(text), "cst_") || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v %v %v\n%s", err, err2, info.Mode(), text)
	}
	if err := os.WriteFile(file, []byte("keys: [{id: x, colour: red}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := api.ReadKeys(file); err == nil {
		t.Error("an unknown name in the file is accepted")
	}
}

type unexpected struct{ a answer }

func (u *unexpected) Error() string { return string(u.a.body) }

func TestKeysAreChecked(t *testing.T) {
	t.Parallel()
	_, hash := api.NewKey()
	good := api.Key{ID: "a", Roles: []api.Role{api.Analyst}, Tenants: []string{"acme"}, KeySHA256: hash}
	for what, change := range map[string]func(*api.Key){
		"want lower-case letters":   func(k *api.Key) { k.ID = "A" },
		`role "root"`:               func(k *api.Key) { k.Roles = []api.Role{"root"} },
		"roles: want some":          func(k *api.Key) { k.Roles = nil },
		"tenants: want some":        func(k *api.Key) { k.Tenants = nil },
		`"*" is all`:                func(k *api.Key) { k.Tenants = []string{"*", "acme"} },
		`tenant "a b"`:              func(k *api.Key) { k.Tenants = []string{"a b"} },
		"key_sha256: want 64":       func(k *api.Key) { k.KeySHA256 = "cst_secret" },
		"previous_key_sha256: want": func(k *api.Key) { k.PreviousKeySHA256 = "x" },
	} {
		k := good
		change(&k)
		if _, err := api.NewKeys(api.KeysConfig{Fixed: []api.Key{k}, Logger: quiet}); err == nil || !strings.Contains(err.Error(), what) || strings.Contains(err.Error(), "secret") {
			t.Errorf("want %q, got %v", what, err)
		}
	}
	twice := good
	twice.ID = "b"
	for what, list := range map[string][]api.Key{"the id is given twice": {good, good}, `has the key of "a"`: {good, twice}} {
		if _, err := api.NewKeys(api.KeysConfig{Fixed: list, Logger: quiet}); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("want %q, got %v", what, err)
		}
	}
}
