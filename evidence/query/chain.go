package query

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/schemas/event"
)

// Bounds of a chain. What goes beyond is cut, and the answer says so.
const (
	MaxDepth  = 50     // exchanges from the start to the root, and down
	MaxTokens = 10_000 // tokens met
	MaxEvents = 20_000 // events fetched
)

// Chains is what was found from one start.
type Chains struct {
	// Chains, the one with the start first.
	Chains []*chain.Chain `json:"chains"`
	// Events is the number of events they were built from.
	Events int `json:"events"`
	// Cut says what was left out for size; empty when nothing was.
	Cut []string `json:"cut,omitempty"`
}

var tracePattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Chain returns the delegation chains from a start: an event id, a token
// reference or a trace id. It walks up to the root, and down from the start.
func (r *Reader) Chain(ctx context.Context, start string) (*Chains, error) {
	w := walk{r: r, refs: map[string]bool{}, ids: map[string]bool{}}
	if err := w.begin(ctx, start); err != nil {
		return nil, err
	}
	if len(w.seeds) == 0 && len(w.start) == 0 {
		return nil, fmt.Errorf("%w: no event for %q", ErrNotFound, start)
	}
	for _, direction := range []struct{ table, from, to string }{
		{"token_edges_by_parent", "parent_ref", "child_ref"},
		{"token_edges", "child_ref", "parent_ref"},
	} {
		if err := w.follow(ctx, direction.table, direction.from, direction.to); err != nil {
			return nil, err
		}
	}
	events, err := w.fetch(ctx)
	if err != nil {
		return nil, err
	}
	chains := chain.Build(events)
	if len(chains) == 0 {
		return nil, fmt.Errorf("%w: the events of %q name no token", ErrNotFound, start)
	}
	slices.SortStableFunc(chains, func(a, b *chain.Chain) int { return w.rank(a) - w.rank(b) })
	return &Chains{Chains: chains, Events: len(events), Cut: w.cut}, nil
}

// walk collects the tokens and the events of a chain.
type walk struct {
	r     *Reader
	seeds []*event.Event  // events of the start and of its trace
	start []string        // tokens that the start is about: only these are followed down
	refs  map[string]bool // all tokens met
	ids   map[string]bool // exchanges met
	cut   []string
}

