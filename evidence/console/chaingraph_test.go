package console

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// apart checks that no box lies over another, all are inside, and each leads to
// evidence that is there.
func apart(t *testing.T, g *graph) {
	t.Helper()
	for i, a := range g.Nodes {
		if !slices.ContainsFunc(g.Nodes, func(n *node) bool { return n.ID == a.Section && n.Section == n.ID }) {
			t.Errorf("%s leads to the evidence of %q, which is not shown", a.ID, a.Section)
		}
		if a.X < 0 || a.Y < 0 || a.X+a.W > g.Width || a.Y+a.H > g.Height {
			t.Errorf("%s at %d,%d is not inside of %d x %d", a.ID, a.X, a.Y, g.Width, g.Height)
		}
		for _, b := range g.Nodes[i+1:] {
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("%s (%s) lies over %s (%s)", a.ID, a.Title, b.ID, b.Title)
			}
		}
	}
}

func svg(t *testing.T, g *graph, style template.CSS) string {
	t.Helper()
	var b bytes.Buffer
	tmpl := template.Must(template.New("").Funcs(template.FuncMap{"label": label, "row": row}).ParseFiles("page/graph.html"))
	if err := tmpl.ExecuteTemplate(&b, "graph", drawing{g, style}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// wellFormed returns the names of the elements.
func wellFormed(t *testing.T, text string) map[string]int {
	t.Helper()
	names := map[string]int{}
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatalf("%v in %.2000s", err, text)
		}
		if e, ok := token.(xml.StartElement); ok {
			names[e.Name.Local]++
			for _, a := range e.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" && !strings.HasPrefix(a.Value, "#") || a.Name.Local == "style" {
					t.Errorf("attribute %s=%q of %s", a.Name.Local, a.Value, e.Name.Local)
				}
			}
		}
	}
}

// Every token and call of the story has its box, each decision too, and what was
// not seen is dashed with its reason.
func TestDrawStory(t *testing.T) {
	g := draw(chain.Build(story.Events()), "", []string{openAll})
	apart(t, g)
	count := map[string]int{}
	for _, n := range g.Nodes {
		count[n.Kind]++
	}
	if count["hop"] != g.Hops || count["call"] != g.Calls || count["decision"] != g.Calls || count["fold"] != 0 || g.Folded != 0 {
		t.Errorf("%v of %d tokens and %d calls, %d folded", count, g.Hops, g.Calls, g.Folded)
	}
	if len(g.Lines) != len(g.Nodes)-len(chain.Build(story.Events())) {
		t.Errorf("%d lines between %d boxes of %d trees", len(g.Lines), len(g.Nodes), len(chain.Build(story.Events())))
	}
	if !slices.IsSorted(g.Moments) || len(g.Moments) == 0 {
		t.Errorf("moments %v", g.Moments)
	}
	names := wellFormed(t, svg(t, g, "text{fill:#000}"))
	if names["svg"] != len(g.Nodes)+1 || names["a"] != 0 {
		t.Errorf("elements %v", names)
	}
}

// A withheld exchange is a dashed box with what is missing, and the time slider
// shows what was there at a time.
func TestDrawMissing(t *testing.T) {
	var events []*event.Event
	for _, e := range story.Events() {
		if e.Tenant == "acme" && e.Source.EventID != "exchange-deploy" {
			events = append(events, e)
		}
	}
	call := story.Named("deploy-call")
	g := draw(chain.Build(events), call.ID, nil)
	i := slices.IndexFunc(g.Nodes, func(n *node) bool { return n.Hop != nil && n.Hop.TokenRef == call.Token.Ref })
	j := slices.IndexFunc(g.Nodes, func(n *node) bool { return n.Kind == "call" && n.Call.Event == call.ID })
	if i < 0 || j < 0 {
		t.Fatal("no box of the token or of its call")
	}
	if n := g.Nodes[i]; n.Missing == nil || !strings.Contains(n.Class(), "missing") {
		t.Errorf("the box says %q", n.Class())
	}
	if !g.Nodes[j].Focus {
		t.Error("the call that the question began with is not marked")
	}
	g.at(call.Time - 1)
	if !strings.Contains(g.Nodes[j].Class(), "later") {
		t.Errorf("before the call: %q", g.Nodes[j].Class())
	}
	g.at(call.Time)
	if strings.Contains(g.Nodes[j].Class(), "later") {
		t.Errorf("at the call: %q", g.Nodes[j].Class())
	}
}

