package openbao

import (
	"encoding/base64"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/schemas/event"
)

// hmacPrefix starts every value that an audit device hashed; hex follows.
const hmacPrefix = "hmac-sha256:"

// refKey names the key of the references made here: the salt of the audit device.
const refKey = "openbao"

// maxMetadata bounds what is kept of a token's metadata.
const maxMetadata = 16

// ref makes a token reference of what the device logged for a secret. A device
// with log_raw writes the secret itself: that becomes the hash that every other
// source would give it, with a warning.
func ref(logged string, e *event.Event) string {
	switch {
	case logged == "":
		return ""
	case event.ValidRef(logged): // redaction came first
		return logged
	case strings.HasPrefix(logged, hmacPrefix):
		raw, err := hex.DecodeString(logged[len(hmacPrefix):])
		if err != nil || len(raw) != 32 {
			e.Warnings = append(e.Warnings, "the device's HMAC of a token is no HMAC-SHA256; left out")
			return ""
		}
		return "hmac:" + refKey + ":" + base64.RawURLEncoding.EncodeToString(raw)
	case strings.Contains(logged, redact.Redacted):
		e.Warnings = append(e.Warnings, "the audit device writes secrets in the clear (log_raw); a token was dropped")
		return ""
	}
	e.Warnings = append(e.Warnings, "the audit device writes secrets in the clear (log_raw); a token was replaced by its reference")
	return event.TokenRef(logged)
}

// who fills the subject from a token's entity; the display name is that of the
// auth method's alias, and all there is of a token without entity.
func (in *entry) who(a *auth, e *event.Event) {
	switch {
	case a.EntityID != "":
		e.Subject = event.Party{Sub: a.EntityID, Name: a.DisplayName}
	case a.DisplayName != "":
		e.Subject = event.Party{Sub: a.DisplayName}
		if a.DisplayName == "token" || a.DisplayName == "root" {
			e.Warnings = append(e.Warnings, "the token has no entity: its display name says how it was made, not who holds it")
		}
	}
	if e.Subject.Sub != "" && a.Metadata["service_account_name"] != "" {
		e.Subject.Type = event.Workload // the Kubernetes auth method
	}
	for i, name := range slices.Sorted(maps.Keys(a.Metadata)) {
		if i == maxMetadata {
			e.Warnings = append(e.Warnings, "metadata of the token is cut")
			break
		}
		e.Attributes["vault.metadata."+name] = a.Metadata[name]
	}
	if len(a.Policies) > 0 {
		policies := slices.Clone(a.Policies)
		slices.Sort(policies)
		e.Attributes["vault.policies"] = strings.Join(policies, ",")
	}
}

// presented fills the token that the caller showed. Its expiry is not known:
// token_ttl is that of its last issue or renewal, token_issue_time of the first.
func (in *entry) presented(e *event.Event) {
	a := in.Auth
	e.Token.Ref = ref(first(a.ClientToken, in.Request.ClientToken), e)
	e.Token.TokenType = tokenType(a.TokenType, e.Token.Ref)
	e.Token.IssuedAt = issued(a.IssueTime)
	e.Token.Static = isRoot(&a)
	if a.PolicyResults != nil { // the server found the token in its store
		e.Token.Verified = event.TokenVerified
	}
}

// tokenType is empty without a token: the field then says "default".
func tokenType(logged, ref string) string {
	if ref == "" || logged == "" || logged == "default" {
		return ""
	}
	return "vault:" + logged
}

// isRoot says that a token is a root token without an end, which nobody issues per task.
func isRoot(a *auth) bool { return slices.Contains(a.Policies, "root") && a.TTL == 0 }

func issued(text string) event.Time {
	at, err := event.ParseTime(text)
	if err != nil {
		return 0
	}
	return at
}

// holder replaces what common said of the caller by what the entry says of the
// token that was issued; the caller becomes the actor when it is somebody else.
func (in *entry) holder(a *auth, e *event.Event) {
	caller, shown := e.Subject, e.Token
	for name := range e.Attributes {
		if name == "vault.policies" || strings.HasPrefix(name, "vault.metadata.") {
			delete(e.Attributes, name)
		}
	}
	e.Subject, e.Warnings, e.Token = event.Party{}, nil, event.Token{}
	in.who(a, e)
	e.Token.Ref = ref(a.ClientToken, e)
	e.Token.TokenType = tokenType(a.TokenType, e.Token.Ref)
	e.Token.Static = isRoot(a)
	e.Correlation.SessionID = a.Accessor
	if caller.Sub != "" && (caller.Sub != e.Subject.Sub || caller.Iss != e.Subject.Iss) {
		e.Actor = caller
	}
	if shown.Ref != "" && shown.Ref != e.Token.Ref {
		e.Attributes["vault.parent_token_ref"] = shown.Ref
	}
	if e.Subject.Sub == "" {
		e.Warnings = append(e.Warnings, "no subject: the token has neither entity nor display name")
	}
}