// begin finds the tokens of the start.
func (w *walk) begin(ctx context.Context, start string) error {
	switch {
	case event.ValidRef(start):
		w.start = []string{start}
		return w.ofToken(ctx, start)
	case tracePattern.MatchString(start):
		return w.ofTrace(ctx, start, true)
	}
	if _, err := event.IDTime(start); err != nil {
		return fmt.Errorf("start %.80q: want an event id, a token reference (sha256:... or hmac:...) or a trace id of 32 hex digits", start)
	}
	events, err := w.r.Events(ctx, []string{start})
	if err != nil {
		return err
	}
	for _, e := range events {
		w.seed(e, true)
		if e.Correlation.TraceID != "" {
			if err := w.ofTrace(ctx, e.Correlation.TraceID, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// callsAsked bounds the calls whose traces are asked for a token of unknown origin.
const callsAsked = 20

// ofToken starts from a token. When nothing tells how it came to be, the traces
// of its first calls may hold the exchanges above it.
func (w *walk) ofToken(ctx context.Context, ref string) error {
	var calls []string
	var known, made bool
	err := w.r.rows(ctx, "SELECT toString(event_id), role = 'issued' OR kind = 'credential' AS made FROM token_use WHERE "+tenant+" AND ref = {ref:String} ORDER BY made DESC, time LIMIT {limit:UInt32}",
		parameters{"ref": ref, "limit": fmt.Sprint(callsAsked)}, func(rows driver.Rows) error {
			var id string
			var makes bool
			if err := rows.Scan(&id, &makes); err != nil {
				return err
			}
			known, made, calls = true, made || makes, append(calls, id)
			return nil
		})
	if err != nil {
		return err
	}
	if !known {
		return fmt.Errorf("%w: no event names token %s", ErrNotFound, ref)
	}
	w.refs[ref] = true
	if made {
		return nil
	}
	events, err := w.r.Events(ctx, calls)
	if err != nil {
		return err
	}
	asked := map[string]bool{"": true}
	for _, e := range events {
		if trace := e.Correlation.TraceID; !asked[trace] {
			asked[trace] = true
			if err := w.ofTrace(ctx, trace, false); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walk) ofTrace(ctx context.Context, id string, down bool) error {
	events, err := w.r.events(ctx, "SELECT raw FROM events WHERE "+tenant+" AND trace_id = {trace:String} ORDER BY time LIMIT {limit:UInt32}",
		parameters{"trace": id, "limit": fmt.Sprint(MaxEvents)})
	if err != nil {
		return err
	}
	for _, e := range events {
		w.seed(e, down)
	}
	return nil
}

func (w *walk) seed(e *event.Event, down bool) {
	w.seeds = append(w.seeds, e)
	for _, ref := range []string{e.Token.Ref, e.Exchange.SubjectTokenRef, e.Exchange.IssuedTokenRef} {
		if ref == "" {
			continue
		}
		w.refs[ref] = true
		// Everything below a subject token is all that its owner ever did: follow
		// what was made of it here only.
		if down && ref != e.Exchange.SubjectTokenRef && (e.Kind != event.TokenExchange || ref == e.Exchange.IssuedTokenRef) {
			w.start = append(w.start, ref)
		}
	}
}

// follow walks the edges level by level: IN uses the order of the table, a
// recursive join would not.
func (w *walk) follow(ctx context.Context, table, from, to string) error {
	level := slices.Clone(w.start)
	if table == "token_edges" {
		level = level[:0]
		for ref := range w.refs {
			level = append(level, ref)
		}
	}
	for depth := 0; len(level) > 0; depth++ {
		if depth == MaxDepth {
			w.cut = append(w.cut, fmt.Sprintf("tokens more than %d exchanges away", MaxDepth))
			return nil
		}
		var next []string
		err := w.r.rows(ctx, "SELECT DISTINCT "+to+", toString(event_id) FROM "+table+" WHERE "+tenant+" AND "+from+" IN {refs:Array(String)} AND role = 'subject' LIMIT {limit:UInt32}",
			parameters{"refs": array(level), "limit": fmt.Sprint(MaxTokens)}, func(rows driver.Rows) error {
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
		if len(w.refs) >= MaxTokens {
			w.cut = append(w.cut, fmt.Sprintf("tokens after the first %d", MaxTokens))
			return nil
		}
		level = next
	}
	return nil
}

// fetch returns all events to build from: the seeds, the exchanges met, what
// the start's tokens did, and how every token came to be.
func (w *walk) fetch(ctx context.Context) ([]*event.Event, error) {
	var all, started []string
	for ref := range w.refs {
		all = append(all, ref)
	}
	started = append(started, w.start...)
	err := w.r.rows(ctx, "SELECT DISTINCT toString(event_id) FROM token_use WHERE "+tenant+
		" AND ref IN {all:Array(String)} AND (kind = 'credential' OR ref IN {start:Array(String)}) LIMIT {limit:UInt32}",
		parameters{"all": array(all), "start": array(started), "limit": fmt.Sprint(MaxEvents)}, func(rows driver.Rows) error {
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
	have := map[string]bool{}
	var events []*event.Event
	for _, e := range w.seeds {
		if !have[e.ID] {
			have[e.ID] = true
			events = append(events, e)
		}
	}
	var missing []string
	for id := range w.ids {
		if !have[id] {
			missing = append(missing, id)
		}
	}
	slices.Sort(missing)
	fetched, err := w.r.Events(ctx, missing)
	return append(events, fetched...), err
}

// rank puts the chains that hold the start first.
func (w *walk) rank(c *chain.Chain) int {
	for _, ref := range c.Tokens() {
		if slices.Contains(w.start, ref) {
			return 0
		}
	}
	return 1
}
