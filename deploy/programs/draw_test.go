//go:build programs

package programs

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// hostileNames are names that mean something to a program which draws.
var hostileNames = []string{
	`quote " and \" and \`, `a"]; x -> y [label="owned`, `<script>alert(1)</script>`, `&lt;b&gt; & &#38;`, `\N \G \l \r \n`,
	"end\nclick n0 call alert()", `]) --> evil["x`, `%% comment`, "`markdown` **bold** <br/>", "a#35;b", "\u202eright to left", strings.Repeat("long ", 400), "graph subgraph end", "日本語 ünï",
}

// drawn is what a program made of a text.
type drawn struct {
	Nodes []string `json:"nodes"` // what is written in each
	Edges int      `json:"edges"`
}

// TestDrawn gives chains to the programs that draw them, Graphviz and Mermaid: each
// has as many boxes and arrows as the chains have, and says what the events say, also
// where a name was chosen to mean something to the program.
func TestDrawn(t *testing.T) {
	i := prepared(t)
	events := story.Events()
	for n, name := range hostileNames {
		e := *story.Named("deploy-call")
		e.ID, e.Tool.Name = event.NewID(e.Tenant, e.Source.ID, name, e.Time.Add(0)), name
		e.Token.Ref = event.NewID(e.Tenant, "token", name, e.Time)
		e.Actor.Sub, e.Correlation.JSONRPCID = name, string(rune('a'+n))
		events = append(events, &e)
	}
	chains := chain.Build(events)
	nodes, edges := 0, 0
	for _, c := range chains {
		h, calls := hops(c.Root)
		nodes, edges = nodes+h+calls, edges+h-1+calls
	}
	for program, write := range map[string]func(*bytes.Buffer) error{
		"graphviz": func(b *bytes.Buffer) error { return chain.WriteDOT(b, chains) },
		"mermaid":  func(b *bytes.Buffer) error { return chain.WriteMermaid(b, chains) },
	} {
		t.Run(program, func(t *testing.T) {
			var text bytes.Buffer
			if err := write(&text); err != nil {
				t.Fatal(err)
			}
			got := draw(t, i, program, text.Bytes())
			if len(got.Nodes) != nodes || got.Edges != edges {
				t.Errorf("%d boxes and %d arrows were drawn, want %d and %d", len(got.Nodes), got.Edges, nodes, edges)
			}
			for _, name := range hostileNames {
				want := words(strings.NewReplacer("\n", `\u000a`, "\u202e", `\u202e`).Replace(name))
				if !slices.ContainsFunc(got.Nodes, func(said string) bool { return strings.Contains(words(said), want) }) {
					t.Errorf("no box says %q", name)
				}
			}
			t.Logf("%d boxes, %d arrows", len(got.Nodes), got.Edges)
		})
	}
}

// words is a text in which only what is not seen may differ: programs wrap lines.
func words(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), ""), "\u2060", "")
}

func hops(h *chain.Hop) (hopCount, calls int) {
	hopCount, calls = 1, len(h.Calls)
	for _, c := range h.Children {
		a, b := hops(c)
		hopCount, calls = hopCount+a, calls+b
	}
	return hopCount, calls
}

func draw(t *testing.T, i *installation, program string, text []byte) (d drawn) {
	t.Helper()
	// A module finds its packages beside it only.
	script := i.file("draw.mjs")
	source, err := os.ReadFile("testdata/draw.mjs")
	if err == nil {
		err = errors.Join(os.WriteFile(script, source, 0o600), os.WriteFile(i.file(program), text, 0o600))
	}
	if err == nil {
		err = os.Symlink(i.module(""), i.file("node_modules"))
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	cmd := i.node(script, program, i.file(program))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s does not draw it: %v: %s", program, err, stderr.Bytes())
	}
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return d
}
