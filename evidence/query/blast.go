package query

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"github.com/custody-audit/custody/schemas/event"
)

// Bounds of a blast radius. What goes beyond is cut, and the answer says so.
const (
	MaxBlastTokens = 1_000  // newest tokens of a principal of which it is asked whether others were silently derived
	maxBlastGroups = 20_000 // pairs of a holder and a tool
	maxStanding    = 5_000  // tokens of a principal that are looked at whether they are valid
	maxBlastLive   = 1_000  // tokens that are listed as valid
)

// Blast is what a token, an agent or a chain touched, and what of it still stands.
type Blast struct {
	// Start as it was asked for, and the time that was looked at.
	Start string    `json:"start"`
	From  time.Time `json:"from,omitzero"`
	To    time.Time `json:"to"`
	// First and Last event that was found.
	First event.Time `json:"first,omitzero"`
	Last  event.Time `json:"last,omitzero"`
	// Tokens that were followed: those asked for and all that were derived from them.
	Tokens int `json:"tokens"`
	// Calls, of which Ran and Denied; and the exchanges and decisions beside them.
	Calls     uint64 `json:"calls"`
	Ran       uint64 `json:"ran"`
	Denied    uint64 `json:"denied"`
	Exchanges uint64 `json:"exchanges"`
	Decisions uint64 `json:"decisions"`
	// What was touched, the most used first.
	Tenants       []Touched `json:"tenants"`
	Servers       []Touched `json:"servers"`
	Tools         []Touched `json:"tools"`
	Resources     []Touched `json:"resources"`
	Sensitivities []Touched `json:"sensitivities"`
	// Holders who presented the tokens.
	Holders []Touched `json:"holders"`
	// Live are the tokens that are still valid at To and would have to be revoked,
	// those that never expire first.
	Live []LiveToken `json:"live"`
	// Cut says what was left out for size; empty when nothing was.
	Cut []string `json:"cut,omitempty"`
}

// Touched is one thing that calls reached.
type Touched struct {
	Tenant string `json:"tenant,omitempty"`
	// Server, Tool and Resource behind it; Holder is SUB or SUB@ISS.
	Server   string `json:"server,omitempty"`
	Tool     string `json:"tool,omitempty"`
	Resource string `json:"resource,omitempty"`
	Holder   string `json:"holder,omitempty"`
	// Sensitivity, Owner and Destructive are of the registry when the calls were stored.
	Sensitivity string `json:"sensitivity,omitempty"`
	Owner       string `json:"owner,omitempty"`
	Destructive bool   `json:"destructive,omitempty"`
	// Calls, of which Ran and Denied.
	Calls  uint64     `json:"calls"`
	Ran    uint64     `json:"ran"`
	Denied uint64     `json:"denied"`
	First  event.Time `json:"first"`
	Last   event.Time `json:"last"`
}

// LiveToken is a token that is not known to have expired or to be revoked.
type LiveToken struct {
	Tenant   string `json:"tenant"`
	TokenRef string `json:"token_ref"`
	// TokenID is its jti.
	TokenID  string      `json:"token_id,omitempty"`
	Issuer   string      `json:"issuer,omitempty"`
	Holder   event.Party `json:"holder"`
	Subject  event.Party `json:"subject"`
	Audience []string    `json:"audience,omitempty"`
	// ExpiresAt is absent when the token never expires (Static) or nobody said when.
	ExpiresAt event.Time `json:"expires_at,omitzero"`
	Static    bool       `json:"static,omitempty"`
	LastUsed  event.Time `json:"last_used"`
}

// BlastRadius returns what everything derived from a start touched; [StartForms]
// lists what it can be. A principal's radius is what it did and had done within
// the window, by the claims of the events, and what was derived from its tokens.
func (r *Reader) BlastRadius(ctx context.Context, text string, o ChainOptions) (*Blast, error) {
	if o.Across && r.cfg.Tenant != "" {
		return nil, ErrAcross
	}
	s, err := parseStart(text)
	if err != nil {
		return nil, err
	}
	if o.To.IsZero() {
		o.To = time.Now()
	}
	if o.From.IsZero() && s.kind >= startPrincipal {
		o.From = o.To.AddDate(0, 0, -30)
	}
	b := &blast{Blast: Blast{Start: text, From: o.From, To: o.To}, touched: map[Touched]*Touched{}}
	if s.kind == startPrincipal {
		err = b.principal(ctx, r, s, o)
	} else {
		err = b.derived(ctx, r, s, o)
	}
	if err != nil {
		return nil, err
	}
	if b.Calls+b.Exchanges+b.Decisions == 0 && b.Tokens == 0 {
		return nil, fmt.Errorf("%w: nothing of %.80q", ErrNotFound, text)
	}
	b.finish()
	return &b.Blast, nil
}

