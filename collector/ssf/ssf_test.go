package ssf

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/schemas/event"
)

func TestAccepted(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name string
		s    signing
	}{
		{"ES256", signing{alg: jose.ES256, key: w.keys["ec"], kid: "ec", typ: "secevent+jwt"}},
		{"RS256", signing{alg: jose.RS256, key: w.keys["rsa"], kid: "rsa", typ: "application/secevent+jwt"}},
		{"PS256", signing{alg: jose.PS256, key: w.keys["rsa"], kid: "rsa", typ: "SECEVENT+JWT"}},
		{"EdDSA", signing{alg: jose.EdDSA, key: w.keys["ed"], kid: "ed", typ: "secevent+jwt"}},
	} {
		got := w.push(w.sign(set(map[string]any{"jti": c.name}), c.s))
		if got.status != http.StatusAccepted || got.body != "" {
			t.Errorf("%s: %d %q", c.name, got.status, got.body)
		}
	}
	if len(w.events) != 4 || w.fetched != 1 {
		t.Fatalf("%d events, keys fetched %d times", len(w.events), w.fetched)
	}
	e := w.events[0]
	if e.Tenant != "acme" || e.Source.ID != "idp" || e.Source.EventID != "ES256" || e.Type != event.TypeSessionRevoked || e.Subject.Sub != "alice" || e.Correlation.SessionID != "s-1" {
		t.Errorf("got %s", e.Canonical())
	}
}

