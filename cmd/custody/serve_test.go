package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/schemas/event"
)

// What an installation stores is answered by its own API and by one beside it, to
// keys that the verbs made; each read is stored, sealed and found like any event.
func TestServe(t *testing.T) {
	t.Parallel()
	dir, sources := t.TempDir(), filepath.Join(t.TempDir(), "sources.yaml")
	apiKeys := filepath.Join(t.TempDir(), "apikeys.yaml")
	keys := map[string]string{}
	for _, tenant := range []string{"acme", "globex"} {
		keys[tenant] = strings.TrimSpace(ask(t, "source", "add", "mcp", "--tenant", tenant, "--collector-sources", sources))
	}
	address := freeAddress(t)
	start(t, "takes events at", "run", "--data-dir", dir, "--collector-sources", sources, "--collector-http", address, "--collector-grpc", "127.0.0.1:0",
		"--telemetry-address", "", "--serve-keys", apiKeys)
	var e endpoint
	b, err := os.ReadFile(endpointFile(dir))
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	if err != nil || e.API == "" {
		t.Fatalf("endpoint %s: %v", b, err)
	}
	for tenant, key := range keys {
		body := `{"kind":"session","type":"session.started","time":"2026-11-24T10:00:00Z","outcome":"success","subject":{"sub":"alice-of-` + tenant + `"},"correlation":{"task_id":"t"}}`
		if status, answer := post(t, "http://"+address+"/v1/events", key, "application/json", "", body); status != http.StatusOK {
			t.Fatalf("%d %s", status, answer)
		}
	}
	soc := strings.TrimSpace(ask(t, "apikey", "add", "soc", "--role", "analyst", "--tenant", "acme", "--serve-keys", apiKeys))
	search := func(url, key, filter string) []*event.Event {
		t.Helper()
		var page struct{ Events []*event.Event }
		status, body := inquire(t, url+"/api/v1/events?filter="+filter, key)
		if status == http.StatusOK {
			if err := json.Unmarshal(body, &page); err != nil {
				t.Fatalf("%v in %s", err, body)
			}
		}
		return page.Events
	}
	eventually(t, time.Minute, "the key that may ask everything finds both tenants' events", func(context.Context) bool {
		return len(search(e.API, e.APIKey, "type:session.started")) == 2
	})
	eventually(t, time.Minute, "the file of keys is read", func(context.Context) bool {
		status, _ := inquire(t, e.API+"/api/v1/whoami", soc)
		return status == http.StatusOK
	})
	beside, said := startServe(t, "--data-dir", dir, "--telemetry-address", "", "--serve-keys", apiKeys, "--log-level", "debug")
	for _, url := range []string{e.API, beside} {
		got := search(url, soc, "type:session.started")
		if len(got) != 1 || got[0].Subject.Sub != "alice-of-acme" {
			t.Errorf("%s answers %v", url, got)
		}
		if status, body := inquire(t, url+"/api/v1/events?tenant=globex", soc); status != http.StatusForbidden || strings.Contains(string(body), "alice") {
			t.Errorf("%s about another tenant: %d %s", url, status, body)
		}
	}
	eventually(t, time.Minute, "the reads of both are events of the tenant", func(context.Context) bool {
		reads := search(e.API, e.APIKey, "type:custody.read+subject:soc+tenant:acme")
		denied := slices.ContainsFunc(reads, func(e *event.Event) bool { return e.Outcome == event.Denied && e.Decision.Effect == event.Deny })
		return len(reads) == 4 && denied && reads[0].Source.ID == api.Source
	})
	if out := ask(t, "search", "--data-dir", dir, "--tenant", "globex", "type:custody.read"); strings.Contains(out, "soc") {
		t.Errorf("another tenant sees who read in this one:\n%s", out)
	}
	for _, format := range []string{"ndjson", "csv"} { // through all that measures requests
		if status, body := inquire(t, e.API+"/api/v1/export?format="+format, e.APIKey); status != http.StatusOK || !strings.Contains(string(body), "alice-of-acme") || !strings.Contains(string(body), "alice-of-globex") {
			t.Errorf("export as %s: %d %s", format, status, body)
		}
	}
	eventually(t, time.Minute, "what was read is sealed and can be taken away with its proof", func(context.Context) bool {
		status, body := inquire(t, e.API+"/api/v1/proof?tenant=globex&filter=type:session.started", e.APIKey)
		return status == http.StatusOK && bytes.HasPrefix(body, []byte("PK")) && bytes.Contains(body, []byte("alice-of-globex")) && !bytes.Contains(body, []byte("alice-of-acme"))
	})
	const token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
	if status, _ := inquire(t, beside+"/api/v1/events?filter=token:"+token, token); status != http.StatusUnauthorized {
		t.Errorf("a token is accepted where no issuer is configured: %d", status)
	}
	if log := said.String(); strings.Contains(log, token) || strings.Contains(log, soc) {
		t.Errorf("the log has a secret:\n%s", log)
	}
	tight, _ := startServe(t, "--data-dir", dir, "--telemetry-address", "", "--serve-keys", apiKeys, "--serve-limits-answer-bytes", "100")
	if status, body := inquire(t, tight+"/api/v1/events", soc); status != http.StatusUnprocessableEntity || !strings.Contains(string(body), "larger than one may be") {
		t.Errorf("an answer that is too large: %d %s", status, body)
	}
	rotated := strings.TrimSpace(ask(t, "apikey", "rotate", "soc", "--serve-keys", apiKeys))
	ask(t, "apikey", "rotate", "soc", "--finish", "--serve-keys", apiKeys)
	eventually(t, time.Minute, "the old key is refused and the new one good", func(context.Context) bool {
		was, _ := inquire(t, e.API+"/api/v1/whoami", soc)
		is, _ := inquire(t, e.API+"/api/v1/whoami", rotated)
		return was == http.StatusUnauthorized && is == http.StatusOK
	})
	ask(t, "apikey", "disable", "soc", "--serve-keys", apiKeys)
	eventually(t, time.Minute, "the disabled key is refused", func(context.Context) bool {
		status, _ := inquire(t, e.API+"/api/v1/whoami", rotated)
		return status == http.StatusUnauthorized
	})
	if out := ask(t, "apikey", "list", "--serve-keys", apiKeys); !strings.Contains(out, "disabled") || strings.Contains(out, "cst_") {
		t.Errorf("apikey list:\n%s", out)
	}
}

