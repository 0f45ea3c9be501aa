package ssf

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/collector/registry"
	"github.com/custody-audit/custody/schemas/event"
)

const (
	issuer    = "https://idp.acme.example/"
	recipient = "https://custody.acme.example/ssf"
	revoked   = caep + "session-revoked"
)

var clock = time.Unix(1793617210, 0)

// log stands for Kafka.
type log struct {
	mu     sync.Mutex
	events []*event.Event
	err    error
}

func (l *log) Publish(_ context.Context, events []collector.Canonical) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	for _, c := range events {
		l.events = append(l.events, c.Event)
	}
	return nil
}

// world is a receiver, and a transmitter with three keys.
type world struct {
	*log
	t       *testing.T
	url     string
	bearer  string
	keys    map[string]any // private, by id
	public  jose.JSONWebKeySet
	jwks    *httptest.Server
	fetched int
	down    bool
	now     time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{log: &log{}, t: t, keys: map[string]any{}, now: clock}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.publish("ec", ec, ec.Public(), "sig", "ES256")
	w.publish("rsa", rsaKey, rsaKey.Public(), "", "")
	w.publish("ed", ed, ed.Public(), "sig", "")
	enc, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	w.publish("enc", enc, enc.Public(), "enc", "")
	w.jwks = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		w.fetched++
		if w.down {
			http.Error(out, "away", http.StatusBadGateway)
			return
		}
		json.NewEncoder(out).Encode(w.public)
	}))
	t.Cleanup(w.jwks.Close)
	w.serve()
	return w
}

func (w *world) publish(id string, private, public any, use, alg string) {
	w.keys[id] = private
	w.public.Keys = append(w.public.Keys, jose.JSONWebKey{Key: public, KeyID: id, Use: use, Algorithm: alg})
}

func (w *world) serve() {
	w.t.Helper()
	redactor, err := redact.New("", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	now := func() time.Time { return w.now }
	gateway, err := collector.NewGateway(collector.GatewayConfig{Publisher: w.log, Redactor: redactor, Logger: logger, Clock: now})
	if err != nil {
		w.t.Fatal(err)
	}
	key, hash := registry.NewKey()
	_, otherHash := registry.NewKey()
	sources, err := registry.New(registry.Config{Logger: logger, Sources: []collector.Source{
		{ID: "idp", Tenant: "acme", Type: Type, KeySHA256: hash}, {ID: "opa", Tenant: "acme", Type: "opa", KeySHA256: otherHash},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := New(Config{Logger: logger, Now: now, Transmitters: []Transmitter{
		{Tenant: "acme", Source: "idp", Issuer: issuer, JWKSURL: w.jwks.URL, Audience: recipient},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	server := httptest.NewServer(r.Handler(sources, gateway))
	w.t.Cleanup(server.Close)
	w.url, w.bearer = server.URL+Path, key
}

// set is the payload of a good SET, with changes; a nil value takes a claim out.
func set(changes map[string]any) map[string]any {
	out := map[string]any{
		"iss": issuer, "aud": []string{"someone", recipient}, "iat": clock.Unix() - 5, "jti": "set-1",
		"sub_id": map[string]any{"format": "complex", "session": map[string]any{"format": "opaque", "id": "s-1"}, "user": map[string]any{"format": "iss_sub", "iss": issuer, "sub": "alice"}},
		"events": map[string]any{revoked: map[string]any{"event_timestamp": clock.Unix() - 10, "initiating_entity": "admin"}},
	}
	maps.Copy(out, changes)
	maps.DeleteFunc(out, func(_ string, v any) bool { return v == nil })
	return out
}

type signing struct {
	alg    jose.SignatureAlgorithm
	key    any
	kid    string
	typ    string
	extra  map[jose.HeaderKey]any
	inside bool // puts the public key into the header
}

func (w *world) sign(payload any, s signing) string {
	w.t.Helper()
	options := &jose.SignerOptions{ExtraHeaders: s.extra, EmbedJWK: s.inside}
	if s.typ != "" {
		options = options.WithType(jose.ContentType(s.typ))
	}
	if s.kid != "" && !s.inside {
		options = options.WithHeader("kid", s.kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: s.key}, options)
	if err != nil {
		w.t.Fatal(err)
	}
	text, isText := payload.(string)
	body := []byte(text)
	if !isText {
		body, _ = json.Marshal(payload)
	}
	signed, err := signer.Sign(body)
	if err != nil {
		w.t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		w.t.Fatal(err)
	}
	return compact
}

func (w *world) good(changes map[string]any) string {
	w.t.Helper()
	return w.sign(set(changes), signing{alg: jose.ES256, key: w.keys["ec"], kid: "ec", typ: "secevent+jwt"})
}

type answer struct {
	status           int
	body             string
	err, description string
	header           http.Header
}

func (w *world) push(body string, change ...func(*http.Request)) answer {
	w.t.Helper()
	req, err := http.NewRequest(http.MethodPost, w.url, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.bearer)
	req.Header.Set("Content-Type", contentType)
	for _, f := range change {
		f(req)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answer{status: res.StatusCode, body: string(text), header: res.Header}
	var said struct{ Err, Description string }
	if json.Unmarshal(text, &said) == nil {
		a.err, a.description = said.Err, said.Description
	}
	return a
}
