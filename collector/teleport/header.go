package teleport

import (
	"maps"
	"slices"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// headers reads the HTTP headers that identify or join; no other is kept.
// Teleport redacts Authorization and X-API-Key, but not in
// mcp.session.invalid_http_request.
func (in *entry) headers(e *event.Event) {
	for _, name := range slices.Sorted(maps.Keys(in.Headers)) {
		if len(in.Headers[name]) == 0 {
			continue
		}
		value := in.Headers[name][0]
		switch strings.ToLower(name) {
		case "user-agent":
			e.UserAgent = value
		case "x-request-id":
			e.Correlation.RequestID = value
		case "mcp-session-id":
			set(e.Attributes, "mcp.session.id", value)
		case "mcp-protocol-version":
			set(e.Attributes, "mcp.protocol.version", value)
		case "traceparent":
			trace(e, value) // unless _meta had one, which is nearer to the caller
		case "authorization":
			token(e, value)
		}
	}
}

// minToken is the length from which a bearer token is taken to be of high
// entropy, so that its hash is no oracle. In bytes.
const minToken = 20

// token makes a reference of the token that the client sent for the MCP server.
func token(e *event.Event, header string) {
	scheme, credential, _ := strings.Cut(header, " ")
	switch {
	case strings.HasPrefix(header, "<") || strings.HasPrefix(header, "[") || strings.HasPrefix(credential, "["):
		return // redacted
	case event.ValidRef(credential):
		e.Token.Ref = credential // the redaction before us made it
	case strings.EqualFold(scheme, "Bearer") && len(credential) >= minToken:
		e.Token.Ref = event.TokenRef(credential)
		e.Warnings = append(e.Warnings, "headers.Authorization held a token; replaced by its reference")
	default:
		e.Warnings = append(e.Warnings, "headers.Authorization held a credential that is no bearer token; left out")
		return
	}
	e.Token.TokenType, e.Token.Verified = "Bearer", event.TokenUnverified
}
