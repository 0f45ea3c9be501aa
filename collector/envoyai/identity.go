package envoyai

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// identity fills who called, from the claims that the operator logs. Envoy has
// claims only of a token that jwt_authn verified.
func (in *line) identity(e *event.Event) {
	e.Subject = event.Party{Iss: in.Iss.text(), Sub: in.Sub.text()}
	if strings.EqualFold(e.Subject.Sub, "anonymous") {
		e.Subject = event.Party{}
	}
	if e.Subject.Sub == "" {
		e.Warnings = append(e.Warnings, "no subject: identity lost at the source")
	}
	if id := first(in.ClientID.text(), in.Azp.text()); id != "" {
		e.Client = event.Client{ID: id, Verified: true}
	}
	in.chain(e)
	if len(e.Chain) > 0 {
		e.Actor = event.Party{Iss: e.Chain[0].Iss, Sub: e.Chain[0].Sub}
	} else if peer := in.Peer.text(); peer != "" { // the certificate that the caller showed
		e.Actor = event.Party{Sub: peer, Type: event.Workload}
	}
	in.token(e)
}

func (in *line) token(e *event.Event) {
	t := &e.Token
	t.JTI, t.Iss = in.JTI.text(), in.Iss.text()
	t.Audience, t.Scope = in.Audience.texts(), in.Scope.texts()
	t.IssuedAt, t.ExpiresAt = in.IssuedAt.time(), in.ExpiresAt.time()
	if t.ExpiresAt != 0 && t.ExpiresAt < t.IssuedAt {
		t.IssuedAt, t.ExpiresAt = 0, 0
		e.Warnings = append(e.Warnings, "jwt.exp is before jwt.iat: both left out")
	}
	if in.Sub.text() != "" || t.JTI != "" || t.Iss != "" {
		t.Verified = event.TokenVerified
	}
	if given := in.TokenSHA256.text(); given != "" {
		if t.Ref = event.HashRef(given); t.Ref == "" {
			// Not repeated: it may be the token itself.
			e.Warnings = append(e.Warnings, "token.sha256 is no SHA-256 in hex or base64; left out")
		}
	}
}

const maxSeconds = 253402300800 // the year 10000

// time reads a NumericDate of a claim.
func (v value) time() event.Time {
	seconds, ok := v.int()
	if !ok || seconds >= maxSeconds {
		return 0
	}
	return event.TimeOf(time.Unix(seconds, 0))
}

// unheader is the JSON of a list or object claim: as it is, or in the base64url
// that Envoy gives such a claim in a header.
func unheader(text string) []byte {
	if raw, err := unbase64(text); err == nil && json.Valid(raw) {
		return raw
	}
	return []byte(text)
}

func unbase64(text string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(text))
}

// chain reads the claim act, the current actor outermost (RFC 8693 section 4.1).
func (in *line) chain(e *event.Event) {
	raw := []byte(in.Act)
	if text := in.Act.text(); text != "" {
		raw = unheader(text)
	}
	if len(raw) == 0 || string(raw) == "null" || string(raw) == `""` || string(raw) == `"-"` {
		return
	}
	var claim any
	if json.Unmarshal(raw, &claim) != nil {
		e.ChainMalformed = "act is not JSON"
		e.Warnings = append(e.Warnings, "delegation cannot be read: jwt.act is not JSON")
		return
	}
	if len(raw) <= event.MaxChainRaw {
		e.ChainRaw = string(raw)
	} else {
		e.Warnings = append(e.Warnings, fmt.Sprintf("chain_raw left out: %d bytes, at most %d", len(raw), event.MaxChainRaw))
	}
	e.Chain, e.ChainMalformed, e.ChainTruncated = links(claim)
	if e.ChainMalformed != "" {
		e.Warnings = append(e.Warnings, "delegation is malformed: "+e.ChainMalformed)
	}
	if e.ChainTruncated {
		e.Warnings = append(e.Warnings, fmt.Sprintf("delegation is cut: at most %d actors are kept", event.MaxChain))
	}
}

// links walks down the nested act.
func links(claim any) (chain []event.Link, malformed string, truncated bool) {
	for claim != nil {
		act, ok := claim.(map[string]any)
		if !ok {
			return chain, fmt.Sprintf("act at depth %d is no object", len(chain)+1), false
		}
		link := event.Link{}
		link.Iss, _ = act["iss"].(string)
		link.Sub, _ = act["sub"].(string)
		if link.Iss == "" && link.Sub == "" {
			return chain, fmt.Sprintf("act at depth %d names nobody", len(chain)+1), false
		}
		if len(chain) == event.MaxChain {
			return chain, "", true
		}
		chain = append(chain, link)
		claim = act["act"]
	}
	return chain, "", false
}