// blast is a radius in the making.
type blast struct {
	Blast
	touched map[Touched]*Touched // by what it is, without counts
}

// derived is the radius of tokens: those of the start, and all below.
func (b *blast) derived(ctx context.Context, r *Reader, s start, o ChainOptions) error {
	w := newWalk(r, o)
	if err := w.begin(ctx, s); err != nil {
		return err
	}
	walks := []*walk{w}
	if r.cfg.Tenant == "" && !o.Across {
		walks, b.Cut = walks[:0], w.cut
		for _, t := range w.sortedTenants() {
			walks = append(walks, w.within(t))
		}
	}
	for _, w := range walks {
		if err := w.down(ctx); err != nil {
			return err
		}
		slices.Sort(w.start)
		refs := slices.Compact(w.start)
		b.Tokens += len(refs)
		b.Cut = append(b.Cut, w.cut...)
		if err := b.count(ctx, w.r, ofTokens, refs, o, parameters{}); err != nil {
			return err
		}
		if err := b.live(ctx, w.r, refs, o); err != nil {
			return err
		}
	}
	return nil
}

// principal is the radius of somebody: of all events that name them as subject or
// actor, and of tokens that were derived from theirs without saying so.
func (b *blast) principal(ctx context.Context, r *Reader, s start, o ChainOptions) error {
	who, named := parameters{"sub": s.text, "iss": s.more}, byClaims(s)
	settled, err := r.settled(ctx)
	if err != nil {
		return err
	}
	var standing, silent []string
	later, below := blast{}, blast{} // what is cut is said in this order
	all, of := errgroup.WithContext(ctx)
	all.Go(func() error { return b.reached(of, r, s, settled, o, who) })
	all.Go(func() (err error) {
		standing, err = later.maybeLive(of, r, s, settled, o, who)
		return err
	})
	all.Go(func() (err error) {
		silent, err = below.silent(of, r, named, o, who)
		return err
	})
	if err := all.Wait(); err != nil {
		return err
	}
	b.Tokens, b.Cut = below.Tokens, slices.Concat(b.Cut, later.Cut, below.Cut)
	if len(silent) > 0 {
		if err := b.count(ctx, r, ofTokens+" AND NOT "+named, silent, o, who); err != nil {
			return err
		}
	}
	return b.live(ctx, r, append(standing, silent...), o)
}

// silent returns the tokens that were derived from somebody's and whose exchange
// does not name them, and all that was derived from those.
func (b *blast) silent(ctx context.Context, r *Reader, named string, o ChainOptions, who parameters) ([]string, error) {
	refs, err := b.tokensOf(ctx, r, named, o, who)
	if err != nil {
		return nil, err
	}
	w := newWalk(r, o)
	for _, ref := range refs {
		w.refs[ref] = true
	}
	b.Tokens = len(refs)
	if err := w.below(ctx, refs); err != nil || len(w.start) == 0 {
		return nil, err
	}
	if err := w.down(ctx); err != nil {
		return nil, err
	}
	b.Tokens, b.Cut = len(w.refs), append(b.Cut, w.cut...)
	return w.start, nil
}

// below makes a start of the tokens that were issued for these, as far as they are
// not known.
func (w *walk) below(ctx context.Context, refs []string) error {
	if len(refs) == 0 {
		return nil
	}
	return w.r.rows(ctx, "SELECT DISTINCT child_ref FROM token_edges_by_parent WHERE "+tenant+" AND parent_ref IN {refs:Array(String)} AND role = 'subject' LIMIT {limit:UInt32}",
		parameters{"refs": array(refs), "limit": strconv.Itoa(MaxTokens)}, func(rows driver.Rows) error {
			var ref string
			err := rows.Scan(&ref)
			if !w.refs[ref] {
				w.refs[ref] = true
				w.start = append(w.start, ref)
			}
			return err
		})
}

// down follows the tokens of the start to all that were derived from them.
func (w *walk) down(ctx context.Context) error {
	return w.follow(ctx, false)
}
