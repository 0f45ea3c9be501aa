package console

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/schemas/event"
)

// chainPage is what the page of chains shows.
type chainPage struct {
	Start, From, To string
	Newest          []*event.Event // calls, where nothing is asked for yet
	Open            []string
	Chains          []*chain.Chain
	Events          int
	OtherTenants    []string
	Cut             []string

	Told    *told
	Drawing drawing
	// At is which of the moments is looked at, from 1 on; Moments counts them.
	At, Moments int
	AtTime      event.Time
	Hops        []hopRow
	Calls       []callRow
	// Exports are links by what they are; Proof is empty where there is none.
	Exports []exportLink
	Proof   string
}

type hopRow struct {
	*chain.Hop
	Depth int
}

type callRow struct {
	*chain.Call
	By event.Party // who holds the token
}

// Bounds of what one page shows; beyond, the page says so.
const (
	maxDrawn    = 2000 // boxes, when every fold is open
	maxChains   = 50
	maxHopRows  = 500
	maxCallRows = 1000
)

// showChain is the delegation from an event, a token, a trace or a principal.
func showChain(q *request) (*view, error) {
	p := &chainPage{Start: strings.TrimSpace(q.FormValue("start")), From: q.FormValue("from"), To: q.FormValue("to"), Open: q.Form["open"]}
	v := &view{name: "chain", title: "Chain", styles: []string{"graph.css"}, scripts: []string{"chain.js"}, data: p}
	if p.Start == "" {
		return v, p.offer(q)
	}
	if err := p.ask(q); err != nil {
		return nil, err
	}
	g := p.Drawing.graph
	p.Moments = len(g.Moments)
	p.At = p.Moments
	if at, err := strconv.Atoi(q.FormValue("at")); err == nil && at >= 1 && at <= p.Moments {
		p.At = at
		g.at(g.Moments[at-1])
	}
	if p.Moments > 0 {
		p.AtTime = g.Moments[p.At-1]
	}
	p.Told = tell(p.Chains, p.Start)
	p.list()
	p.exports(q)
	return v, nil
}

// offer finds calls to begin with.
func (p *chainPage) offer(q *request) error {
	var page struct {
		Events []*event.Event `json:"events"`
	}
	err := q.get("/events", &page, "filter", "kind:tool_invocation", "limit", "5")
	p.Newest = page.Events
	return err
}

// ask finds the chains and draws them.
func (p *chainPage) ask(q *request) error {
	var found struct {
		Chains       []*chain.Chain `json:"chains"`
		Events       int            `json:"events"`
		OtherTenants []string       `json:"other_tenants"`
		Cut          []string       `json:"cut"`
	}
	if err := q.get("/chain", &found, "start", p.Start, "from", p.From, "to", p.To); err != nil {
		return err
	}
	p.Chains, p.Events, p.OtherTenants, p.Cut = found.Chains, found.Events, found.OtherTenants, found.Cut
	if len(p.Chains) > maxChains {
		p.Cut = append(p.Cut, fmt.Sprintf("chains after the first %d: begin with an event or a token, or with a shorter time", maxChains))
		p.Chains = p.Chains[:maxChains]
	}
	p.Drawing.graph = draw(p.Chains, p.Start, p.Open)
	if len(p.Drawing.Nodes) > maxDrawn {
		p.Cut = append(p.Cut, fmt.Sprintf("boxes beyond %d: open one fold after the other", maxDrawn))
		p.Open = slices.DeleteFunc(p.Open, func(id string) bool { return id == openAll })
		p.Drawing.graph = draw(p.Chains, p.Start, p.Open)
	}
	return nil
}

// list makes the rows of the tables, which say the same as the drawing to who does
// not see it.
func (p *chainPage) list() {
	hops, calls := 0, 0
	for _, c := range p.Chains {
		c.Root.Walk(func(h *chain.Hop, depth int) {
			if len(p.Hops) < maxHopRows {
				p.Hops = append(p.Hops, hopRow{h, depth})
			}
			hops++
			for i := range h.Calls {
				if len(p.Calls) < maxCallRows {
					p.Calls = append(p.Calls, callRow{&h.Calls[i], h.Holder()})
				}
				calls++
			}
		})
	}
	if hops > maxHopRows || calls > maxCallRows {
		p.Cut = append(p.Cut, fmt.Sprintf("rows of the tables after %d tokens and %d calls: the JSON has all", maxHopRows, maxCallRows))
	}
}

// exports are the links to take the chains away.
func (p *chainPage) exports(q *request) {
	ask := func(path string, more ...string) string {
		return link(q.tenant, path, append([]string{"start", p.Start, "from", p.From, "to", p.To}, more...)...)
	}
	svg := ask("/chain/drawing.svg")
	for _, id := range p.Open {
		svg += "&open=" + url.QueryEscape(id)
	}
	p.Exports = []exportLink{{"SVG", svg}, {"Mermaid", ask(api.Prefix+"/chain/drawing", "format", "mermaid")}, {"DOT", ask(api.Prefix+"/chain/drawing", "format", "dot")},
		{"Text", ask(api.Prefix + "/chain/drawing")}, {"JSON", ask(api.Prefix + "/chain")}}
	if q.who.May(string(api.Export)) {
		p.Proof = p.proof(q.tenant)
	}
}

// maxProven is how many events a filter can name.
const maxProven = 48

// proof is a link to a bundle of all that the chains rest on; empty where a filter cannot
// name it. The filter says when it was, so that nothing else is looked through.
func (p *chainPage) proof(tenant string) string {
	moments := chain.Timeline(p.Chains)
	if len(moments) == 0 || len(moments) > maxProven {
		return ""
	}
	ids := make([]string, len(moments))
	for i, m := range moments {
		ids[i] = m.Event
	}
	first, last := moments[0].Time.Go().Truncate(time.Second), moments[len(moments)-1].Time.Go().Add(time.Second)
	return link(tenant, api.Prefix+"/proof", "filter", "id:"+strings.Join(ids, ",")+" after:"+first.Format(time.RFC3339)+" before:"+last.Format(time.RFC3339))
}

// drawChain is the drawing alone, in a file that needs nothing else.
func drawChain(q *request) (*view, error) {
	p := &chainPage{Start: q.FormValue("start"), From: q.FormValue("from"), To: q.FormValue("to"), Open: q.Form["open"]}
	if err := p.ask(q); err != nil {
		return nil, err
	}
	style, err := assetFiles.ReadFile("assets/graph.css")
	if err != nil {
		return nil, err
	}
	own, _, _ := strings.Cut(string(style), "\n/* What is around it")
	p.Drawing.Style = template.CSS(own)
	var b bytes.Buffer
	if err := q.console.views["chain"].ExecuteTemplate(&b, "graph", p.Drawing); err != nil {
		return nil, err
	}
	return &view{file: &file{name: "chain.svg", media: "image/svg+xml", body: b.Bytes()}}, nil
}

// file is an answer that is no page, to be kept.
type file struct {
	name, media string
	body        []byte
}

// send makes the browser keep the file and not show it: alone it would be a document
// of this site.
func (f *file) send(w http.ResponseWriter) {
	w.Header().Set("Content-Type", f.media)
	w.Header().Set("Content-Disposition", `attachment; filename="`+f.name+`"`)
	w.Write(f.body) // the client is gone when this fails
}
