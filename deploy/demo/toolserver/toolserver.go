// Package toolserver is an MCP server of the demo estate: the official SDK over
// Streamable HTTP, tokens verified by the issuer's published keys, every tool
// call decided by the tenant's policy engine and recorded by package mcpaudit.
//
// It can be told to make mistakes: to accept tokens issued for others, to pass a
// token on, not to ask, not to obey. Its record stays honest all the same: the
// event says what token came, what was decided and what was done. The event of a
// call is handed to the sink before the caller hears the result.
package toolserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/custody-audit/custody/collector/mcpaudit"
	"github.com/custody-audit/custody/collector/token"
	"github.com/custody-audit/custody/deploy/demo/delegate"
	"github.com/custody-audit/custody/deploy/demo/pdp"
	"github.com/custody-audit/custody/deploy/demo/sts"
	"github.com/custody-audit/custody/schemas/event"
)

// Paths of the endpoints.
const (
	Path         = "/mcp"
	metadataPath = "/.well-known/oauth-protected-resource"
)

// Config configures a Server.
type Config struct {
	// Server describes it; URI is the audience that tokens must have.
	Server event.Server
	// Issuer of the tokens, and JWKSURL where its keys are.
	Issuer, JWKSURL string
	// TypeOf says what a principal is; tokens do not.
	TypeOf token.TypeOf
	// AcceptForeignAudience makes it accept tokens issued for other servers.
	AcceptForeignAudience bool
	// StaticKeys by their owner; when there are any, tokens are not accepted.
	StaticKeys map[string]string
	// SecretKey makes the references of static keys.
	SecretKey []byte
	// Tools it has.
	Tools []Tool
	// PDP decides, Delegate calls the next server.
	PDP      *pdp.Engine
	Delegate *delegate.Delegate
	// Sink takes the events.
	Sink sts.Sink
	// Passed hears of every call at the next server that succeeded.
	Passed func(Hop)
	// Handled hears of every call that reached a tool; nil for nobody.
	Handled func(Handled)
	// HTTP fetches the issuer's keys.
	HTTP *http.Client

	Logger *slog.Logger
}

// Server is an http.Handler with the MCP endpoint at [Path].
type Server struct {
	http.Handler
	cfg Config
}

// New returns a Server.
func New(cfg Config) (*Server, error) {
	if cfg.Server.ID == "" || cfg.PDP == nil || cfg.Sink == nil || cfg.Logger == nil || cfg.TypeOf == nil {
		return nil, errors.New("tool server: Server, PDP, Sink, TypeOf and Logger are required")
	}
	s := &Server{cfg: cfg}
	audit, err := mcpaudit.New(mcpaudit.Config{Server: cfg.Server, Emitter: cfg.Sink, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	m := mcp.NewServer(&mcp.Implementation{Name: cfg.Server.Name, Version: cfg.Server.Version}, nil)
	m.AddReceivingMiddleware(audit.Middleware)
	for i := range cfg.Tools {
		t := &cfg.Tools[i]
		if t.Next != nil && t.Next.URL == "" {
			return nil, fmt.Errorf("tool %s: the address of %s is not known", t.Name, t.Next.Server)
		}
		m.AddTool(t.definition(), s.handle(t))
	}
	check, err := s.check()
	if err != nil {
		return nil, err
	}
	guard := auth.RequireBearerToken(audit.Verifier(check), &auth.RequireBearerTokenOptions{
		ResourceMetadataURL: cfg.Server.URI + metadataPath, AllowMissingExpiration: len(cfg.StaticKeys) > 0,
	})
	stream := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return m }, &mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true})
	mux := http.NewServeMux()
	mux.Handle(Path, audit.Handler(guard(stream)))
	mux.Handle(metadataPath, auth.ProtectedResourceMetadataHandler(&oauthex.ProtectedResourceMetadata{
		Resource: cfg.Server.URI, AuthorizationServers: []string{cfg.Issuer}, JWKSURI: cfg.JWKSURL, BearerMethodsSupported: []string{"header"},
	}))
	s.Handler = mux
	return s, nil
}

// check says how credentials are looked at here: as static keys where there are
// any, else as tokens of the issuer.
func (s *Server) check() (mcpaudit.Check, error) {
	if len(s.cfg.StaticKeys) == 0 {
		v, err := token.NewVerifier(token.Config{
			Issuer: s.cfg.Issuer, JWKSURL: s.cfg.JWKSURL, Audience: s.cfg.Server.URI, AnyAudience: s.cfg.AcceptForeignAudience,
			TypeOf: s.cfg.TypeOf, HTTP: s.cfg.HTTP,
		})
		if err != nil {
			return nil, err
		}
		return v.Verify, nil
	}
	owners := map[string]event.Party{}
	for key, owner := range s.cfg.StaticKeys {
		owners[key] = event.Party{Sub: owner, Type: s.cfg.TypeOf("", owner)}
	}
	k, err := token.NewKeys(secretKeyID, s.cfg.SecretKey, owners)
	if err != nil {
		return nil, err
	}
	return k.Verify, nil
}

// secretKeyID names the key under which static keys are referenced.
const secretKeyID = "demo-1"

// KeyRef is the reference by which events name a static key.
func KeyRef(secretKey []byte, key string) string {
	return event.SecretRef(secretKeyID, secretKey, key)
}
