package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// install runs an installation and adds a source to it, with more flags of "source
// add". It returns where the collector is, the source's key and how to search.
func install(t *testing.T, flags []string, source ...string) (url, key string, search []string) {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	file := filepath.Join(dir, "sources.yaml")
	key = strings.TrimSpace(ask(t, append([]string{"source", "add", "--collector-sources", file, "--tenant", "acme"}, source...)...))
	data := filepath.Join(dir, "data")
	start(t, "takes events at", append([]string{"run", "--data-dir", data, "--collector-sources", file, "--collector-http", address,
		"--collector-grpc", "127.0.0.1:0", "--telemetry-address", ""}, flags...)...)
	return "http://" + address, key, []string{"search", "--data-dir", data, "--output", "json", "--limit", "10000"}
}

// stored waits until a search has as many events, and returns them.
func stored(t *testing.T, search []string, query string, want int) (events []*event.Event) {
	t.Helper()
	eventually(t, time.Minute, "the events are stored", func(context.Context) bool {
		var page struct {
			Events []*event.Event `json:"events"`
		}
		if err := json.Unmarshal([]byte(ask(t, append(search, query)...)), &page); err != nil {
			t.Fatal(err)
		}
		events = page.Events
		return len(events) >= want
	})
	if len(events) != want {
		t.Errorf("%d events of %s, want %d", len(events), query, want)
	}
	return events
}

// The issuer that the sources file names is in the events that Keycloak pushes.
func TestPushedKeycloakEventsNameTheIssuer(t *testing.T) {
	t.Parallel()
	const issuer = "https://sso.acme.example/realms/acme"
	url, key, search := install(t, nil, "kc", "--type", "keycloak", "--issuer", issuer)
	status, answer := post(t, url+"/v1/push/keycloak", key, "application/json", "", `{"id":"1","time":1793610000250,"type":"LOGIN","realmId":"r","userId":"u-1","sessionId":"s"}`)
	if status != 200 || !strings.Contains(answer, `"accepted":1`) {
		t.Fatalf("%d %s", status, answer)
	}
	if got := stored(t, search, "kind:session", 1)[0].Subject; got != (event.Party{Iss: issuer, Sub: "u-1"}) {
		t.Errorf("got %+v", got)
	}
}