// fanned is a chain of a token with many calls and many tokens below it.
func fanned(calls, tokens int) []*chain.Chain {
	alice := event.Party{Sub: "alice", Type: event.Human}
	root := &chain.Hop{TokenRef: "sha256:root", Subject: alice, IssuedAt: 1}
	for i := range calls {
		root.Calls = append(root.Calls, chain.Call{Event: fmt.Sprint("call-", i), Time: event.Time(2 + i), Tool: "read", Server: event.Server{ID: "files"}, Outcome: event.Success, Join: chain.ByToken, Strength: chain.Certain})
	}
	for i := range tokens {
		root.Children = append(root.Children, &chain.Hop{TokenRef: fmt.Sprint("sha256:", i), Subject: alice, Actor: event.Party{Sub: fmt.Sprint("agent-", i), Type: event.Agent}, Join: chain.ByLineage, Strength: chain.Certain, IssuedAt: 5,
			Calls: []chain.Call{{Event: fmt.Sprint("below-", i), Time: 9, Tool: "write", Server: event.Server{ID: "files"}, Outcome: event.Denied, Join: chain.ByToken, Strength: chain.Certain}}})
	}
	return []*chain.Chain{{Root: root}}
}

// Many alike calls are one box that says how many, many tokens are folded but for
// the way to where the question began, and all of it opens.
func TestFold(t *testing.T) {
	chains := fanned(40, 30)
	g := draw(chains, "below-29", nil)
	apart(t, g)
	titles := map[string]*node{}
	for _, n := range g.Nodes {
		titles[n.Title] = n
	}
	if n := titles["40 × read"]; n == nil || len(n.Calls) != 40 || n.Fold == "" {
		t.Errorf("the calls: %+v", n)
	}
	if n := titles["and 24 other tokens"]; n == nil || len(n.Calls) != 24 {
		t.Errorf("the tokens: %+v", n)
	}
	if titles["agent-29"] == nil {
		t.Error("the way to the start is folded")
	}
	if len(g.Nodes) > 25 {
		t.Errorf("%d boxes", len(g.Nodes))
	}
	for _, open := range []string{titles["40 × read"].Fold, openAll} {
		if g := draw(chains, "below-29", []string{open}); g.Folded != 0 || len(g.Nodes) != 1+40*2+30+30*2 {
			t.Errorf("open=%s: %d boxes, %d folded", open, len(g.Nodes), g.Folded)
		}
	}
	one := draw(chains, "call-7", nil)
	if i := slices.IndexFunc(one.Nodes, func(n *node) bool { return n.Focus }); i < 0 || one.Nodes[i].Call.Event != "call-7" || one.Nodes[i].Kind != "call" {
		t.Error("the call that the question began with is lost among those alike")
	}
}

// What events say stands in a drawing as text, bounded, however it looks.
func TestHostileDrawing(t *testing.T) {
	for _, hostile := range []string{
		`<script>alert(1)</script>`, `"><image href=x onerror=alert(1)>`, "]]></style><script>", "\x00\x01\x1b[2J\uFFFE\uFFFF\xff\xfe", "\u202Eevil\u2066\u200F", strings.Repeat("long ", 20_000), "{{.Style}}",
	} {
		chains := fanned(8, 8)
		root := chains[0].Root
		root.Subject.Name, root.Subject.Type, root.Scope, root.TokenRef, root.Problems = hostile, event.PartyType(hostile), []string{hostile}, "", []string{hostile}
		root.TokenID, root.Children[3].Actor.Sub = hostile, hostile
		root.Calls[2].Tool, root.Calls[2].Server.ID, root.Calls[2].Outcome = hostile, hostile, event.Outcome(hostile)
		root.Calls[3].Decision = &chain.Decision{Engine: hostile, Policy: hostile, Effect: event.Effect(hostile)}
		root.Calls[4].Missing = &chain.Missing{What: "no decision was seen", Detail: hostile}
		text := svg(t, draw(chains, "", []string{openAll}), "text{fill:#000}")
		names := wellFormed(t, text)
		for _, never := range []string{"script", "image", "foreignObject", "iframe"} {
			if names[never] > 0 {
				t.Errorf("%.30q made an element %s", hostile, never)
			}
		}
		if names["style"] != 1 || strings.ContainsAny(text, "\x00\x1b\u202E\u2066\u200F") || len(text) > 400_000 {
			t.Errorf("%.30q: %d styles, %d bytes", hostile, names["style"], len(text))
		}
	}
}
