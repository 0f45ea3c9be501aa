package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/custody-audit/custody/collector/token"
	"github.com/custody-audit/custody/schemas/event"
)

const (
	issuer = "https://sts.acme.example"
	uri    = "https://github-mcp.acme.example/mcp"
)

// authority is an issuer whose keys can be changed and withheld.
type authority struct {
	*httptest.Server
	t       *testing.T
	now     time.Time
	keys    map[string]*ecdsa.PrivateKey // published
	fetched int
	broken  bool
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC), keys: map[string]*ecdsa.PrivateKey{}}
	a.add("k1")
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		a.fetched++
		if a.broken {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		var set jose.JSONWebKeySet
		for id, key := range a.keys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: id, Algorithm: "ES256", Use: "sig"})
		}
		json.NewEncoder(w).Encode(set)
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *authority) add(id string) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.keys[id] = key
	return key
}

func (a *authority) verifier(change func(*token.Config)) *token.Verifier {
	a.t.Helper()
	cfg := token.Config{Issuer: issuer, JWKSURL: a.URL, Audience: uri, Now: func() time.Time { return a.now },
		TypeOf: func(_, sub string) event.PartyType {
			if sub == "alice" {
				return event.Human
			}
			return event.Agent
		}}
	if change != nil {
		change(&cfg)
	}
	v, err := token.NewVerifier(cfg)
	if err != nil {
		a.t.Fatal(err)
	}
	return v
}

func (a *authority) claims() jwt.Claims {
	return jwt.Claims{
		Issuer: issuer, Subject: "alice", Audience: jwt.Audience{uri}, ID: "j1",
		IssuedAt: jwt.NewNumericDate(a.now), Expiry: jwt.NewNumericDate(a.now.Add(time.Hour)),
	}
}

func (a *authority) sign(id string, key *ecdsa.PrivateKey, c jwt.Claims, more map[string]any) string {
	a.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: id}}, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := jwt.Signed(signer).Claims(c).Claims(more).Serialize()
	if err != nil {
		a.t.Fatal(err)
	}
	return raw
}

