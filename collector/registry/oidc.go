package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/token"
)

// askAgain is how long an issuer that did not answer is left alone.
const askAgain = 5 * time.Second

// defaultAlgorithms are those of nearly every issuer.
var defaultAlgorithms = []string{"RS256", "ES256"}

// issuers verifies the JWTs of sources, with a verifier for each source.
type issuers struct {
	http *http.Client
	now  func() time.Time

	mu    sync.Mutex
	known map[string]*issuer // by issuer, audience and algorithms; guarded by mu
}

// issuer is one who was or is to be asked where its keys are.
type issuer struct {
	mu       sync.Mutex
	verifier *token.Verifier // guarded by mu; nil before discovery
	failed   error           // guarded by mu
	at       time.Time       // of failed; guarded by mu
}

// authenticate looks up who the token says it is from, and then whether that is so.
func (s *issuers) authenticate(ctx context.Context, raw string, x *index) (*collector.Source, error) {
	all := make([]jose.SignatureAlgorithm, len(algorithms))
	for i, a := range algorithms {
		all[i] = jose.SignatureAlgorithm(a)
	}
	parsed, err := jwt.ParseSigned(raw, all)
	var says jwt.Claims
	if err != nil || parsed.UnsafeClaimsWithoutVerification(&says) != nil {
		return nil, unauthorized("the bearer is neither a key nor a JWT")
	}
	src := x.byClaims[claims{says.Issuer, says.Subject}]
	if src == nil {
		return nil, unauthorized("a token of issuer %q and subject %q belongs to no configured source", clip(says.Issuer), clip(says.Subject))
	}
	v, err := s.verifier(ctx, src.OIDC)
	if err != nil {
		return nil, &collector.HTTPError{Status: http.StatusServiceUnavailable, Reason: fmt.Sprintf("the issuer %s cannot be asked for its keys now", src.OIDC.Issuer)}
	}
	p, err := v.Verify(ctx, raw)
	if err != nil {
		return nil, &collector.HTTPError{Status: http.StatusServiceUnavailable, Reason: fmt.Sprintf("the issuer %s cannot be asked for its keys now", src.OIDC.Issuer)}
	}
	if p.Refused() {
		return nil, unauthorized("the token is refused: %s", p.Token.Verified)
	}
	return src, nil
}

func (s *issuers) verifier(ctx context.Context, o *collector.OIDCIdentity) (*token.Verifier, error) {
	allowed := o.Algorithms
	if len(allowed) == 0 {
		allowed = defaultAlgorithms
	}
	key := strings.Join(append([]string{o.Issuer, o.Audience}, allowed...), "\n")
	s.mu.Lock()
	if s.known == nil {
		s.known = map[string]*issuer{}
	}
	i := s.known[key]
	if i == nil {
		i = &issuer{}
		s.known[key] = i
	}
	s.mu.Unlock()
	return i.get(ctx, s, o, allowed)
}

// get discovers the issuer's keys once. While one request asks, others wait.
func (i *issuer) get(ctx context.Context, s *issuers, o *collector.OIDCIdentity, allowed []string) (*token.Verifier, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.verifier != nil {
		return i.verifier, nil
	}
	if i.failed != nil && s.now().Sub(i.at) < askAgain {
		return nil, i.failed
	}
	i.verifier, i.failed = s.discover(context.WithoutCancel(ctx), o, allowed)
	i.at = s.now()
	return i.verifier, i.failed
}

// discover asks the issuer by OpenID Connect Discovery 1.0.
func (s *issuers) discover(ctx context.Context, o *collector.OIDCIdentity, allowed []string) (*token.Verifier, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, s.http), o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discover issuer: %w", err)
	}
	var metadata struct {
		JWKSURI string `json:"jwks_uri"`
	}
	if err := provider.Claims(&metadata); err != nil {
		return nil, fmt.Errorf("discover issuer: %w", err)
	}
	if metadata.JWKSURI == "" {
		return nil, errors.New("discover issuer: its metadata has no jwks_uri")
	}
	cfg := token.Config{Issuer: o.Issuer, JWKSURL: metadata.JWKSURI, Audience: o.Audience, HTTP: s.http, Now: s.now, Leeway: 30 * time.Second}
	for _, a := range allowed {
		cfg.Algorithms = append(cfg.Algorithms, jose.SignatureAlgorithm(a))
	}
	return token.NewVerifier(cfg)
}
