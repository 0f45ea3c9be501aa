package ssf

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/custody-audit/custody/collector"
)

const (
	// maxSET bounds a SET, in bytes. Those of the specifications are about 1 KiB.
	maxSET = 64 << 10
	// leeway is how far iat may lie ahead of the receiver's clock.
	leeway = 2 * time.Minute
	maxJTI = 512
)

// verifier checks the SETs of one transmitter.
type verifier struct {
	Transmitter
	keys   keySet
	replay replay
	now    func() time.Time
}

func newVerifier(t Transmitter, cfg *Config) *verifier {
	return &verifier{Transmitter: t, now: cfg.Now, keys: keySet{url: t.JWKSURL, http: noRedirect(cfg.HTTP), now: cfg.Now}}
}

// verified is a SET that its transmitter signed for us.
type verified struct {
	payload []byte
	id      string
	hash    [sha256.Size]byte // of payload
}

// verify refuses with a setError what will not be good the next time either.
// Nothing of the payload is believed before the signature is.
func (v *verifier) verify(ctx context.Context, body []byte) (*verified, error) {
	raw := strings.TrimSpace(string(body))
	if len(raw) > maxSET {
		return nil, &setError{http.StatusRequestEntityTooLarge, invalidRequest, fmt.Sprintf("the SET is larger than %d KiB", maxSET>>10)}
	}
	signed, err := jose.ParseSignedCompact(raw, v.Algorithms)
	if err != nil {
		return nil, malformed(fmt.Sprintf("the body is no JWS in compact form, signed with one of %v", v.Algorithms))
	}
	header := signed.Signatures[0].Protected
	if err := typed(header); err != nil {
		return nil, err
	}
	key, err := v.key(ctx, header)
	if err != nil {
		return nil, err
	}
	payload, err := signed.Verify(key)
	if err != nil {
		return nil, &setError{http.StatusBadRequest, invalidKey, "the signature does not hold"}
	}
	id, err := v.check(payload)
	if err != nil {
		return nil, err
	}
	return &verified{payload, id, sha256.Sum256(payload)}, nil
}

// typed wants explicit typing (RFC 8417 section 2.3), which SSF requires: an ID
// token or access token of the same issuer is no SET.
func typed(header jose.Header) error {
	name, _ := header.ExtraHeaders[jose.HeaderType].(string)
	if strings.TrimPrefix(strings.ToLower(name), "application/") != "secevent+jwt" {
		return malformed(`want the header "typ" to be secevent+jwt`)
	}
	return nil
}

// key is the transmitter's key of the header's id. Keys and addresses of keys
// within the header are not looked at.
func (v *verifier) key(ctx context.Context, header jose.Header) (any, error) {
	known, err := v.keys.get(ctx, header.KeyID)
	if err != nil {
		return nil, &collector.HTTPError{Status: http.StatusServiceUnavailable, Reason: "the transmitter cannot be asked for its keys now"}
	}
	keys := known.Key(header.KeyID)
	if header.KeyID == "" && len(known.Keys) == 1 {
		keys = known.Keys
	}
	for _, k := range keys {
		if k.Valid() && k.IsPublic() && (k.Use == "" || k.Use == "sig") && (k.Algorithm == "" || k.Algorithm == header.Algorithm) {
			return k.Key, nil
		}
	}
	return nil, &setError{http.StatusBadRequest, invalidKey, "the transmitter has no key with this id for this algorithm"}
}

// audience is one name or a list of them.
type audience []string

func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// check reads the claims that are about the SET itself, and returns its id.
func (v *verifier) check(payload []byte) (string, error) {
	var c struct {
		Issuer   string                     `json:"iss"`
		Audience audience                   `json:"aud"`
		IssuedAt *float64                   `json:"iat"`
		ID       string                     `json:"jti"`
		Expiry   json.RawMessage            `json:"exp"`
		Events   map[string]json.RawMessage `json:"events"`
	}
	if json.Unmarshal(payload, &c) != nil {
		return "", malformed("the payload is no JSON object with the claims of a SET")
	}
	switch {
	case c.Issuer != v.Issuer:
		return "", &setError{http.StatusBadRequest, invalidIssuer, "iss is not the transmitter of this source"}
	case !slices.Contains(c.Audience, v.Audience):
		return "", &setError{http.StatusBadRequest, invalidAudience, "aud does not name this receiver"}
	case c.Expiry != nil:
		return "", malformed("exp: a SET has none (SSF section 4)")
	case c.ID == "" || len(c.ID) > maxJTI:
		return "", malformed(fmt.Sprintf("jti: want 1 to %d bytes", maxJTI))
	case c.IssuedAt == nil || *c.IssuedAt <= 0 || *c.IssuedAt > maxSeconds:
		return "", malformed("iat: want seconds since 1970")
	case len(c.Events) == 0:
		return "", malformed("events: want an object with at least one event")
	}
	issued := seconds(*c.IssuedAt)
	if ahead := issued.Sub(v.now()); ahead > leeway {
		return "", malformed("iat: lies ahead of the receiver's clock")
	} else if -ahead > v.MaxAge {
		return "", malformed(fmt.Sprintf("iat: is more than %s ago", v.MaxAge))
	}
	return c.ID, nil
}
