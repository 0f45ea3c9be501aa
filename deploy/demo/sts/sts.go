// Package sts is the authorization server of one tenant of the demo estate: an
// OpenID provider that performs RFC 8693 token exchange, issues ES256 JWTs and
// reports every token it issues, or refuses to, as an identity event.
//
// The protocol is spoken by zitadel/oidc; this package gives it its clients and
// users ([Client], [User]), its exchange policy (policy.go) and the claims that
// make delegation visible: "act" nested below the new actor, "txn" and "task_id"
// carried from the login to the last hop. Humans log in with the JWT bearer
// grant (RFC 7523), agents and servers are clients with a secret.
//
// An event is handed to the sink before the answer leaves, so no token goes out
// unreported. It keeps everything in memory and forgets it with the process.
package sts

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/custody-audit/custody/schemas/event"
)

// Paths of the endpoints below the server's address.
const (
	TokenPath = "/oauth/token"
	JWKSPath  = "/keys"
)

// Config configures a Server.
type Config struct {
	// Issuer is the "iss" of every token, an absolute URI. It is a name: requests
	// arrive at whatever address the handler is served on.
	Issuer string
	// Clients are the agents and servers that may ask for tokens.
	Clients []Client
	// Users are the humans who may log in.
	Users []User
	// Sink takes the events.
	Sink Sink

	Logger *slog.Logger
}

// Validate reports all problems at once.
func (c *Config) Validate() error {
	var errs []error
	if c.Issuer == "" {
		errs = append(errs, errors.New("want an Issuer"))
	}
	if c.Sink == nil || c.Logger == nil {
		errs = append(errs, errors.New("want a Sink and a Logger"))
	}
	for _, cl := range c.Clients {
		if cl.ID == "" || cl.Secret == "" {
			errs = append(errs, fmt.Errorf("client %q: wants an id and a secret", cl.ID))
		}
	}
	for _, u := range c.Users {
		if u.ID == "" || u.Key == nil {
			errs = append(errs, fmt.Errorf("user %q: wants an id and a key", u.ID))
		}
	}
	return errors.Join(errs...)
}

// Server is the authorization server: an http.Handler.
type Server struct {
	http.Handler
}

// New returns a server with a fresh signing key.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("authorization server: %w", err)
	}
	store, err := newStorage(cfg)
	if err != nil {
		return nil, err
	}
	config := &op.Config{AuthMethodPrivateKeyJWT: true, SupportedScopes: store.scopes()}
	rand.Read(config.CryptoKey[:]) // never used: no opaque token is issued
	provider, err := op.NewProvider(config, store, op.StaticIssuer(cfg.Issuer),
		op.WithAccessTokenVerifierOpts(op.WithSupportedAccessTokenSigningAlgorithms(string(algorithm))))
	if err != nil {
		return nil, fmt.Errorf("start the provider: %w", err)
	}
	return &Server{report(provider, store.directory, cfg.Sink, cfg.Logger)}, nil
}

// directory knows everyone the server vouches for.
type directory struct {
	issuer  string
	clients map[string]*Client
	users   map[string]*User
}

func newDirectory(cfg Config) directory {
	d := directory{cfg.Issuer, map[string]*Client{}, map[string]*User{}}
	for i := range cfg.Clients {
		d.clients[cfg.Clients[i].ID] = &cfg.Clients[i]
	}
	for i := range cfg.Users {
		d.users[cfg.Users[i].ID] = &cfg.Users[i]
	}
	return d
}

// party describes a subject of a token of this issuer.
func (d *directory) party(sub string) event.Party {
	return event.Party{Iss: d.issuer, Sub: sub, Type: d.typeOf(sub)}
}

func (d *directory) typeOf(sub string) event.PartyType {
	if c, ok := d.clients[sub]; ok {
		return c.Type
	}
	if _, ok := d.users[sub]; ok {
		return event.Human
	}
	return event.Unknown
}
