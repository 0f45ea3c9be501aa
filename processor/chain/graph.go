package chain

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// node is a box of a drawing: a hop or a call.
type node struct {
	id     string
	lines  []string
	call   bool
	absent bool // something there was not seen
	wrong  bool
}

// edge leads from a hop to one below it, or to a call.
type edge struct {
	from, to, label string
	unsure          bool
}

// graph is what WriteDOT and WriteMermaid draw.
type graph struct {
	nodes []node
	edges []edge
}

func (c *Chain) graph(prefix string) *graph {
	g := &graph{}
	g.hop(c.Root, "", prefix)
	return g
}

func (g *graph) hop(h *Hop, above, prefix string) {
	id := fmt.Sprintf("%sn%d", prefix, len(g.nodes))
	n := node{id: id, lines: []string{hopLine(h), shortToken(h)}, absent: h.Missing != nil, wrong: len(h.Problems) > 0}
	if len(h.Scope) > 0 {
		n.lines = append(n.lines, plain("scope "+strings.Join(h.Scope, " ")+delta(h)))
	}
	if h.Missing != nil {
		n.lines = append(n.lines, "MISSING: "+missingLine(h.Missing, ""))
	}
	for _, p := range h.Problems {
		n.lines = append(n.lines, "! "+plain(p))
	}
	g.nodes = append(g.nodes, n)
	if above != "" {
		g.edges = append(g.edges, edge{above, id, edgeLabel(h.Join, h.Strength), h.Strength != Certain})
	}
	for i := range h.Calls {
		g.call(&h.Calls[i], id, prefix)
	}
	for _, child := range h.Children {
		g.hop(child, id, prefix)
	}
}

func (g *graph) call(c *Call, hop, prefix string) {
	id := fmt.Sprintf("%sn%d", prefix, len(g.nodes))
	n := node{id: id, call: true, lines: []string{plain(c.Tool + " at " + c.Server.ID), plain(string(c.Outcome) + ", " + clock(c.Time)), plain(decided(c.Decision))},
		absent: c.Missing != nil, wrong: len(c.Problems) > 0}
	for _, p := range c.Problems {
		n.lines = append(n.lines, "! "+plain(p))
	}
	g.nodes = append(g.nodes, n)
	g.edges = append(g.edges, edge{hop, id, edgeLabel(c.Join, c.Strength), c.Strength != Certain})
}

func edgeLabel(j Join, s Strength) string {
	if j == "" {
		return ""
	}
	return strings.ReplaceAll(string(j), "_", " ") + ", " + string(s)
}

func shortToken(h *Hop) string {
	if len(h.TokenRef) > 20 {
		return h.TokenRef[:20] + "..."
	}
	return tokenLine(h)
}

// WriteDOT writes the chains as one graph for Graphviz. What events say stands in
// quoted strings only.
func WriteDOT(w io.Writer, chains []*Chain) error {
	b := bufio.NewWriter(w)
	b.WriteString("digraph custody {\n  rankdir=TB;\n  node [shape=box, fontname=\"sans-serif\"];\n")
	for i, c := range chains {
		g := c.graph(fmt.Sprintf("c%d", i))
		for _, n := range g.nodes {
			fmt.Fprintf(b, "  %s [label=%s%s];\n", n.id, dotText(n.lines), n.dotStyle())
		}
		for _, e := range g.edges {
			style := ""
			if e.unsure {
				style = ", style=dashed"
			}
			fmt.Fprintf(b, "  %s -> %s [label=%s%s];\n", e.from, e.to, dotText([]string{e.label}), style)
		}
	}
	b.WriteString("}\n")
	return b.Flush()
}

func (n *node) dotStyle() string {
	style := ""
	if n.call {
		style += ", shape=ellipse"
	}
	if n.absent {
		style += ", style=dashed"
	}
	if n.wrong {
		style += ", color=red"
	}
	return style
}

// dotText is a double-quoted string; \l would end a line, so the backslashes of
// what is said are doubled, and &lt; would be read as in HTML.
func dotText(lines []string) string {
	quoted := make([]string, len(lines))
	for i, l := range lines {
		quoted[i] = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `&`, `&amp;`).Replace(l)
	}
	return `"` + strings.Join(quoted, `\n`) + `"`
}

// WriteMermaid writes the chains as one flowchart for Mermaid. What events say
// stands in quoted labels, with all but letters, digits and blanks as entities.
// Mermaid makes a line end of \n however it is written: a word joiner, which is not
// seen, keeps the two apart.
func WriteMermaid(w io.Writer, chains []*Chain) error {
	b := bufio.NewWriter(w)
	b.WriteString("flowchart TD\n")
	for i, c := range chains {
		g := c.graph(fmt.Sprintf("c%d", i))
		for _, n := range g.nodes {
			open, shut := "[", "]"
			if n.call {
				open, shut = "([", "])"
			}
			fmt.Fprintf(b, "  %s%s%s%s\n", n.id, open, mermaidText(n.lines), shut)
		}
		for _, e := range g.edges {
			arrow := "-->"
			if e.unsure {
				arrow = "-.->"
			}
			if e.label == "" {
				fmt.Fprintf(b, "  %s %s %s\n", e.from, arrow, e.to)
			} else {
				fmt.Fprintf(b, "  %s %s|%s| %s\n", e.from, arrow, mermaidText([]string{e.label}), e.to)
			}
		}
		for _, n := range g.nodes {
			if n.wrong {
				fmt.Fprintf(b, "  style %s stroke:#c00\n", n.id)
			} else if n.absent {
				fmt.Fprintf(b, "  style %s stroke-dasharray:4\n", n.id)
			}
		}
	}
	return b.Flush()
}

func mermaidText(lines []string) string {
	var sb strings.Builder
	sb.WriteByte('"')
	for i, l := range lines {
		if i > 0 {
			sb.WriteString("<br/>")
		}
		for _, r := range strings.ReplaceAll(l, `\n`, "\\\u2060n") {
			if r == ' ' || r == '.' || r == ',' || r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
				sb.WriteRune(r)
			} else {
				fmt.Fprintf(&sb, "#%d;", r)
			}
		}
	}
	sb.WriteByte('"')
	return sb.String()
}
