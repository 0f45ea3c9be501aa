package registry_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/registry"
)

var quiet = slog.New(slog.DiscardHandler)

func newRegistry(t *testing.T, now func() time.Time, sources ...collector.Source) *registry.Registry {
	t.Helper()
	r, err := registry.New(registry.Config{Sources: sources, Now: now, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// answer is the status of what an authenticator says; 200 for a source.
func answer(src *collector.Source, err error) string {
	var refusal *collector.HTTPError
	switch {
	case errors.As(err, &refusal):
		return fmt.Sprintf("%d %s", refusal.Status, refusal.Reason)
	case err != nil:
		return err.Error()
	}
	return "200 " + src.ID
}

func check(t *testing.T, what, got, want string) {
	t.Helper()
	if !strings.HasPrefix(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestKeys(t *testing.T) {
	a, aKey := source("a")
	b, bKey := source("b")
	previous, hash := registry.NewKey()
	a.PreviousKeySHA256, a.Type = hash, "opa"
	b.Disabled = true
	r := newRegistry(t, nil, a, b)
	for _, c := range []struct{ what, key, endpoint, want string }{
		{"its key", aKey, "opa", "200 a"},
		{"the key before", previous, "opa", "200 a"},
		{"another endpoint", aKey, "native", `403 source "a" is of type "opa"`},
		{"disabled", bKey, "opa", `403 source "b" is disabled`},
		{"cut", aKey[:len(aKey)-1], "opa", "401 the key belongs to no"},
		{"the hash", a.KeySHA256, "opa", "401 the key belongs to no"},
		{"none", "", "opa", `401 want "Authorization`},
		{"a JWT", "e30.e30.e30", "opa", "401 the bearer is neither"},
	} {
		check(t, c.what, answer(r.Authenticate(t.Context(), collector.Credentials{Bearer: c.key}, c.endpoint)), c.want)
	}
}

// All mistakes of a file are reported at once, each with its field.
func TestMistakes(t *testing.T) {
	good, _ := source("good")
	other := good
	other.ID = "thief"
	_, err := registry.New(registry.Config{Logger: quiet, Types: []string{"native"}, Sources: []collector.Source{
		good, good, other,
		{ID: "Bad Id", Tenant: "acme", KeySHA256: good.KeySHA256},
		{ID: "custody", Tenant: "acme", KeySHA256: good.KeySHA256},
		{ID: "t", Tenant: "", KeySHA256: "abc", Type: "nonsense", EventsPerSecond: -1},
		{ID: "n", Tenant: "acme"},
		{ID: "c", Tenant: "acme", Certificate: &collector.CertificateIdentity{}},
		{ID: "d", Tenant: "acme", Certificate: &collector.CertificateIdentity{DNS: "*.acme.example"}},
		{ID: "e", Tenant: "acme", Certificate: &collector.CertificateIdentity{SPIFFEID: "http://x"}},
		{ID: "f", Tenant: "acme", OIDC: &collector.OIDCIdentity{Issuer: "http://issuer.example", Algorithms: []string{"none"}}},
		{ID: "g", Tenant: "acme", Webhook: &collector.WebhookIdentity{}},
		{ID: "h", Tenant: "acme", Type: "native", KeySHA256: good.KeySHA256, Issuer: "sso"},
	}})
	for _, want := range []string{
		`sources[1] "good": id is given twice`, `sources[2] "thief": has the key of "good"`, `sources[3] "Bad Id": id: want`, `sources[4] "custody": id: "custody" is the collector's own`,
		`tenant "": want`, `key_sha256: want 64`, `type "nonsense": want one of [native]`, `events_per_second: want`, `sources[6] "n": want key_sha256, certificate, oidc or webhook`,
		`sources[7] "c": certificate: want spiffe_id or dns`, `certificate.dns "*.acme.example"`, `certificate.spiffe_id "http://x"`, `oidc.issuer "http://issuer.example": want an https URL`,
		`issuer "sso": want the URL`, `issuer: the events of type "native" have their own`,
		`oidc.audience: is required`, `oidc.subject: is required`, `oidc.algorithms "none"`, `webhook.secret_file: is required`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
}

// issuer is an OpenID issuer with its discovery document and keys.
type issuer struct {
	*httptest.Server
	t    *testing.T
	key  *ecdsa.PrivateKey
	away bool
}

func newIssuer(t *testing.T) *issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{t: t, key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		if i.away {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys", "id_token_signing_alg_values_supported": []string{"ES256"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256"}}})
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) token(key *ecdsa.PrivateKey, change func(*jwt.Claims)) string {
	i.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	c := jwt.Claims{Issuer: i.URL, Subject: "repo:acme/deploy", Audience: jwt.Audience{"custody"}, Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour))}
	change(&c)
	raw, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return raw
}

func TestOIDC(t *testing.T) {
	i := newIssuer(t)
	now := time.Now()
	src := collector.Source{ID: "ci", Tenant: "acme", OIDC: &collector.OIDCIdentity{Issuer: i.URL, Audience: "custody", Subject: "repo:acme/deploy"}}
	rsa := collector.Source{ID: "rsa", Tenant: "acme", OIDC: &collector.OIDCIdentity{Issuer: i.URL, Audience: "custody", Subject: "only-rsa", Algorithms: []string{"RS256"}}}
	r := newRegistry(t, func() time.Time { return now }, src, rsa)
	ask := func(raw string) string {
		return answer(r.Authenticate(t.Context(), collector.Credentials{Bearer: raw}, "native"))
	}
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	same := func(*jwt.Claims) {}

	i.away = true
	check(t, "issuer away", ask(i.token(i.key, same)), "503 the issuer")
	i.away = false
	check(t, "issuer back, asked too soon", ask(i.token(i.key, same)), "503 the issuer")
	now = now.Add(6 * time.Second)
	check(t, "good", ask(i.token(i.key, same)), "200 ci")
	check(t, "another's signature", ask(i.token(stranger, same)), "401 the token is refused: failed:signature")
	check(t, "another audience", ask(i.token(i.key, func(c *jwt.Claims) { c.Audience = jwt.Audience{"vault"} })), "401 the token is refused: failed:audience")
	check(t, "expired", ask(i.token(i.key, func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(now.Add(-time.Hour)) })), "401 the token is refused: failed:expired")
	check(t, "another subject", ask(i.token(i.key, func(c *jwt.Claims) { c.Subject = "repo:evil/deploy" })), "401 a token of issuer")
	check(t, "another issuer", ask(i.token(i.key, func(c *jwt.Claims) { c.Issuer = "https://evil.example" })), "401 a token of issuer")
	check(t, "another algorithm than pinned", ask(i.token(i.key, func(c *jwt.Claims) { c.Subject = "only-rsa" })), "401 the token is refused: failed:malformed")
}

