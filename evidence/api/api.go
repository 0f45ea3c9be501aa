// Package api answers questions about the evidence over HTTP: what the verbs of
// custody print, for programs, under /api/v1.
//
// A request is one of a [Caller], who is known by an API key, a JWT of the
// configured issuer, or a login session; its roles decide what it may ask, its
// tenants whose evidence. Tenants are kept apart twice: every query carries the
// tenant as a condition, and runs as the database user whom ClickHouse shows that
// tenant only. Each read becomes an event of the tenant's own log before its
// answer leaves; one that cannot be recorded is not answered, unless the
// installation says otherwise.
//
// The OpenAPI document is made of this package's types ([Document]) and is what
// the handlers parse requests by. Errors are problem documents (RFC 9457).
package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/danielgtaylor/huma/v2"
	"go.opentelemetry.io/otel/metric"

	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/schemas/event"
)

//go:generate go run ./generate ../../docs/reference/openapi.json

// Prefix is below which all operations are.
const Prefix = "/api/v1"

// Recorder makes an event part of the evidence.
type Recorder interface {
	// Record returns nil when the event is durable. It owns the event. It may be
	// called concurrently.
	Record(ctx context.Context, e *event.Event) error
}

// Config configures a Server.
type Config struct {
	// Connect opens the connections of the database user who sees one tenant, or
	// with "" of the user who sees all. It is asked once for each. Required.
	Connect Connect
	// History is a connection of the database user who may append to the history of
	// findings; nil: what is done about findings cannot be said here. The server
	// closes it.
	History driver.Conn
	// Redact takes secrets out of what people write about findings; nil leaves them.
	Redact func(text string) string
	// Recorder records the reads. Required.
	Recorder Recorder
	// FailOpen answers also while reads cannot be recorded; they are then logged
	// and counted only.
	FailOpen bool
	// OwnTenant is in whose log a read of all tenants together is recorded; "" is
	// "custody".
	OwnTenant string
	// Keys knows the API keys; nil is none.
	Keys *Keys
	// OIDC knows the users of an OpenID issuer; nil is none.
	OIDC *OIDC
	// QueriesDir is a folder with a file of saved filters for each tenant; "" keeps none.
	QueriesDir string
	// Proof is what proof bundles are made of and who signs them; nil: none are made
	// here. Its connection sees the hashes of all tenants and is closed by the server; its
	// Reader is not used.
	Proof *proof.Config
	// Policy says whose signatures count when a bundle or a cosignature is verified
	// here; nil: none is.
	Policy *proof.Policy
	// SecretRef is the reference of a secret of low entropy, under the installation's
	// key; nil where there is none.
	SecretRef func(secret string) string
	// Limits of each request and caller.
	Limits Limits
	// Secure says that requests come over TLS, here or at a proxy in front.
	Secure bool
	// Links lets who has an API key begin a session in a browser by a link that works
	// once. For this machine only: where the key is, anybody could be who has it.
	Links bool
	// Home is where a login leads that was not begun by a page; "" is the operation
	// that tells the caller who it is.
	Home string
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	// Logger hears of internal errors. Required.
	Logger *slog.Logger
	// Meter makes the metrics custody.api.*; nil makes none.
	Meter metric.Meter
}

// Server answers requests. It is safe for concurrent use.
type Server struct {
	cfg      Config
	pools    pools
	limiter  limiter
	sessions sessions
	links    links
	tel      *telemetry
	saving   sync.Mutex // held while a file of saved filters is changed
	acting   sync.Mutex // held while a finding is looked at and acted upon
	api      huma.API
	document []byte
	handler  http.Handler
}

// New returns a Server. It owes a Close.
func New(cfg Config) (*Server, error) {
	if cfg.Connect == nil || cfg.Recorder == nil || cfg.Logger == nil {
		return nil, errors.New("api: Connect, Recorder and Logger are required")
	}
	if err := cfg.Limits.setDefaults(); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	cfg.OwnTenant, cfg.Home = cmp.Or(cfg.OwnTenant, "custody"), cmp.Or(cfg.Home, Prefix+"/whoami")
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	tel, err := newTelemetry(cfg.Meter)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	s := &Server{cfg: cfg, tel: tel, pools: pools{connect: cfg.Connect}, limiter: newLimiter(cfg.Limits, cfg.Now), sessions: sessions{byHash: map[string]*session{}}, links: links{byHash: map[string]*link{}}}
	mux := http.NewServeMux()
	s.operations(mux)
	if s.document, err = document(s.api); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	mux.HandleFunc("GET "+Prefix+"/openapi.json", s.serveDocument)
	if cfg.OIDC != nil || cfg.Links {
		s.logins(mux)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, http.StatusNotFound, "there is no such operation; "+Prefix+"/openapi.json describes all")
	})
	s.handler = s.guard(mux)
	return s, nil
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Ready asks the database, as the user who sees all.
func (s *Server) Ready(ctx context.Context) error {
	conn, err := s.pools.get("")
	if err != nil {
		return err
	}
	return conn.Ping(ctx)
}

// Close ends the connections.
func (s *Server) Close() error {
	err := s.pools.close()
	if s.cfg.History != nil {
		err = errors.Join(err, s.cfg.History.Close())
	}
	if s.cfg.Proof != nil {
		err = errors.Join(err, s.cfg.Proof.ClickHouse.Close())
	}
	return err
}

// guard is what every request goes through first: headers of the answer, a
// bound of the body, and who is asking.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.headers(w.Header())
		r.Body = http.MaxBytesReader(w, r.Body, bodyLimit(r.URL.Path))
		if !needsCaller(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		caller, err := s.authenticate(r)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller)))
	})
}

// maxBody bounds what is read of a request, in bytes, but for a bundle to verify.
const maxBody = 64 << 10

func bodyLimit(path string) int64 {
	if path == Prefix+pathVerify {
		return maxBundle
	}
	return maxBody
}

// headers tell a browser that an answer is data, nobody else's, and not kept.
func (s *Server) headers(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if s.cfg.Secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

func (s *Server) serveDocument(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
	w.Write(s.document) // the client is gone when this fails
}