// startServe starts an API on a port of its own and returns where it is, and its log.
func startServe(t *testing.T, args ...string) (url string, said *output) {
	t.Helper()
	said = &output{}
	startLogged(t, said, "the API is at", append([]string{"serve", "--serve-address", "127.0.0.1:0"}, args...)...)
	_, rest, _ := strings.Cut(said.String(), "the API is at ")
	url, _, ok := strings.Cut(rest, api.Prefix)
	if !ok {
		t.Fatalf("custody serve does not say where it is: %s", said)
	}
	return url, said
}

func inquire(t *testing.T, url, key string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, body
}

// What would be insecure, or is no configuration, ends the verb with one line that
// names the setting.
func TestServeRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for want, args := range map[string]string{
		"serve.address: \"0.0.0.0:0\" is beyond this machine": "serve --serve-address 0.0.0.0:0",
		"serve.address: \":0\" is beyond":                     "run --serve-address :0",
		"serve.tls: want cert_file and key_file":              "serve --serve-tls-cert-file x",
		"serve.limits.rows: want 1 to 9999":                   "serve --serve-limits-rows 100000",
		"no installation in":                                  "serve --data-dir " + dir,
		`role "root": want one of`:                            "apikey add x --role root --tenant acme --serve-keys " + dir + "/k",
		"there is no API key":                                 "apikey rotate x --serve-keys " + dir + "/there",
		"custody apikey add":                                  "apikey list --serve-keys " + dir + "/missing",
	} {
		if err := os.WriteFile(dir+"/there", []byte("keys: []\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := try(t, strings.Fields(args)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("custody %s: %v, want %s", args, err, fmt.Sprintf("%q", want))
		}
	}
}

// The settings of an issuer are its configuration, or an error that names one.
func TestServeOIDC(t *testing.T) {
	t.Parallel()
	good := serveDefaults().OIDC
	good.Issuer, good.Audience, good.ClientID = "https://sso.example/realms/acme", "custody-api", "custody-web"
	good.Roles, good.Tenants = []string{"cn=soc,dc=acme=analyst"}, []string{"soc=*", "Acme=acme"}
	if o, err := good.provider("https://127.0.0.1:7370"); o == nil || err != nil {
		t.Errorf("good settings: %v", err)
	}
	none := serveDefaults().OIDC
	if o, err := none.provider(""); o != nil || err != nil {
		t.Errorf("no issuer: %v %v", o, err)
	}
	for want, change := range map[string]func(*serveOIDCConfig){
		"serve.oidc.roles: want VALUE=MEANING":       func(c *serveOIDCConfig) { c.Roles = []string{"analyst"} },
		"serve.oidc.tenants: want VALUE=MEANING":     func(c *serveOIDCConfig) { c.Tenants = []string{"=acme"} },
		"serve.oidc.client_secret_file":              func(c *serveOIDCConfig) { c.ClientSecretFile = "/nowhere/secret" },
		"serve.oidc: issuer":                         func(c *serveOIDCConfig) { c.Issuer = "sso.example" },
		`serve.oidc: roles: "cn=soc,dc=acme" is "x"`: func(c *serveOIDCConfig) { c.Roles = []string{"cn=soc,dc=acme=x"} },
	} {
		c := good
		change(&c)
		if _, err := c.provider("https://127.0.0.1:7370"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
