package otlp

import (
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// token fills the facts of the token presented from the claims that a gateway
// logs (jwt.*) and the hash of the token (token.sha256). agentgateway has claims
// only of a token that it verified.
func (r *record) token(e *event.Event) {
	t := &e.Token
	if t.Verified == "" && r.attrs.claims() {
		t.Verified = event.TokenVerified
	}
	r.tokenRef(e)
	r.attrs.fill(&t.JTI, "jwt.jti")
	r.attrs.fill(&t.Iss, "jwt.iss")
	if t.Audience == nil {
		t.Audience = asList(r.attrs.take("jwt.aud"), "")
	}
	if t.Scope == nil {
		t.Scope = asList(r.attrs.take("jwt.scope", "jwt.scp"), " ")
	}
	for _, c := range []struct {
		field *event.Time
		name  string
	}{{&t.IssuedAt, "jwt.iat"}, {&t.NotBefore, "jwt.nbf"}, {&t.ExpiresAt, "jwt.exp"}} {
		if seconds, ok := asInt(r.attrs.values[c.name]); ok && *c.field == 0 && seconds > 0 && seconds < maxSeconds {
			r.attrs.taken[c.name] = true
			*c.field = event.TimeOf(time.Unix(seconds, 0))
		}
	}
}

const maxSeconds = 253402300800 // the year 10000

func (r *record) tokenRef(e *event.Event) {
	given := r.attrs.text("token.sha256")
	if given == "" || e.Token.Ref != "" {
		return
	}
	if e.Token.Ref = event.HashRef(given); e.Token.Ref == "" {
		// Not repeated: it may be the token itself.
		e.Warnings = append(e.Warnings, "token.sha256 is no SHA-256 in hex or base64; left out")
	}
}
