package query

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/schemas/event"
)

// walk collects the tokens and the events of a chain.
type walk struct {
	r       *Reader
	options ChainOptions
	seeds   []*event.Event  // events of the start and of its trace
	seeded  map[string]bool // their ids
	start   []string        // tokens that the start is about: only these are followed down
	refs    map[string]bool // all tokens met
	ids     map[string]bool // events met
	asked   map[string]bool // tokens that were asked for
	begun   map[string]bool // events that were asked for
	tenants map[string]bool // of the start
	cut     []string
}

func newWalk(r *Reader, o ChainOptions) *walk {
	return &walk{r: r, options: o, seeded: map[string]bool{}, refs: map[string]bool{}, ids: map[string]bool{}, asked: map[string]bool{}, begun: map[string]bool{}, tenants: map[string]bool{}}
}

func (w *walk) sortedTenants() []string { return slices.Sorted(maps.Keys(w.tenants)) }

// within is the walk as one tenant's events tell it.
func (w *walk) within(tenant string) *walk {
	narrowed := &Reader{w.r.cfg}
	narrowed.cfg.Tenant = tenant
	n := newWalk(narrowed, w.options)
	n.start, n.asked, n.begun = slices.Clone(w.start), w.asked, w.begun
	for _, ref := range n.start {
		n.refs[ref] = true
	}
	for _, e := range w.seeds {
		if e.Tenant == tenant {
			n.add(e)
		}
	}
	return n
}

// seed begins with an event; its tokens are followed down when the event is what
// was asked for.
func (w *walk) seed(e *event.Event, down bool) {
	w.add(e)
	if !down {
		return
	}
	w.tenants[e.Tenant] = true
	for _, ref := range []string{e.Token.Ref, e.Exchange.IssuedTokenRef} {
		// Everything below a subject token is all that its owner ever did: follow
		// what was made of it here only.
		if ref != "" && ref != e.Exchange.SubjectTokenRef && (e.Kind != event.TokenExchange || ref == e.Exchange.IssuedTokenRef) {
			w.start, w.asked[ref] = append(w.start, ref), true
		}
	}
}

func (w *walk) add(e *event.Event) {
	if w.seeded[e.ID] {
		return
	}
	w.seeded[e.ID] = true
	w.seeds = append(w.seeds, e)
	for _, ref := range []string{e.Token.Ref, e.Exchange.SubjectTokenRef, e.Exchange.IssuedTokenRef} {
		if ref != "" {
			w.refs[ref] = true
		}
	}
}

// follow asks event_keys about tokens, level by level: IN uses the order of the table,
// a recursive join would not. One question a level is about all that is not known yet:
// what the start's tokens were exchanged for, which is part of the question too; and,
// with up, what every token was issued for and the events to show of it.
func (w *walk) follow(ctx context.Context, up bool) error {
	w.descend()
	above, below := map[string]bool{}, map[string]bool{} // were asked for
	uses := up
	for depth := 0; ; depth++ {
		var l level
		l.below = fresh(slices.Values(w.start), below)
		if up {
			l.above = fresh(maps.Keys(w.refs), above)
		}
		if len(l.below)+len(l.above) == 0 {
			return nil
		}
		if depth > MaxDepth {
			w.cut = append(w.cut, fmt.Sprintf("tokens more than %d exchanges away", MaxDepth))
			return nil
		}
		if err := w.ask(ctx, l, uses); err != nil {
			return err
		}
		if uses && len(w.ids) >= MaxEvents { // the exchanges are still wanted
			uses = false
			w.cut = append(w.cut, fmt.Sprintf("events after the first %d", MaxEvents))
		}
		if len(w.refs) >= MaxTokens {
			w.cut = append(w.cut, fmt.Sprintf("tokens after the first %d", MaxTokens))
			return nil
		}
	}
}

// level is what one question is about.
type level struct{ above, below []string }

// fresh returns those that were not asked for before.
func fresh(refs iter.Seq[string], asked map[string]bool) (list []string) {
	for ref := range refs {
		if !asked[ref] {
			asked[ref] = true
			list = append(list, ref)
		}
	}
	slices.Sort(list)
	return list
}

// What event_keys is asked of tokens: the exchanges of the start's; how each came to
// be, and what was done with the start's.
const (
	keysBelow = "relation = 'subject_child' AND key IN {below:Array(String)}"
	keysAbove = "relation = 'subject_parent' AND key IN {above:Array(String)}"
	keysUsed  = "relation IN ('presented', 'issued') AND (key IN {below:Array(String)} OR key IN {above:Array(String)} AND kind = 'credential')"
)

func (w *walk) ask(ctx context.Context, l level, uses bool) error {
	condition := keysBelow + " OR " + keysAbove
	if uses {
		condition += " OR " + keysUsed
	}
	// The edges come first, so that many uses do not hide them.
	return w.r.rows(ctx, "SELECT toString(relation), other, toString(event_id) FROM event_keys WHERE "+tenant+" AND ("+condition+") ORDER BY relation DESC LIMIT {limit:UInt32}",
		parameters{"below": array(l.below), "above": array(l.above), "limit": strconv.Itoa(MaxEvents)}, func(rows driver.Rows) error {
			var relation, ref, id string
			if err := rows.Scan(&relation, &ref, &id); err != nil {
				return err
			}
			w.ids[id] = true
			if ref == "" || w.refs[ref] || len(w.refs) >= MaxTokens {
				return nil
			}
			w.refs[ref] = true
			if relation == "subject_child" {
				w.start = append(w.start, ref)
			}
			return nil
		})
}

// descend adds to the start what the seeds say was issued for it: each level that
// is known already is a query less.
func (w *walk) descend() {
	below := map[string][]string{}
	for _, e := range w.seeds {
		if x := e.Exchange; x.SubjectTokenRef != "" && x.IssuedTokenRef != "" {
			below[x.SubjectTokenRef] = append(below[x.SubjectTokenRef], x.IssuedTokenRef)
		}
	}
	started := map[string]bool{}
	for _, ref := range w.start {
		started[ref] = true
	}
	for i := 0; i < len(w.start); i++ {
		for _, ref := range below[w.start[i]] {
			if !started[ref] {
				started[ref] = true
				w.start = append(w.start, ref)
			}
		}
	}
}

// fetch returns all events to build from: the seeds, and those met.
func (w *walk) fetch(ctx context.Context) ([]*event.Event, error) {
	var rest []string
	for id := range w.ids {
		if !w.seeded[id] {
			rest = append(rest, id)
		}
	}
	slices.Sort(rest)
	fetched, err := w.r.Events(ctx, rest)
	return append(slices.Clone(w.seeds), fetched...), err
}
