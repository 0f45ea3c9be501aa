package api

import (
	"cmp"
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/jwks"
)

// OIDCConfig says which OpenID issuer vouches for callers, and what its claims
// mean here.
type OIDCConfig struct {
	// Issuer is asked where its keys and pages are by OpenID Connect Discovery.
	// Required.
	Issuer string
	// Audience that access tokens must have: this API. Empty accepts none.
	Audience string
	// ClientID and ClientSecret are those of logins; an empty ClientID allows none.
	// A secret is not needed where the issuer knows public clients.
	ClientID, ClientSecret string
	// URL is how browsers reach this server, without a path. Required for logins.
	URL string
	// Scopes asked for at a login beside openid.
	Scopes []string
	// Algorithms that tokens may be signed with; none is RS256 and ES256.
	Algorithms []string
	// RoleClaim and TenantClaim are the claims with roles and tenants: a text or a
	// list; dots step into objects. "" is "roles" and "tenant".
	RoleClaim, TenantClaim string
	// Roles is what values of RoleClaim are here. Required.
	Roles map[string]Role
	// Tenants is what values of TenantClaim are here; empty: they are the tenants.
	// Only here can a value be AllTenants.
	Tenants map[string]string
	// SessionTime is how long a login lasts; 0 is 8 h.
	SessionTime time.Duration
	// HTTP asks the issuer; nil is a client with a timeout of 10 s.
	HTTP *http.Client
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// OIDC knows callers by tokens of an issuer, and logs users in there. It is safe
// for concurrent use.
type OIDC struct {
	cfg     OIDCConfig
	cookies cipher.AEAD // seals what a browser keeps during a login

	mu     sync.Mutex
	known  *discovered // guarded by mu; nil before discovery
	failed error       // guarded by mu
	at     time.Time   // of failed; guarded by mu
}

// discovered is what the issuer says of itself.
type discovered struct {
	endpoint oauth2.Endpoint
	access   *oidc.IDTokenVerifier // of access tokens
	id       *oidc.IDTokenVerifier // of ID tokens
}

// algorithms are those that may be chosen: none with a shared secret.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// NewOIDC checks the configuration. The issuer is asked when it is needed.
func NewOIDC(cfg OIDCConfig) (*OIDC, error) {
	cfg.RoleClaim, cfg.TenantClaim = cmp.Or(cfg.RoleClaim, "roles"), cmp.Or(cfg.TenantClaim, "tenant")
	cfg.SessionTime = cmp.Or(cfg.SessionTime, 8*time.Hour)
	if len(cfg.Algorithms) == 0 {
		cfg.Algorithms = []string{"RS256", "ES256"}
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Timeout: 10 * time.Second}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cookies, err := newSeal()
	if err != nil {
		return nil, err
	}
	return &OIDC{cfg: cfg, cookies: cookies}, nil
}

func (c *OIDCConfig) validate() error {
	var errs []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	want(private(c.Issuer), "issuer %q: want an https URL", c.Issuer)
	want(c.Audience != "" || c.ClientID != "", "want audience, for access tokens, or client_id, for logins")
	want(c.Audience == "" || c.Audience != c.ClientID, "audience: want another name than client_id, or ID tokens would be access tokens")
	want(c.ClientID == "" || private(c.URL), "url %q: want the https URL by which browsers come", c.URL)
	want(len(c.Roles) > 0, "roles: want what the values of the claim %q mean, as VALUE=ROLE", c.RoleClaim)
	for value, role := range c.Roles {
		want(slices.Contains(Roles, role), "roles: %q is %q: want one of %v", value, role, Roles)
	}
	for value, tenant := range c.Tenants {
		want(tenant == AllTenants || event.ValidTenant(tenant), "tenants: %q is %q: want a tenant, or * for all", value, tenant)
	}
	for _, a := range c.Algorithms {
		want(slices.Contains(algorithms, a), "algorithms %q: want some of %v", a, algorithms)
	}
	return errors.Join(errs...)
}

// private tells whether what goes to a URL can be read on the way by nobody.
func private(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "127.0.0.1" || u.Hostname() == "localhost" || u.Hostname() == "::1"))
}

// askAgain is how long an issuer that did not answer is left alone.
const askAgain = 5 * time.Second

// discover asks the issuer once. While one request asks, others wait.
func (o *OIDC) discover() (*discovered, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known != nil {
		return o.known, nil
	}
	if o.failed == nil || o.cfg.Now().Sub(o.at) >= askAgain {
		o.known, o.failed = o.ask()
		o.at = o.cfg.Now()
	}
	if o.failed != nil {
		return nil, &unavailable{o.failed}
	}
	return o.known, nil
}

