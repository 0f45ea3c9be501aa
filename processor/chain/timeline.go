package chain

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// Moment is one event of a chain in the order of time.
type Moment struct {
	Time event.Time `json:"time"`
	// Event is its id, Source who reported it.
	Event  string     `json:"event"`
	Source string     `json:"source"`
	Kind   event.Kind `json:"kind"`
	// Holder of the token that it is about.
	Holder event.Party `json:"holder"`
	// What happened, in words.
	What     string   `json:"what"`
	Problems []string `json:"problems,omitempty"`
}

// Timeline returns all events of the chains in the order of time, each once.
func Timeline(chains []*Chain) []Moment {
	var out []Moment
	seen := map[string]bool{}
	add := func(m Moment) {
		if !seen[m.Event] {
			seen[m.Event] = true
			out = append(out, m)
		}
	}
	for _, c := range chains {
		c.Root.Walk(func(h *Hop, _ int) {
			for _, e := range h.Evidence {
				add(Moment{Time: e.Time, Event: e.Event, Source: e.Source, Kind: e.Kind, Holder: h.Holder(), What: h.happened(e)})
			}
			for i := range h.Calls {
				call := &h.Calls[i]
				if d := call.Decision; d != nil {
					add(Moment{Time: d.Time, Event: d.Event, Source: d.Source, Kind: event.PermissionDecision, Holder: h.Holder(), What: plain(decided(d) + " on " + call.Tool + " at " + call.Server.ID)})
				}
				add(Moment{Time: call.Time, Event: call.Event, Source: call.Source, Kind: event.ToolInvocation, Holder: h.Holder(),
					What: plain(call.Tool + " at " + call.Server.ID + ", " + string(call.Outcome)), Problems: call.Problems})
			}
		})
	}
	slices.SortStableFunc(out, func(a, b Moment) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Event, b.Event)) })
	return out
}

// happened says in words what an event is to the hop.
func (h *Hop) happened(e Evidence) string {
	switch {
	case e.Kind == event.TokenExchange && e.Outcome != event.Success:
		return "exchange " + plain(string(e.Outcome)) + " of " + shortToken(h)
	case e.Kind == event.TokenExchange && e.Event != h.ExchangeEvent:
		return "exchange answered again with " + shortToken(h)
	case e.Kind == event.TokenExchange:
		return "exchange for " + hopLine(h) + ": " + plain(strings.Join(h.Scope, " ")) + ", " + shortToken(h)
	case e.Kind == event.PermissionDecision:
		return "decision that belongs to no call that was seen, on " + shortToken(h)
	}
	return plain(e.Type) + " " + shortToken(h)
}

// WriteTimeline writes the events of the chains, one a line.
func WriteTimeline(w io.Writer, chains []*Chain) error {
	b := bufio.NewWriter(w)
	for _, m := range Timeline(chains) {
		fmt.Fprintf(b, "%s  %-19s %-30s %s  [%s %s]\n", m.Time.Go().Format("2006-01-02T15:04:05.000Z"), m.Kind, name(m.Holder), m.What, plain(m.Source), plain(m.Event))
		for _, p := range m.Problems {
			fmt.Fprintf(b, "%24s  ! %s\n", "", plain(p))
		}
	}
	return b.Flush()
}
