package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/schemas/event"
)

//go:generate go run ./generate

// Bounds of a chain. What goes beyond is cut, and the answer says so.
const (
	MaxDepth  = 50     // exchanges from the start to the root, and down
	MaxTokens = 20_000 // tokens met
	MaxEvents = 50_000 // events fetched
	MaxStarts = 200    // events or tokens that a principal or a tool call begins with
)

// Chains is what was found from one start.
type Chains struct {
	// Chains, the one with the start first.
	Chains []*chain.Chain `json:"chains"`
	// Events is the number of events they were built from.
	Events int `json:"events"`
	// OtherTenants know the token that was asked for too, and their chains are apart.
	OtherTenants []string `json:"other_tenants,omitempty"`
	// Cut says what was left out for size; empty when nothing was.
	Cut []string `json:"cut,omitempty"`
}

// ChainOptions bound a question about chains. The zero value asks within each
// tenant, and about principals and tool calls of the last day.
type ChainOptions struct {
	// From and To bound the events that a principal or a tool call begins with;
	// zero: the day before To, and now.
	From, To time.Time
	// Across joins what several tenants' events say of a token. It is for readers
	// that are narrowed to no tenant.
	Across bool
}

// ErrAcross refuses chains across tenants to a reader of one.
var ErrAcross = errors.New("chains across tenants: want a reader of all tenants, not one that is narrowed to a tenant")

func (o ChainOptions) window() (from, to time.Time) {
	from, to = o.From, o.To
	if to.IsZero() {
		to = time.Now()
	}
	if from.IsZero() {
		from = to.Add(-24 * time.Hour)
	}
	return from, to
}

// Chain returns the delegation chains from a start: see [Reader.ChainOf].
func (r *Reader) Chain(ctx context.Context, start string) (*Chains, error) {
	return r.ChainOf(ctx, start, ChainOptions{})
}

// ChainOf returns the delegation chains from a start, which [StartForms] lists.
// It walks up to the root, and down from the start.
func (r *Reader) ChainOf(ctx context.Context, start string, o ChainOptions) (*Chains, error) {
	if o.Across && r.cfg.Tenant != "" {
		return nil, ErrAcross
	}
	s, err := parseStart(start)
	if err != nil {
		return nil, err
	}
	w := newWalk(r, o)
	if err := w.begin(ctx, s); err != nil {
		return nil, err
	}
	if len(w.seeds) == 0 && len(w.start) == 0 {
		return nil, fmt.Errorf("%w: no event for %.80q", ErrNotFound, start)
	}
	found := &Chains{}
	walks := []*walk{w}
	if tenants := w.sortedTenants(); r.cfg.Tenant == "" && !o.Across && len(tenants) > 0 {
		// Each tenant's events tell of its own tokens only.
		if s.kind == startToken {
			found.OtherTenants = tenants[1:]
		}
		walks, found.Cut = walks[:0], w.cut
		for _, t := range tenants {
			walks = append(walks, w.within(t))
		}
	}
	for _, w := range walks {
		if err := w.build(ctx, found); err != nil {
			return nil, err
		}
	}
	if len(found.Chains) == 0 {
		return nil, fmt.Errorf("%w: the events of %.80q name no token", ErrNotFound, start)
	}
	return found, nil
}

// build adds the chains of what was begun with.
func (w *walk) build(ctx context.Context, found *Chains) error {
	if err := w.follow(ctx, true); err != nil {
		return err
	}
	events, err := w.fetch(ctx)
	if err != nil {
		return err
	}
	build := chain.Build
	if w.options.Across {
		build = chain.BuildAcross
	}
	chains := build(events)
	var more, revoked []*event.Event
	both, asking := errgroup.WithContext(ctx)
	both.Go(func() (err error) { more, err = w.unnamed(asking, chains); return err })
	both.Go(func() (err error) { revoked, err = w.revocations(asking, chains); return err })
	if err := both.Wait(); err != nil {
		return err
	}
	if more = append(more, revoked...); len(more) > 0 {
		events = append(events, more...)
		chains = build(events)
	}
	if err := w.explain(ctx, chains); err != nil {
		return err
	}
	slices.SortStableFunc(chains, func(a, b *chain.Chain) int { return w.rank(a) - w.rank(b) })
	found.Chains, found.Events, found.Cut = append(found.Chains, chains...), found.Events+len(events), append(found.Cut, w.cut...)
	return nil
}

// rank puts the chains that hold the start first.
func (w *walk) rank(c *chain.Chain) int {
	for _, ref := range c.Tokens() {
		if w.asked[ref] {
			return 0
		}
	}
	held := 1
	c.Root.Walk(func(h *chain.Hop, _ int) {
		for i := range h.Calls {
			if w.begun[h.Calls[i].Event] {
				held = 0
			}
		}
	})
	return held
}
