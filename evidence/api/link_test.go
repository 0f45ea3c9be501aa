package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/api"
)

// A session that was begun by a link ends with the key that the link was given to, and
// a link is of no use after it either.
func TestSessionOfLinkEndsWithKey(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "apikeys.yaml")
	key, hash := api.NewKey()
	if err := api.AddKey(file, api.Key{ID: "somebody", Roles: []api.Role{api.Admin}, Tenants: []string{"acme"}, KeySHA256: hash}); err != nil {
		t.Fatal(err)
	}
	keys, err := api.NewKeys(api.KeysConfig{File: file, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go keys.Run(ctx)
	server, err := api.New(api.Config{Connect: nowhere, Keys: keys, Recorder: &book{}, Logger: quiet, Links: true, Home: "/"})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ask := func(target string, cookies ...*http.Cookie) *http.Response {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		return w.Result()
	}
	link := func() string {
		path, err := server.Link(key)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	used, kept := link(), link()
	begun := ask(used)
	if begun.StatusCode != http.StatusSeeOther || len(begun.Cookies()) == 0 {
		t.Fatalf("the link: %d, %v", begun.StatusCode, begun.Cookies())
	}
	if again := ask(used); again.StatusCode != http.StatusGone {
		t.Errorf("a link is used twice: %d", again.StatusCode)
	}
	const whoami = "/api/v1/whoami"
	if got := ask(whoami, begun.Cookies()...); got.StatusCode != http.StatusOK {
		t.Fatalf("a session: %d", got.StatusCode)
	}
	if err := api.EditKey(file, "somebody", func(k *api.Key) error { k.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	embeddedtest.Eventually(t, time.Minute, "the session ends with its key", func(context.Context) error {
		if got := ask(whoami, begun.Cookies()...); got.StatusCode != http.StatusUnauthorized {
			return &unexpected{answer{status: got.StatusCode}}
		}
		return nil
	})
	if late := ask(kept); late.StatusCode != http.StatusUnauthorized || strings.Contains(late.Header.Get("Set-Cookie"), "session") {
		t.Errorf("a link whose key is disabled: %d", late.StatusCode)
	}
}
