package sts

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// conclude reads the provider's answer into the event.
func (n *note) conclude(a *answer, d *directory) {
	var body struct {
		AccessToken     string `json:"access_token"`
		IssuedTokenType string `json:"issued_token_type"`
		ExpiresIn       int64  `json:"expires_in"`
		Error           string `json:"error"`
		Description     string `json:"error_description"`
	}
	err := json.Unmarshal(a.body.Bytes(), &body)
	if a.status != http.StatusOK || err != nil || body.AccessToken == "" {
		n.refused(body.Error, body.Description)
		return
	}
	n.event.Outcome = event.Success
	if n.event.Kind == event.TokenExchange {
		n.event.Exchange.IssuedTokenRef = event.TokenRef(body.AccessToken)
		n.event.Exchange.IssuedTokenType, n.event.Exchange.ExpiresIn = body.IssuedTokenType, body.ExpiresIn
		return
	}
	n.event.Token = tokenFacts(event.TokenRef(body.AccessToken), payload(body.AccessToken))
	n.event.Client.Verified = n.event.Client.ID != ""
}

// refused describes what was presented in vain, and tells a denial by rule from a request that could not be understood.
func (n *note) refused(code, description string) {
	e := n.event
	e.Exchange.GrantedScope, e.Exchange.StepUp = nil, false
	e.Outcome = event.Error
	switch code {
	case "invalid_target", "invalid_scope", "unauthorized_client", "access_denied", "invalid_client":
		e.Outcome = event.Denied
	}
	e.Attributes = map[string]string{"oauth.error": code, "oauth.error_description": description}
	if description == "" {
		delete(e.Attributes, "oauth.error_description")
	}
	if e.Kind == event.Credential {
		e.Type = "credential.refused"
	}
}

// payload reads the claims of a token that this server has just signed.
func payload(token string) map[string]any {
	claims := map[string]any{}
	if parts := strings.Split(token, "."); len(parts) == 3 {
		if b, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
			json.Unmarshal(b, &claims) // an empty map when it is no object
		}
	}
	return claims
}
