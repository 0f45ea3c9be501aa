// Package toolserver is an MCP server of the demo estate: the official SDK over
// Streamable HTTP, tokens verified by the issuer's published keys, every tool
// call decided by the tenant's policy engine and recorded as an event.
//
// It can be told to make mistakes: to accept tokens issued for others, to pass a
// token on, not to ask, not to obey. Its record stays honest all the same: the
// event says what token came, what was decided and what was done. The event of a
// call is handed to the sink before the caller hears the result.
package toolserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

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
	TypeOf func(sub string) event.PartyType
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
	// HTTP fetches the issuer's keys.
	HTTP *http.Client

	Logger *slog.Logger
}

// Server is an http.Handler with the MCP endpoint at [Path].
type Server struct {
	http.Handler
	cfg  Config
	seen keyring
}

// New returns a Server.
func New(cfg Config) (*Server, error) {
	if cfg.Server.ID == "" || cfg.PDP == nil || cfg.Sink == nil || cfg.Logger == nil || cfg.TypeOf == nil {
		return nil, errors.New("tool server: Server, PDP, Sink, TypeOf and Logger are required")
	}
	s := &Server{cfg: cfg}
	m := mcp.NewServer(&mcp.Implementation{Name: cfg.Server.Name, Version: cfg.Server.Version}, nil)
	for i := range cfg.Tools {
		t := &cfg.Tools[i]
		if t.Next != nil && t.Next.URL == "" {
			return nil, fmt.Errorf("tool %s: the address of %s is not known", t.Name, t.Next.Server)
		}
		m.AddTool(t.definition(), s.handle(t))
	}
	verify, options := s.verifyToken(), &auth.RequireBearerTokenOptions{ResourceMetadataURL: cfg.Server.URI + metadataPath}
	if len(cfg.StaticKeys) > 0 {
		verify, options = s.verifyKey, &auth.RequireBearerTokenOptions{AllowMissingExpiration: true}
	}
	stream := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return m }, &mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true})
	mux := http.NewServeMux()
	mux.Handle(Path, labelled(auth.RequireBearerToken(verify, options)(stream)))
	mux.Handle(metadataPath, auth.ProtectedResourceMetadataHandler(&oauthex.ProtectedResourceMetadata{
		Resource: cfg.Server.URI, AuthorizationServers: []string{cfg.Issuer}, JWKSURI: cfg.JWKSURL, BearerMethodsSupported: []string{"header"},
	}))
	s.Handler = mux
	return s, nil
}

// Headers by which the HTTP side tells the rest what the SDK keeps to itself.
// They are set here on every request, so a caller cannot choose them.
const (
	headerID      = "Custody-Jsonrpc-Id"
	headerMethod  = "Custody-Jsonrpc-Method"
	headerTool    = "Custody-Tool"
	headerAddress = "Custody-Client-Address"
)

const maxRequest = 1 << 20 // bytes of one JSON-RPC message

// labelled notes what the JSON-RPC message of each request is, and whose.
func labelled(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		if err != nil {
			http.Error(w, "request too large", http.StatusRequestEntityTooLarge)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		var message struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
			Params struct {
				Name string `json:"name"`
			} `json:"params"`
		}
		json.Unmarshal(body, &message) // the SDK refuses what is no JSON
		r.Header.Set(headerID, string(bytes.Trim(message.ID, `"`)))
		r.Header.Set(headerMethod, message.Method)
		r.Header.Set(headerTool, message.Params.Name)
		r.Header.Set(headerAddress, r.RemoteAddr)
		next.ServeHTTP(w, r)
	})
}
