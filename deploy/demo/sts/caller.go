package sts

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/custody-audit/custody/schemas/event"
)

const (
	grantExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	grantBearer     = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
)

// Token is a bearer token in the hands of its holder. It prints as its reference.
type Token struct {
	// Raw is the token itself, for the Authorization header and nothing else.
	Raw string
	// Scope granted.
	Scope []string
	// Expires is when the answer said it ends.
	Expires time.Time
}

// Ref is the token's reference.
func (t Token) Ref() string { return event.TokenRef(t.Raw) }

// String keeps the token out of logs and errors.
func (t Token) String() string { return t.Ref() }

// Refusal is an OAuth error answer.
type Refusal struct {
	Status      int
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

func (r *Refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.Status, r.Code, r.Description) }

// Caller asks a token endpoint for tokens as one client.
type Caller struct {
	// TokenURL of the authorization server.
	TokenURL string
	// ID and Secret of the client; empty for a human who logs in.
	ID, Secret string

	HTTP *http.Client
}

// Own returns the client's own token, which serves it as actor token.
func (c *Caller) Own(ctx context.Context) (Token, error) {
	return c.ask(ctx, url.Values{"grant_type": {"client_credentials"}})
}

// Exchange trades subject for a token at audience in which actor acts.
func (c *Caller) Exchange(ctx context.Context, subject, actor Token, audience string, scope []string) (Token, error) {
	return c.ask(ctx, url.Values{
		"grant_type":    {grantExchange},
		"subject_token": {subject.Raw}, "subject_token_type": {typeAccessToken},
		"actor_token": {actor.Raw}, "actor_token_type": {typeAccessToken},
		"requested_token_type": {typeAccessToken},
		"audience":             {audience}, "resource": {audience}, "scope": {strings.Join(scope, " ")},
	})
}

// Login trades a signed assertion for the human's token.
func (c *Caller) Login(ctx context.Context, assertion string, scope []string) (Token, error) {
	return c.ask(ctx, url.Values{"grant_type": {grantBearer}, "assertion": {assertion}, "scope": {strings.Join(scope, " ")}})
}

func (c *Caller) ask(ctx context.Context, form url.Values) (Token, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return Token{}, fmt.Errorf("token request: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.ID != "" {
		req.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	}
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(req.Header))
	res, err := c.HTTP.Do(req)
	if err != nil {
		return Token{}, fmt.Errorf("token request: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxForm))
	if err != nil {
		return Token{}, fmt.Errorf("read token answer: %w", err)
	}
	return parseAnswer(res.StatusCode, body)
}

func parseAnswer(status int, body []byte) (Token, error) {
	if status != http.StatusOK {
		r := &Refusal{Status: status}
		if json.Unmarshal(body, r) != nil {
			r.Code = http.StatusText(status)
		}
		return Token{}, r
	}
	var ok struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
		Scope       string `json:"scope"`
	}
	if err := json.Unmarshal(body, &ok); err != nil || ok.AccessToken == "" {
		return Token{}, fmt.Errorf("token answer is not understood: %w", err)
	}
	return Token{ok.AccessToken, strings.Fields(ok.Scope), time.Now().Add(time.Duration(ok.ExpiresIn) * time.Second)}, nil
}