func TestAudienceAsText(t *testing.T) {
	w := newWorld(t)
	if got := w.push(w.good(map[string]any{"aud": recipient})); got.status != http.StatusAccepted {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A verification of the stream is answered and is no event.
func TestVerification(t *testing.T) {
	w := newWorld(t)
	got := w.push(w.good(map[string]any{
		"sub_id": map[string]any{"format": "opaque", "id": "stream-1"},
		"events": map[string]any{"https://schemas.openid.net/secevent/ssf/event-type/verification": map[string]any{"state": "x"}},
	}))
	if got.status != http.StatusAccepted || got.body != "" || len(w.events) != 0 {
		t.Errorf("%d %q, %d events", got.status, got.body, len(w.events))
	}
}

func part(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// tampered changes a claim and leaves the signature.
func tampered(compact string) string {
	parts := strings.Split(compact, ".")
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	return parts[0] + "." + part(strings.Replace(string(payload), "alice", "mallo", 1)) + "." + parts[2]
}

// Forged and malformed SETs: none becomes an event, each is told why.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec := func(payload any) string {
		return w.sign(payload, signing{alg: jose.ES256, key: w.keys["ec"], kid: "ec", typ: "secevent+jwt"})
	}
	payload, _ := json.Marshal(set(nil))
	parts := strings.Split(w.good(nil), ".")
	for _, c := range []struct{ name, body, err, says string }{
		{"empty", "", invalidRequest, "no JWS"},
		{"text", "hello", invalidRequest, "no JWS"},
		{"bare payload", string(payload), invalidRequest, "no JWS"},
		{"JSON serialisation", `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}]}`, invalidRequest, "no JWS"},
		{"five parts", "a.b.c.d.e", invalidRequest, "no JWS"},
		{"no signature", parts[0] + "." + parts[1] + ".", invalidKey, "does not hold"},
		{"alg none", part(`{"alg":"none","typ":"secevent+jwt"}`) + "." + part(string(payload)) + ".", invalidRequest, "no JWS"},
		{"alg HS256 with the public key", w.sign(set(nil), signing{alg: jose.HS256, key: []byte(strings.Repeat("k", 32)), kid: "rsa", typ: "secevent+jwt"}), invalidRequest, "no JWS"},
		{"alg not allowed", w.sign(set(nil), signing{alg: jose.RS512, key: w.keys["rsa"], kid: "rsa", typ: "secevent+jwt"}), invalidRequest, "no JWS"},
		{"another payload", tampered(w.good(nil)), invalidKey, "does not hold"},
		{"another's signature", parts[0] + "." + part(`{"iss":"`+issuer+`"}`) + "." + parts[2], invalidKey, "does not hold"},
		{"a stranger's key under a known id", w.sign(set(nil), signing{alg: jose.ES256, key: stranger, kid: "ec", typ: "secevent+jwt"}), invalidKey, "does not hold"},
		{"an unknown id", w.sign(set(nil), signing{alg: jose.ES256, key: stranger, kid: "mine", typ: "secevent+jwt"}), invalidKey, "no key"},
		{"no id among several keys", w.sign(set(nil), signing{alg: jose.ES256, key: w.keys["ec"], typ: "secevent+jwt"}), invalidKey, "no key"},
		{"its own key in the header", w.sign(set(nil), signing{alg: jose.ES256, key: stranger, inside: true, typ: "secevent+jwt"}), invalidKey, "no key"},
		{"an address of keys in the header", w.sign(set(nil), signing{alg: jose.ES256, key: stranger, kid: "x", typ: "secevent+jwt", extra: map[jose.HeaderKey]any{"jku": w.jwks.URL}}), invalidKey, "no key"},
		{"a key for encryption", w.sign(set(nil), signing{alg: jose.RS256, key: w.keys["enc"], kid: "enc", typ: "secevent+jwt"}), invalidKey, "no key"},
		{"a key of another algorithm", w.sign(set(nil), signing{alg: jose.RS256, key: w.keys["rsa"], kid: "ec", typ: "secevent+jwt"}), invalidKey, "no key"},
		{"a critical header", w.sign(set(nil), signing{alg: jose.ES256, key: w.keys["ec"], kid: "ec", typ: "secevent+jwt", extra: map[jose.HeaderKey]any{"crit": []string{"new"}, "new": 1}}), invalidKey, "does not hold"},
		{"no typ", w.sign(set(nil), signing{alg: jose.ES256, key: w.keys["ec"], kid: "ec"}), invalidRequest, "typ"},
		{"an ID token", w.sign(set(nil), signing{alg: jose.ES256, key: w.keys["ec"], kid: "ec", typ: "JWT"}), invalidRequest, "typ"},
		{"an access token", w.sign(set(nil), signing{alg: jose.ES256, key: w.keys["ec"], kid: "ec", typ: "at+jwt"}), invalidRequest, "typ"},
		{"payload no JSON", ec("hello"), invalidRequest, "no JSON"},
		{"payload an array", ec("[]"), invalidRequest, "no JSON"},
		{"another issuer", ec(set(map[string]any{"iss": "https://evil.example/"})), invalidIssuer, "iss"},
		{"the issuer without its slash", ec(set(map[string]any{"iss": strings.TrimSuffix(issuer, "/")})), invalidIssuer, "iss"},
		{"no issuer", ec(set(map[string]any{"iss": nil})), invalidIssuer, "iss"},
		{"another audience", ec(set(map[string]any{"aud": "https://other.example"})), invalidAudience, "aud"},
		{"no audience", ec(set(map[string]any{"aud": nil})), invalidAudience, "aud"},
		{"audience a number", ec(set(map[string]any{"aud": 1})), invalidRequest, "claims"},
		{"exp", ec(set(map[string]any{"exp": clock.Unix() + 60})), invalidRequest, "exp"},
		{"no iat", ec(set(map[string]any{"iat": nil})), invalidRequest, "iat"},
		{"iat a text", ec(set(map[string]any{"iat": "now"})), invalidRequest, "claims"},
		{"iat ahead", ec(set(map[string]any{"iat": clock.Unix() + 3600})), invalidRequest, "ahead"},
		{"iat a year ago", ec(set(map[string]any{"iat": clock.Unix() - 365*86400})), invalidRequest, "ago"},
		{"iat in milliseconds", ec(set(map[string]any{"iat": clock.UnixMilli()})), invalidRequest, "iat"},
		{"no jti", ec(set(map[string]any{"jti": nil})), invalidRequest, "jti"},
		{"jti too long", ec(set(map[string]any{"jti": strings.Repeat("j", maxJTI+1)})), invalidRequest, "jti"},
		{"no events", ec(set(map[string]any{"events": nil})), invalidRequest, "events"},
		{"events a list", ec(set(map[string]any{"events": []string{revoked}})), invalidRequest, "claims"},
		{"events empty", ec(set(map[string]any{"events": map[string]any{}})), invalidRequest, "events"},
		{"nobody named", ec(set(map[string]any{"sub_id": nil})), invalidRequest, "sub_id"},
		{"subject of another type", ec(set(map[string]any{"sub_id": "alice"})), invalidRequest, "sub_id"},
		{"an event that is none", ec(set(map[string]any{"events": map[string]any{revoked: "x"}})), invalidRequest, "session-revoked"},
	} {
		w.now = w.now.Add(refetch) // so that no case is answered by the one before
		got := w.push(c.body)
		if got.status != http.StatusBadRequest || got.err != c.err || !strings.Contains(got.description, c.says) {
			t.Errorf("%s: %d %s, want %s with %q", c.name, got.status, got.body, c.err, c.says)
		}
		if got.header.Get("Content-Type") != "application/json" || got.header.Get("Content-Language") != "en" {
			t.Errorf("%s: %v", c.name, got.header)
		}
	}
	if len(w.events) != 0 {
		t.Errorf("%d events", len(w.events))
	}
}

func TestRequests(t *testing.T) {
	w := newWorld(t)
	body := w.good(nil)
	check := func(name string, status int, err string, change func(*http.Request)) {
		t.Helper()
		if got := w.push(body, change); got.status != status || got.err != err {
			t.Errorf("%s: %d %s, want %d %s", name, got.status, got.body, status, err)
		}
	}
	check("GET", http.StatusMethodNotAllowed, invalidRequest, func(r *http.Request) { r.Method = http.MethodGet })
	check("JSON", http.StatusUnsupportedMediaType, invalidRequest, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") })
	check("no key", http.StatusBadRequest, authenticationFailed, func(r *http.Request) { r.Header.Del("Authorization") })
	check("an unknown key", http.StatusBadRequest, authenticationFailed, func(r *http.Request) { r.Header.Set("Authorization", "Bearer nope") })
	body = strings.Repeat("a", maxSET+1)
	check("too large", http.StatusRequestEntityTooLarge, invalidRequest, func(*http.Request) {})
	if len(w.events) != 0 {
		t.Errorf("%d events", len(w.events))
	}
}

// 202 comes after the event is durable, and the SET is taken when it comes again.
func TestAcknowledgedAfterDurable(t *testing.T) {
	w := newWorld(t)
	w.err = collector.ErrUnavailable
	got := w.push(w.good(nil))
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %v", got.status, got.header)
	}
	w.err = errors.New("disk on fire")
	if got := w.push(w.good(nil)); got.status != http.StatusInternalServerError || strings.Contains(got.body, "fire") {
		t.Errorf("%d %s", got.status, got.body)
	}
	w.err = nil
	if got := w.push(w.good(nil)); got.status != http.StatusAccepted || len(w.events) != 1 {
		t.Errorf("%d, %d events", got.status, len(w.events))
	}
}

func TestReplay(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		if got := w.push(w.good(nil)); got.status != http.StatusAccepted {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	if len(w.events) != 1 {
		t.Errorf("%d events of one SET", len(w.events))
	}
	other := w.good(map[string]any{"sub_id": map[string]any{"format": "opaque", "id": "s-2"}})
	if got := w.push(other); got.status != http.StatusBadRequest || !strings.Contains(got.description, "jti") {
		t.Errorf("another SET with the id: %d %s", got.status, got.body)
	}
	w.serve() // after a restart the memory is gone, and the event's id is the same
	if got := w.push(w.good(nil)); got.status != http.StatusAccepted || len(w.events) != 2 || w.events[0].ID != w.events[1].ID {
		t.Errorf("%d, %d events", got.status, len(w.events))
	}
}

func TestReplayMemoryIsBounded(t *testing.T) {
	var r replay
	for i := range 3 * maxRemembered {
		r.remember(string(rune('a'+i%26))+time.Duration(i).String(), [32]byte{})
	}
	if len(r.recent) > maxRemembered || len(r.older) > maxRemembered {
		t.Errorf("%d and %d", len(r.recent), len(r.older))
	}
}

// Keys are asked for when an id is new, not for each made-up one, and a
// transmitter that is away is no reason to refuse.
func TestKeys(t *testing.T) {
	w := newWorld(t)
	w.down = true
	if got := w.push(w.good(nil)); got.status != http.StatusServiceUnavailable {
		t.Errorf("away: %d %s", got.status, got.body)
	}
	w.push(w.good(nil))
	if w.fetched != 1 {
		t.Errorf("asked %d times at once", w.fetched)
	}
	w.down, w.now = false, w.now.Add(refetch)
	if got := w.push(w.good(nil)); got.status != http.StatusAccepted || w.fetched != 2 {
		t.Errorf("back: %d %s, %d fetches", got.status, got.body, w.fetched)
	}
	rolled, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := func(jti string) string {
		return w.sign(set(map[string]any{"jti": jti}), signing{alg: jose.ES256, key: rolled, kid: "ec-2", typ: "secevent+jwt"})
	}
	for range 10 {
		if got := w.push(body("new")); got.err != invalidKey {
			t.Errorf("before it is published: %d %s", got.status, got.body)
		}
	}
	w.publish("ec-2", rolled, rolled.Public(), "sig", "ES256")
	w.now = w.now.Add(refetch)
	if got := w.push(body("new")); got.status != http.StatusAccepted || w.fetched != 3 {
		t.Errorf("rolled over: %d %s, %d fetches", got.status, got.body, w.fetched)
	}
	w.public.Keys, w.now = w.public.Keys[1:], w.now.Add(stale)
	if got := w.push(w.good(map[string]any{"jti": "late"})); got.err != invalidKey {
		t.Errorf("withdrawn: %d %s", got.status, got.body)
	}
}

func TestConfig(t *testing.T) {
	_, err := New(Config{Logger: slog.New(slog.DiscardHandler), Transmitters: []Transmitter{{JWKSURL: "http://idp.example/jwks", Algorithms: []jose.SignatureAlgorithm{jose.HS256}, MaxAge: -1}}})
	for _, want := range []string{"Tenant", "Issuer", "Audience", "JWKSURL", "HS256", "MaxAge"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %s", err, want)
		}
	}
}
