// Package delegate is a principal of the demo estate that acts for others: an
// agent, or an MCP server that calls the next one. It holds its own identity at
// the authorization server, trades the tokens it is given for ones in which it
// is the actor, and calls tools with them over Streamable HTTP.
//
// The caller's span (OpenTelemetry's span context in ctx) goes along as W3C
// traceparent: in the header of token requests, in the header and the "_meta" of
// tool calls. A Delegate is safe for concurrent use; it never retries a call.
package delegate

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/custody-audit/custody/deploy/demo/sts"
)

// Config configures a Delegate.
type Config struct {
	// ID and Secret at the authorization server.
	ID, Secret string
	// Version of its client software.
	Version string
	// TokenURL of the authorization server.
	TokenURL string
	// HTTP sends the requests.
	HTTP *http.Client
}

// Delegate acts for others.
type Delegate struct {
	caller sts.Caller
	impl   *mcp.Implementation
	http   *http.Client // adds bearer and traceparent to what the MCP client sends

	mu       sync.Mutex
	own      sts.Token                     // guarded by mu
	sessions map[string]*mcp.ClientSession // by URL; guarded by mu
}

// New returns a Delegate that has not spoken to anybody yet.
func New(cfg Config) *Delegate {
	bearer := *cfg.HTTP
	bearer.Transport = transport{cfg.HTTP.Transport}
	return &Delegate{
		caller:   sts.Caller{TokenURL: cfg.TokenURL, ID: cfg.ID, Secret: cfg.Secret, HTTP: cfg.HTTP},
		impl:     &mcp.Implementation{Name: cfg.ID, Version: cfg.Version},
		http:     &bearer,
		sessions: map[string]*mcp.ClientSession{},
	}
}

// ID is the delegate's client_id.
func (d *Delegate) ID() string { return d.caller.ID }

// renewBefore is how long before its end the delegate's own token is renewed.
const renewBefore = time.Minute

// identity returns the delegate's own token.
func (d *Delegate) identity(ctx context.Context) (sts.Token, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Until(d.own.Expires) > renewBefore {
		return d.own, nil
	}
	own, err := d.caller.Own(ctx)
	if err != nil {
		return sts.Token{}, err
	}
	d.own = own
	return own, nil
}

// Exchange trades subject for a token at audience in which the delegate acts.
func (d *Delegate) Exchange(ctx context.Context, subject sts.Token, audience string, scope []string) (sts.Token, error) {
	own, err := d.identity(ctx)
	if err != nil {
		return sts.Token{}, err
	}
	return d.caller.Exchange(ctx, subject, own, audience, scope)
}

// Close ends the sessions.
func (d *Delegate) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for url, s := range d.sessions {
		errs = append(errs, s.Close())
		delete(d.sessions, url)
	}
	return errors.Join(errs...)
}