func verify(t *testing.T, v *token.Verifier, raw string) *token.Presented {
	t.Helper()
	p, err := v.Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFacts(t *testing.T) {
	a := newAuthority(t)
	raw := a.sign("k1", a.keys["k1"], a.claims(), map[string]any{
		"scope": "repo:read repo:write", "client_id": "planner", "txn": "txn-1", "task_id": "task-1", "cnf": map[string]string{"jkt": "abc"},
		"act": map[string]any{"iss": issuer, "sub": "deployer", "act": map[string]any{"sub": "planner"}},
	})
	got := verify(t, a.verifier(nil), raw)
	want := &token.Presented{
		Token: event.Token{
			Ref: event.TokenRef(raw), JTI: "j1", Iss: issuer, Audience: []string{uri}, Scope: []string{"repo:read", "repo:write"},
			IssuedAt: event.TimeOf(a.now), ExpiresAt: event.TimeOf(a.now.Add(time.Hour)), TokenType: "Bearer", Confirmation: "jkt:abc", Verified: event.TokenVerified,
		},
		Subject:  event.Party{Iss: issuer, Sub: "alice", Type: event.Human},
		Chain:    []event.Link{{Iss: issuer, Sub: "deployer", Type: event.Agent}, {Sub: "planner", Type: event.Agent}},
		ChainRaw: `{"act":{"sub":"planner"},"iss":"https://sts.acme.example","sub":"deployer"}`,
		ClientID: "planner", TransactionID: "txn-1", TaskID: "task-1",
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("presented (-want +got):\n%s", diff)
	}
	var e event.Event
	got.Describe(&e)
	if e.Actor.Sub != "deployer" || e.ChainRule != event.SubjectChained || !e.Client.Verified || e.Correlation.TaskID != "task-1" {
		t.Errorf("event %s", e.Canonical())
	}
}

// Each claim is checked, on tokens that are signed as they should be.
func TestClaimsAreChecked(t *testing.T) {
	a := newAuthority(t)
	strict, lenient := a.verifier(nil), a.verifier(func(cfg *token.Config) { cfg.AnyAudience = true })
	at := func(d time.Duration) *jwt.NumericDate { return jwt.NewNumericDate(a.now.Add(d)) }
	for _, c := range []struct {
		want     event.Verified
		verifier *token.Verifier
		change   func(*jwt.Claims)
		act      any
	}{
		{"verified", strict, func(*jwt.Claims) {}, nil},
		{"verified", strict, func(c *jwt.Claims) { c.Expiry = at(-time.Second) }, nil}, // within the leeway
		{"failed:expired", strict, func(c *jwt.Claims) { c.Expiry = at(-time.Minute) }, nil},
		{"failed:expired", strict, func(c *jwt.Claims) { c.Expiry = nil }, nil},
		{"failed:time", strict, func(c *jwt.Claims) { c.NotBefore = at(time.Minute) }, nil},
		{"failed:time", strict, func(c *jwt.Claims) { c.IssuedAt = at(time.Minute) }, nil},
		{"failed:issuer", strict, func(c *jwt.Claims) { c.Issuer = "https://sts.evil.example" }, nil},
		{"failed:audience", strict, func(c *jwt.Claims) { c.Audience = nil }, nil},
		{"failed:audience", strict, func(c *jwt.Claims) { c.Audience = jwt.Audience{uri + "/"} }, nil},
		{"verified", lenient, func(c *jwt.Claims) { c.Audience = jwt.Audience{"https://vault.example"} }, nil},
		{"failed:act", strict, func(*jwt.Claims) {}, "planner"},
	} {
		claims := a.claims()
		c.change(&claims)
		more := map[string]any{}
		if c.act != nil {
			more["act"] = c.act
		}
		p := verify(t, c.verifier, a.sign("k1", a.keys["k1"], claims, more))
		if p.Token.Verified != c.want || p.Refused() != (c.want != "verified") || p.Subject.Sub != "alice" {
			t.Errorf("%+v: %q, want %q", claims, p.Token.Verified, c.want)
		}
	}
}

// Whose signature is not good tells nothing but its reference.
func TestForgeries(t *testing.T) {
	a := newAuthority(t)
	v := a.verifier(nil)
	good := a.sign("k1", a.keys["k1"], a.claims(), nil)
	head, rest, _ := strings.Cut(good, ".")
	body, signature, _ := strings.Cut(rest, ".")
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(strings.Repeat("k", 32))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	symmetric, err := jwt.Signed(secret).Claims(a.claims()).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		raw  string
		want event.Verified
	}{
		"another key under the same id": {a.sign("k1", stranger, a.claims(), nil), "failed:signature"},
		"a key nobody published":        {a.sign("k9", stranger, a.claims(), nil), "failed:signature"},
		"cut":                           {good[:len(good)-8] + "AAAAAAAA", "failed:signature"},
		"other claims":                  {head + "." + body[:len(body)-4] + "AAAA" + "." + signature, "failed:signature"},
		"no signature":                  {"eyJhbGciOiJub25lIn0." + body + ".", "failed:malformed"},
		"a secret for a key":            {symmetric, "failed:malformed"},
		"no JWT":                        {"hello", "failed:malformed"},
		"nothing":                       {"", "failed:malformed"},
	} {
		got := verify(t, v, c.raw)
		want := &token.Presented{Token: event.Token{Ref: event.TokenRef(c.raw), TokenType: "Bearer", Verified: c.want}}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestKeysChange(t *testing.T) {
	a := newAuthority(t)
	v := a.verifier(nil)
	old := a.sign("k1", a.keys["k1"], a.claims(), nil)
	verify(t, v, old)

	next := a.sign("k2", a.add("k2"), a.claims(), nil)
	if p := verify(t, v, next); !p.Refused() || a.fetched != 1 {
		t.Errorf("%s after %d fetches: made-up key ids would make us ask each time", p.Token.Verified, a.fetched)
	}
	a.now = a.now.Add(6 * time.Second)
	if p := verify(t, v, next); p.Refused() || a.fetched != 2 {
		t.Errorf("the new key after %d fetches: %s", a.fetched, p.Token.Verified)
	}

	delete(a.keys, "k1")
	if p := verify(t, v, old); p.Refused() {
		t.Errorf("the withdrawn key before its hour: %s", p.Token.Verified)
	}
	a.now = a.now.Add(59*time.Minute + 55*time.Second)
	c := a.claims()
	if p := verify(t, v, a.sign("k1", a.keys["k2"], c, nil)); p.Token.Verified != "failed:signature" {
		t.Errorf("the withdrawn key's id: %s", p.Token.Verified)
	}
}

// A token that was verified is checked again: its time always, its signature when
// the issuer's keys are fetched anew. What a caller does to its facts stays with it.
func TestPresentedAgain(t *testing.T) {
	a := newAuthority(t)
	v := a.verifier(nil)
	c := a.claims()
	raw := a.sign("k1", a.keys["k1"], c, nil)
	verify(t, v, raw).Token.Audience[0] = "changed"
	for range 2 {
		if p := verify(t, v, raw); p.Token.Verified != event.TokenVerified || p.Token.Audience[0] != uri {
			t.Errorf("again: %s, for %q", p.Token.Verified, p.Token.Audience)
		}
	}
	c.Expiry = jwt.NewNumericDate(a.now.Add(30 * time.Minute))
	short := a.sign("k1", a.keys["k1"], c, nil)
	verify(t, v, short)
	a.now = a.now.Add(40 * time.Minute)
	if p := verify(t, v, short); p.Token.Verified != event.TokenFailed+"expired" || a.fetched != 1 {
		t.Errorf("after its end: %s", p.Token.Verified)
	}
	delete(a.keys, "k1")
	a.add("k2")
	a.now = a.now.Add(25 * time.Minute)
	if p := verify(t, v, raw); p.Token.Verified != event.TokenFailed+"signature" || a.fetched != 2 {
		t.Errorf("an hour after its key was withdrawn: %s", p.Token.Verified)
	}
}

// An issuer that does not answer makes a token neither good nor bad.
func TestIssuerAway(t *testing.T) {
	a := newAuthority(t)
	v := a.verifier(nil)
	a.broken = true
	raw := a.sign("k1", a.keys["k1"], a.claims(), nil)
	if p, err := v.Verify(t.Context(), raw); err == nil || !strings.Contains(err.Error(), "502") {
		t.Errorf("%+v, %v", p, err)
	}
	a.broken = false
	if p := verify(t, v, raw); p.Refused() {
		t.Errorf("when it is back: %s", p.Token.Verified)
	}
}

func TestKeys(t *testing.T) {
	k, err := token.NewKeys("acme-1", []byte("hash key"), map[string]event.Party{"rpt_1": {Sub: "report-job", Type: event.Service}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := k.Verify(t.Context(), "rpt_1")
	if err != nil || p.Refused() || !p.Token.Static || !p.IdentityLost || p.Subject.Sub != "report-job" ||
		p.Token.Ref != event.SecretRef("acme-1", []byte("hash key"), "rpt_1") {
		t.Errorf("%+v %v", p, err)
	}
	if p, err = k.Verify(t.Context(), "rpt_2"); err != nil || p.Token.Verified != "failed:unknown" || p.Subject != (event.Party{}) {
		t.Errorf("%+v %v", p, err)
	}
}

func BenchmarkVerify(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1"}}})
	}))
	defer server.Close()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k1"}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	raw, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: issuer, Audience: jwt.Audience{uri}, Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour))}).Serialize()
	if err != nil {
		b.Fatal(err)
	}
	v, err := token.NewVerifier(token.Config{Issuer: issuer, JWKSURL: server.URL, Audience: uri})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if p, err := v.Verify(b.Context(), raw); err != nil || p.Refused() {
			b.Fatal(p, err)
		}
	}
}