func (o *OIDC) ask() (*discovered, error) {
	p, err := oidc.NewProvider(oidc.ClientContext(context.Background(), o.cfg.HTTP), o.cfg.Issuer)
	if err != nil {
		return nil, err
	}
	var metadata struct {
		JWKSURI string `json:"jwks_uri"`
	}
	if err := p.Claims(&metadata); err != nil {
		return nil, err
	}
	if metadata.JWKSURI == "" {
		return nil, errors.New("the issuer's metadata has no jwks_uri")
	}
	keys := &issuerKeys{Set: &jwks.Set{URL: metadata.JWKSURI, HTTP: o.cfg.HTTP, Now: o.cfg.Now, Pause: askAgain}}
	for _, a := range o.cfg.Algorithms {
		keys.algorithms = append(keys.algorithms, jose.SignatureAlgorithm(a))
	}
	verifier := func(audience string) *oidc.IDTokenVerifier {
		return oidc.NewVerifier(o.cfg.Issuer, keys, &oidc.Config{ClientID: audience, SupportedSigningAlgs: o.cfg.Algorithms, Now: o.cfg.Now})
	}
	return &discovered{p.Endpoint(), verifier(o.cfg.Audience), verifier(o.cfg.ClientID)}, nil
}

// unavailable says that the issuer cannot be asked.
type unavailable struct{ err error }

func (u *unavailable) Error() string { return "ask the issuer: " + u.err.Error() }
func (u *unavailable) Unwrap() error { return u.err }

// As makes it what the caller is told: the reason is the operator's.
func (u *unavailable) As(target any) bool {
	p, ok := target.(**Problem)
	if ok {
		*p = later(http.StatusServiceUnavailable, "the OpenID issuer cannot be asked now", int(askAgain.Seconds()))
	}
	return ok
}

// authenticate knows a caller by an access token (RFC 9068): its signature, issuer,
// audience and time.
func (o *OIDC) authenticate(ctx context.Context, raw string) (*Caller, error) {
	if o.cfg.Audience == "" || len(raw) > maxToken || strings.Count(raw, ".") != 2 {
		return nil, unauthorized("the bearer is of no kind that is accepted here")
	}
	issuer, err := o.discover()
	if err != nil {
		return nil, err
	}
	t, err := o.verify(ctx, issuer.access, raw)
	if err != nil {
		return nil, err
	}
	c, err := o.caller(t, byToken)
	if err != nil {
		return nil, err
	}
	ref := event.TokenRef(raw)
	c.token = event.Token{Ref: ref, Iss: t.Issuer, Audience: t.Audience, IssuedAt: event.TimeOf(t.IssuedAt), ExpiresAt: event.TimeOf(t.Expiry), TokenType: "Bearer", Verified: event.TokenVerified}
	c.session = ref
	return c, nil
}

const maxToken = 16 << 10

// whyRefused tells little: the library's own words repeat parts of the token.
func whyRefused(err error) string {
	var expired *oidc.TokenExpiredError
	if errors.As(err, &expired) {
		return "it has expired"
	}
	return "want one that the configured issuer signed, for this API"
}

// caller reads what the claims say of a caller.
func (o *OIDC) caller(t *oidc.IDToken, by string) (*Caller, error) {
	claims := map[string]any{}
	if err := t.Claims(&claims); err != nil {
		return nil, unauthorized("the token's claims cannot be read")
	}
	if t.Subject == "" {
		return nil, unauthorized("the token has no subject")
	}
	c := &Caller{Party: event.Party{Iss: t.Issuer, Sub: t.Subject, Name: text(claims, "email", "preferred_username", "name")}, By: by}
	if verified, _ := claims["email_verified"].(bool); verified {
		c.owner = text(claims, "email")
	}
	if by == bySession {
		c.Party.Type = event.Human
	}
	for _, v := range values(claims, o.cfg.RoleClaim) {
		if role := o.cfg.Roles[v]; role != "" && !slices.Contains(c.Roles, role) {
			c.Roles = append(c.Roles, role)
		}
	}
	for _, v := range values(claims, o.cfg.TenantClaim) {
		tenant, known := o.cfg.Tenants[v]
		if len(o.cfg.Tenants) == 0 {
			tenant, known = v, event.ValidTenant(v)
		}
		if known && !slices.Contains(c.Tenants, tenant) {
			c.Tenants = append(c.Tenants, tenant)
		}
	}
	if slices.Contains(c.Tenants, AllTenants) {
		c.Tenants = []string{AllTenants}
	}
	if id := text(claims, "client_id", "azp"); id != "" {
		c.client = event.Client{ID: id, Verified: true}
	}
	return c, nil
}

// values of a claim: a text, or a list of them. A name with dots steps into
// objects, unless a claim has just this name.
func values(claims map[string]any, name string) []string {
	v, ok := claims[name]
	if !ok {
		outer, inner, dotted := strings.Cut(name, ".")
		if object, isObject := claims[outer].(map[string]any); dotted && isObject {
			return values(object, inner)
		}
		return nil
	}
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

// text is the first of the claims that is one.
func text(claims map[string]any, names ...string) string {
	for _, name := range names {
		if s, ok := claims[name].(string); ok && s != "" {
			return s
		}
	}
	return ""
}

// oauth is the client of logins.
func (o *OIDC) oauth() (*oauth2.Config, error) {
	issuer, err := o.discover()
	if err != nil {
		return nil, err
	}
	return &oauth2.Config{
		ClientID: o.cfg.ClientID, ClientSecret: o.cfg.ClientSecret, Endpoint: issuer.endpoint,
		RedirectURL: strings.TrimSuffix(o.cfg.URL, "/") + loginPrefix + "callback", Scopes: append([]string{oidc.ScopeOpenID}, o.cfg.Scopes...),
	}, nil
}