const secretText = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjUPD8I"

// message is a webhook on its way.
type message struct{ source, id, stamp, signature, body string }

func sign(secret, source, id string, at time.Time, body string) message {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic(err)
	}
	m := message{source: source, id: id, stamp: fmt.Sprint(at.Unix()), body: body}
	mac := hmac.New(sha256.New, key)
	io.WriteString(mac, m.id+"."+m.stamp+"."+body)
	m.signature = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return m
}

func (m message) ask(r *registry.Registry) (string, string) {
	req := httptest.NewRequest(http.MethodPost, "/v1/events?source="+m.source, strings.NewReader(m.body))
	req.Header.Set("webhook-id", m.id)
	req.Header.Set("webhook-timestamp", m.stamp)
	req.Header.Set("webhook-signature", m.signature)
	said := answer(r.AuthenticateHTTP(httptest.NewRecorder(), req, "native"))
	left, _ := io.ReadAll(req.Body)
	return said, string(left)
}

func TestWebhooks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secretText+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	src := collector.Source{ID: "kc", Tenant: "acme", Webhook: &collector.WebhookIdentity{SecretFile: file}}
	keyed, _ := source("keyed")
	r := newRegistry(t, func() time.Time { return now }, src, keyed)
	good := func(id string) message { return sign(secretText, "acme/kc", id, now, `{"a":1}`) }
	changed := func(id string, change func(*message)) message {
		m := good(id)
		change(&m)
		return m
	}
	other := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, c := range []struct {
		what string
		m    message
		want string
	}{
		{"good", good("m1"), "200 kc"},
		{"the same again", good("m1"), "409 this message has come before"},
		{"several signatures", changed("m2", func(m *message) { m.signature = "v1a,xyz v1,AAAA " + m.signature }), "200 kc"},
		{"another body", changed("m3", func(m *message) { m.body = `{"a":2}` }), "401 webhook-signature"},
		{"another id", changed("m4", func(m *message) { m.id = "m5" }), "401 webhook-signature"},
		{"another secret", sign(other, "acme/kc", "m6", now, "{}"), "401 webhook-signature"},
		{"no v1", changed("m7", func(m *message) { m.signature = strings.TrimPrefix(m.signature, "v1,") }), "401 webhook-signature"},
		{"old", sign(secretText, "acme/kc", "m8", now.Add(-6*time.Minute), "{}"), "401 webhook-timestamp is 6m0s"},
		{"early", sign(secretText, "acme/kc", "m9", now.Add(6*time.Minute), "{}"), "401 webhook-timestamp is -6m0s"},
		{"no time", changed("m10", func(m *message) { m.stamp = "" }), "401 want headers"},
		{"no id", changed("", func(*message) {}), "401 want headers"},
		{"another's name", changed("m11", func(m *message) { m.source = "acme/keyed" }), "401 a signed request names its source"},
		{"another tenant", changed("m12", func(m *message) { m.source = "globex/kc" }), "401 a signed request names its source"},
		{"5 MiB", sign(secretText, "acme/kc", "m13", now, strings.Repeat("x", 5<<20)), "413 body is larger"},
	} {
		said, body := c.m.ask(r)
		check(t, c.what, said, c.want)
		if strings.HasPrefix(said, "200") && body != c.m.body {
			t.Errorf("%s: the body is not put back", c.what)
		}
	}
	// A message is remembered as long as its time is accepted, however late within it.
	early := sign(secretText, "acme/kc", "m20", now.Add(4*time.Minute+59*time.Second), "{}")
	said, _ := early.ask(r)
	check(t, "just early enough", said, "200 kc")
	for range 9 {
		now = now.Add(time.Minute)
		good(fmt.Sprint("turn", now)).ask(r)
		said, _ = early.ask(r)
		check(t, fmt.Sprint("replayed at ", now), said, "409")
	}
	if err := os.WriteFile(file, []byte("password"), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, _ := good("m30").ask(r); !strings.Contains(said, "webhook secret: want") || strings.Contains(said, "password") {
		t.Errorf("a bad secret: %q", said)
	}
}

