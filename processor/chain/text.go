package chain

import (
	"fmt"
	"strings"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// plain makes one line of what an event says: who chose a name cannot end a line,
// move a cursor or turn text around.
func plain(s string) string { return lineEnds.Replace(event.Visible(s, "")) }

// lineEnds are more of those than terminals and browsers obey.
var lineEnds = strings.NewReplacer("\u2028", `\u2028`, "\u2029", `\u2029`)

// name is "planner (agent)".
func name(p event.Party) string {
	s := p.Name
	if s == "" {
		s = p.Sub
	}
	if s == "" {
		return "nobody known"
	}
	if p.Type != "" {
		s += " (" + string(p.Type) + ")"
	}
	return plain(s)
}

// hopLine is "planner (agent) for alice (human)".
func hopLine(h *Hop) string {
	line := name(h.Holder())
	if h.Actor != (event.Party{}) {
		line += " for " + name(h.Subject)
	}
	if h.StepUp {
		line += " [step-up]"
	}
	if h.Reused > 0 {
		line += fmt.Sprintf(" [reused from a cache %s]", count(h.Reused, "time"))
	}
	return line
}

func tokenLine(h *Hop) string {
	if h.TokenRef == "" {
		if h.TokenID != "" {
			return plain("token with jti " + h.TokenID)
		}
		return "token not seen"
	}
	parts := []string{"token " + h.TokenRef}
	if h.Static {
		parts = append(parts, "STATIC")
	}
	if h.Issuer != "" {
		parts = append(parts, "of "+h.Issuer)
	}
	if len(h.Audience) > 0 {
		parts = append(parts, "for "+strings.Join(h.Audience, " "))
	}
	if len(h.Scope) > 0 {
		parts = append(parts, "scope "+strings.Join(h.Scope, " ")+delta(h))
	}
	if h.LifetimeSeconds > 0 {
		parts = append(parts, "lives "+h.Lifetime().String())
	}
	if h.RevokedAt != 0 {
		parts = append(parts, "revoked "+clock(h.RevokedAt))
	}
	if h.Verified != "" {
		parts = append(parts, string(h.Verified))
	}
	if h.Source != "" && h.ExchangeEvent != "" {
		parts = append(parts, "exchange seen by "+h.Source)
	}
	return plain(strings.Join(parts, ", "))
}

func delta(h *Hop) string {
	var d []string
	for _, s := range h.ScopeAdded {
		d = append(d, "+"+s)
	}
	for _, s := range h.ScopeRemoved {
		d = append(d, "-"+s)
	}
	if len(d) == 0 {
		return ""
	}
	return " (" + strings.Join(d, " ") + ")"
}

// missingLine says what is missing, why, and by what the hop is where it is.
func missingLine(m *Missing, by Join) string {
	line := m.What
	if words := m.Reason.Words(); words != "" {
		line += " (" + words
		if m.Detail != "" {
			line += ": " + m.Detail
		}
		line += ")"
	}
	switch by {
	case ByTransaction, ByTask, ByTrace:
		line += "; placed here by its act claim and the same " + string(by)
	case ByValidity:
		line += "; placed here because it was valid then"
	}
	return plain(line)
}

func callLine(c *Call) string {
	server := c.Server.ID
	if server == "" {
		server = c.Server.Name
	}
	line := fmt.Sprintf("call %s at %s, %s, %s, %s", c.Tool, server, c.Outcome, clock(c.Time), decided(c.Decision))
	if c.Join != ByToken {
		by := string(c.Join)
		if by == "" {
			by = "its names only"
		}
		line += ", joined by " + by
	}
	return plain(line)
}

func decided(d *Decision) string {
	if d == nil {
		return "no decision"
	}
	s := string(d.Effect)
	if d.Engine != "" {
		s += " by " + d.Engine
	}
	if d.Policy != "" {
		s += " " + d.Policy
	}
	if d.Version != "" {
		s += "@" + d.Version
	}
	if d.Reason != "" {
		s += " (" + d.Reason + ")"
	}
	return s + " [" + string(d.Join) + "]"
}

func clock(t event.Time) string { return t.Go().Format(time.RFC3339) }

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
