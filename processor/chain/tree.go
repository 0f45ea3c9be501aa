package chain

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// WriteTree writes the chain for a terminal: one line for each hop and call, and
// below it what is wrong with it.
func (c *Chain) WriteTree(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "tenant %s, %s, %s\n", c.Tenant, count(c.Depth, "hop"), missing(c.Missing))
	writeHop(b, c.Root, "", "")
	return b.Flush()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func missing(n int) string {
	if n == 0 {
		return "nothing missing"
	}
	return fmt.Sprintf("%d missing", n)
}

func writeHop(w io.Writer, h *Hop, first, rest string) {
	fmt.Fprintf(w, "%s%s\n", first, hopLine(h))
	note := rest + "│    "
	if len(h.Calls)+len(h.Children) == 0 {
		note = rest + "     "
	}
	fmt.Fprintf(w, "%s%s\n", note, tokenLine(h))
	if h.Missing != "" {
		fmt.Fprintf(w, "%sMISSING: %s%s\n", note, h.Missing, joined(h.Join))
	}
	for _, p := range h.Problems {
		fmt.Fprintf(w, "%s! %s\n", note, p)
	}
	for i := range h.Calls {
		branch, below := branches(i == len(h.Calls)-1 && len(h.Children) == 0)
		writeCall(w, &h.Calls[i], rest+branch, rest+below)
	}
	for i, child := range h.Children {
		branch, below := branches(i == len(h.Children)-1)
		writeHop(w, child, rest+branch, rest+below)
	}
}

func branches(last bool) (branch, below string) {
	if last {
		return "└─ ", "   "
	}
	return "├─ ", "│  "
}

func joined(j Join) string {
	if j == "" || j == ByClaim || j == ByLineage {
		return ""
	}
	return "; placed here by its act claim and the same " + string(j)
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
	return s
}

func tokenLine(h *Hop) string {
	if h.TokenRef == "" {
		return "token not seen"
	}
	parts := []string{"token " + h.TokenRef}
	if h.Static {
		parts = append(parts, "STATIC")
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
	if h.Verified != "" {
		parts = append(parts, string(h.Verified))
	}
	if h.Source != "" && h.ExchangeEvent != "" {
		parts = append(parts, "exchange seen by "+h.Source)
	}
	return strings.Join(parts, ", ")
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

func writeCall(w io.Writer, c *Call, first, rest string) {
	server := c.Server.ID
	if server == "" {
		server = c.Server.Name
	}
	fmt.Fprintf(w, "%scall %s at %s, %s, %s, %s\n", first, c.Tool, server, c.Outcome, c.Time.Go().Format(time.RFC3339), decided(c.Decision))
	for _, p := range c.Problems {
		fmt.Fprintf(w, "%s! %s\n", rest, p)
	}
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
