// Package policy writes a suggested set of privileges as a draft of a policy, in
// Rego and in Cedar.
//
// Both answer two questions about the one identity that the draft is of: may it
// call this tool at this server (allow; Action::"call"), and may a token for this
// server have these scopes (may_hold; Action::"hold")? They say nothing of others.
//
// Names come from events and are chosen by others. They stand in a draft as
// string literals only, never in a comment or a name of the language, so that
// none of them can say anything.
package policy

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/custody-audit/custody/evidence/query"
)

const regoHead = `# What one identity used in the window, and what could not be judged. Look through it before you load it.
#
# Input, as in AuthZEN: subject.id and subject.properties.iss say who, resource.id names the server, action.name the tool (of allow),
# context.scope is the list of scopes of the token (of may_hold).
package custody.suggested

`

const regoRules = `
default allow := false

allow if {
	ours
	input.action.name in granted[input.resource.id].tools
}

default may_hold := false

may_hold if {
	ours
	every scope in input.context.scope {
		scope in granted[input.resource.id].scopes
	}
}

ours if {
	input.subject.id == subject.id
	object.get(input.subject, ["properties", "iss"], "") == subject.iss
}
`

// Rego writes the suggestion as a module for OPA 1.
func Rego(s *query.Suggestion) string {
	var b strings.Builder
	b.WriteString(regoHead)
	fmt.Fprintf(&b, "subject := {\"id\": %s, \"iss\": %s}\n\ngranted := {", regoText(s.Identity), regoText(s.Iss))
	for i, a := range s.Servers {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, "\n\t%s: {\"tools\": %s, \"scopes\": %s}", regoText(a.Server), list(a.Tools, regoText), list(a.Scopes, regoText))
	}
	b.WriteString("\n}\n")
	b.WriteString(regoRules)
	return b.String()
}

// regoText writes a string literal of Rego, which is one of JSON.
func regoText(s string) string {
	b, _ := json.Marshal(s) // a string always has a form
	return string(b)
}

func list(names []string, text func(string) string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = text(n)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

const cedarHead = `// What one identity used in the window, and what could not be judged. Look through it before you load it.
//
// The principal is who, with its issuer as context.iss; the resource is the server. context.tool is the tool of a call,
// context.scope the set of scopes of a token.
`

// Cedar writes the suggestion as policies of Cedar.
func Cedar(s *query.Suggestion) string {
	var b strings.Builder
	b.WriteString(cedarHead)
	for _, a := range s.Servers {
		if len(a.Tools) > 0 {
			permit(&b, s, a.Server, "call", list(a.Tools, cedarText)+".contains(context.tool)")
		}
		if len(a.Scopes) > 0 {
			permit(&b, s, a.Server, "hold", list(a.Scopes, cedarText)+".containsAll(context.scope)")
		}
	}
	return b.String()
}

func permit(b *strings.Builder, s *query.Suggestion, server, action, when string) {
	fmt.Fprintf(b, "\npermit (\n  principal == Identity::%s,\n  action == Action::%q,\n  resource == Server::%s\n)\nwhen { context.iss == %s && %s };\n",
		cedarText(s.Identity), action, cedarText(server), cedarText(s.Iss), when)
}

// cedarText writes a string literal of Cedar: all but plain characters as \u{hex}.
func cedarText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		if r == '"' || r == '\\' || !unicode.IsPrint(r) {
			fmt.Fprintf(&b, `\u{%x}`, r)
		} else {
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