// A changed file is in force soon; a bad one never is.
func TestReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sources.yaml")
	a, aKey := source("a")
	if err := registry.AddSource(file, a); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		r, err := registry.New(registry.Config{File: file, Logger: slog.New(slog.NewTextHandler(&said, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		ask := func(key string) string {
			time.Sleep(3 * time.Second)
			synctest.Wait()
			return answer(r.Authenticate(ctx, collector.Credentials{Bearer: key}, "native"))
		}
		b, bKey := source("b")
		if err := registry.AddSource(file, b); err != nil {
			t.Fatal(err)
		}
		check(t, "added", ask(bKey), "200 b")
		if err := registry.EditSource(file, "acme", "a", map[string]any{"disabled": true}); err != nil {
			t.Fatal(err)
		}
		check(t, "disabled", ask(aKey), "403")
		for _, bad := range []string{"sources: [", "sources: [{id: x}]", "nonsense: 1"} {
			if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
			check(t, bad, ask(bKey), "200 b")
		}
		os.Remove(file)
		check(t, "no file", ask(bKey), "200 b")
		if n := strings.Count(said.String(), "level=ERROR"); n != 4 {
			t.Errorf("%d errors reported, want one for each mistake:\n%s", n, said.String())
		}
		if err := os.WriteFile(file, good, 0o600); err != nil {
			t.Fatal(err)
		}
		check(t, "the first file", ask(aKey), "200 a")
		check(t, "which has no b", ask(bKey), "401")
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestEditSource(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sources.yaml")
	text := "# all of them\nsources:\n  - id: a # first\n    tenant: acme\n    key_sha256: " + strings.Repeat("a", 64) +
		"\n  - id: a\n    tenant: globex\n    key_sha256: " + strings.Repeat("b", 64) + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := registry.EditSource(file, "", "a", map[string]any{"disabled": true}); err == nil || !strings.Contains(err.Error(), "several tenants") {
		t.Errorf("ambiguous: %v", err)
	}
	if err := registry.EditSource(file, "acme", "b", nil); err == nil || !strings.Contains(err.Error(), "there is no source") {
		t.Errorf("unknown: %v", err)
	}
	if err := registry.EditSource(file, "acme", "a", map[string]any{"key_sha256": strings.Repeat("b", 64)}); err == nil || !strings.Contains(err.Error(), "has the key of") {
		t.Errorf("a mistake: %v", err)
	}
	if err := registry.EditSource(file, "globex", "a", map[string]any{"key_sha256": strings.Repeat("c", 64), "previous_key_sha256": strings.Repeat("b", 64)}); err != nil {
		t.Fatal(err)
	}
	if err := registry.EditSource(file, "globex", "a", map[string]any{"previous_key_sha256": nil}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if want := strings.Replace(text, strings.Repeat("b", 64), strings.Repeat("c", 64), 1); err != nil || !equalYAML(string(got), want) {
		t.Errorf("the file is now (%v):\n%s", err, got)
	}
	if !strings.Contains(string(got), "# all of them") || !strings.Contains(string(got), "# first") {
		t.Errorf("comments are gone:\n%s", got)
	}
}

// equalYAML compares line by line without indentation, which the encoder chooses.
func equalYAML(a, b string) bool {
	flat := func(s string) string {
		var out []string
		for l := range strings.Lines(s) {
			out = append(out, strings.TrimSpace(l))
		}
		return strings.Join(out, "\n")
	}
	return flat(a) == flat(b)
}
