package mcpconfig

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/schemas/event"
)

// event states one finding.
func (p parser) event(in *envelope, at event.Time, f placed) *event.Event {
	e := &event.Event{
		Kind: event.Credential, Type: event.TypeCredentialStatic, Time: at, Outcome: event.Success,
		Server: event.Server{ID: f.Server, URI: f.URI},
		Client: event.Client{Name: in.client()},
		Token:  event.Token{TokenType: f.Kind, Static: true, Verified: event.TokenUnverified},
		Attributes: map[string]string{
			"mcp.config.place": f.Within + "." + f.Server + "." + f.Place, "mcp.config.member": f.Member,
		},
	}
	if in.User != "" {
		e.Subject.Sub = in.User
	}
	for name, text := range map[string]string{"mcp.config.path": in.Path, "host.name": in.Host} {
		if text != "" {
			e.Attributes[name] = text
		}
	}
	place := []string{in.Host, in.Path, f.Within, f.Server, f.Place}
	if in.Path != "" {
		e.Source.EventID = hex.EncodeToString(digest(append(place, at.String())))
	}
	p.reference(e, f.Secret)
	return e
}

// reference puts the secret's reference into the event, and nothing else of it.
func (p parser) reference(e *event.Event, secret string) {
	ref, isJWT := p.refOf(secret)
	switch {
	case isJWT:
		e.Token.TokenType = jwt
	case ref == "":
		e.Warnings = append(e.Warnings, "the secret was dropped: no redaction key is configured")
	}
	e.Token.Ref = ref
}

const jwt = "jwt"

// refOf is the secret's reference; empty where it would take a key that is not there.
func (p parser) refOf(secret string) (ref string, isJWT bool) {
	known := refForm.FindString(secret)
	switch {
	case known != "": // redaction came first
		return known, false
	case jwtForm.MatchString(secret):
		return event.TokenRef(secret), true
	case len(p.key) > 0 && !strings.Contains(secret, redact.Redacted):
		return event.SecretRef(p.keyID, p.key, secret), false
	}
	return "", false
}

var (
	refForm = regexp.MustCompile(`(?:sha256|hmac:[A-Za-z0-9._-]{1,64}):[A-Za-z0-9_-]{43}`)
	jwtForm = regexp.MustCompile(`^ey[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*$`)
)

// digest names a place. It is keyed with this package's name only to be no plain
// hash of anything else.
func digest(parts []string) []byte {
	m := hmac.New(sha256.New, []byte("custody/mcpconfig/place"))
	for _, part := range parts {
		m.Write([]byte(part))
		m.Write([]byte{0})
	}
	return m.Sum(nil)
}

// client is the MCP client whose file it is, by the name or folder of the file.
func (in *envelope) client() string {
	if in.Client != "" {
		return in.Client
	}
	path := strings.ToLower(strings.ReplaceAll(in.Path, `\`, "/"))
	for _, known := range []struct{ part, name string }{
		{"claude_desktop_config.json", "Claude Desktop"}, {".claude.json", "Claude Code"}, {".claude/", "Claude Code"},
		{".cursor/", "Cursor"}, {".vscode/", "VS Code"}, {"/code/user/", "VS Code"}, {"windsurf/", "Windsurf"}, {"zed/", "Zed"},
	} {
		if strings.Contains(path, known.part) {
			return known.name
		}
	}
	return ""
}
