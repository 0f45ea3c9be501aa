package query

import (
	"context"
	"fmt"
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
	ids     map[string]bool // exchanges met
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

// follow walks the edges level by level: IN uses the order of the table, a
// recursive join would not. What is met on the way down is part of the question.
func (w *walk) follow(ctx context.Context, table, from, to string) error {
	up := table == "token_edges"
	if !up {
		w.descend()
	}
	level := slices.Clone(w.start)
	if up {
		level = slices.Collect(maps.Keys(w.refs))
	}
	for depth := 0; len(level) > 0; depth++ {
		if depth > MaxDepth {
			w.cut = append(w.cut, fmt.Sprintf("tokens more than %d exchanges away", MaxDepth))
			return nil
		}
		var next []string
		err := w.r.rows(ctx, "SELECT DISTINCT "+to+", toString(event_id) FROM "+table+" WHERE "+tenant+" AND "+from+" IN {refs:Array(String)} AND role = 'subject' LIMIT {limit:UInt32}",
			parameters{"refs": array(level), "limit": strconv.Itoa(MaxTokens)}, func(rows driver.Rows) error {
				var ref, id string
				if err := rows.Scan(&ref, &id); err != nil {
					return err
				}
				w.ids[id] = true
				if !w.refs[ref] {
					w.refs[ref] = true
					next = append(next, ref)
				}
				return nil
			})
		if err != nil {
			return err
		}
		if !up {
			w.start = append(w.start, next...)
		}
		if len(w.refs) >= MaxTokens {
			w.cut = append(w.cut, fmt.Sprintf("tokens after the first %d", MaxTokens))
			return nil
		}
		level = next
	}
	return nil
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

// fetch returns all events to build from: the seeds, the exchanges met, what
// the start's tokens and those below did, and how every token came to be.
func (w *walk) fetch(ctx context.Context) ([]*event.Event, error) {
	all := slices.Collect(maps.Keys(w.refs))
	err := w.r.rows(ctx, "SELECT DISTINCT toString(event_id) FROM token_use WHERE "+tenant+
		" AND ref IN {all:Array(String)} AND (kind = 'credential' OR ref IN {start:Array(String)}) LIMIT {limit:UInt32}",
		parameters{"all": array(all), "start": array(w.start), "limit": strconv.Itoa(MaxEvents)}, func(rows driver.Rows) error {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			w.ids[id] = true
			return nil
		})
	if err != nil {
		return nil, err
	}
	if len(w.ids) >= MaxEvents {
		w.cut = append(w.cut, fmt.Sprintf("events after the first %d", MaxEvents))
	}
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
