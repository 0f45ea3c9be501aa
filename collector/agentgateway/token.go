package agentgateway

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// token fills the facts of the token presented. The gateway has claims of a token
// only after it verified it; a token that it refused shows nothing but the reason.
func (in *entry) token(e *event.Event) {
	t := &e.Token
	t.JTI, t.Iss = text(in.TokenID), text(in.Issuer)
	t.Audience = list(in.Audience)
	if t.Scope = fields(in.Scopes); t.Scope == nil {
		t.Scope = fields(in.ScopeList)
	}
	t.IssuedAt, t.NotBefore, t.ExpiresAt = numericDate(in.IssuedAt), numericDate(in.NotBefore), numericDate(in.ExpiresAt)
	if t.IssuedAt != 0 && t.ExpiresAt != 0 && t.ExpiresAt < t.IssuedAt {
		e.Warnings = append(e.Warnings, "jwt.exp is before jwt.iat: "+t.ExpiresAt.String()+"; left out")
		t.ExpiresAt = 0
	}
	in.ref(e)
	switch {
	case in.Reason == "JwtAuth" && strings.Contains(in.Error, "no bearer token found"):
		t.Verified = event.TokenAbsent
	case in.Reason == "JwtAuth":
		t.Verified = event.TokenFailed + "JwtAuth"
	case in.Subject != nil || t.JTI != "" || t.Iss != "" || t.ExpiresAt != 0:
		t.Verified = event.TokenVerified
	}
}

func (in *entry) ref(e *event.Event) {
	if in.TokenHash == "" {
		return
	}
	e.Token.Ref = event.HashRef(in.TokenHash)
	switch {
	case e.Token.Ref != "":
	case b64token.MatchString(in.TokenHash): // someone logs the token itself
		e.Token.Ref = event.TokenRef(in.TokenHash)
		e.Warnings = append(e.Warnings, "token.sha256 held no SHA-256, perhaps the token; replaced by its reference")
	default: // such as what redaction left of a token: many would have one reference
		e.Warnings = append(e.Warnings, "token.sha256 is no SHA-256 in hex or base64; left out")
	}
}

// b64token is what a bearer token may be (RFC 6750 section 2.1).
var b64token = regexp.MustCompile(`^[A-Za-z0-9._~+/-]{16,}=*$`)

const maxSeconds = 253402300800 // the year 10000

// numericDate reads seconds since 1970 (RFC 7519 section 2); zero for what is none.
func numericDate(v any) event.Time {
	seconds, ok := v.(float64)
	if s, isText := v.(string); isText {
		n, err := strconv.ParseFloat(s, 64)
		seconds, ok = n, err == nil
	}
	if !ok || !(seconds > 0 && seconds < maxSeconds) {
		return 0
	}
	whole, part := math.Modf(seconds)
	return event.TimeOf(time.Unix(int64(whole), int64(part*1e6)*1e3))
}

// text is a string or a number as text; empty for anything else.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

// list reads an array of texts, JSON text of one, or one text.
func list(v any) []string {
	if s, ok := v.(string); ok {
		var inner []any
		if !strings.HasPrefix(s, "[") || json.Unmarshal([]byte(s), &inner) != nil {
			if s == "" {
				return nil
			}
			return []string{s}
		}
		v = inner
	}
	values, _ := v.([]any)
	var out []string
	for _, x := range values {
		if s := text(x); s != "" {
			out = append(out, s)
		}
	}
	return out
}
