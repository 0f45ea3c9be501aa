package query

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/schemas/event"
)

// atOnce is how many questions of one chain are asked at the same time.
const atOnce = 4

// Bounds of what is asked about gaps.
const (
	gapsAsked = 200            // gaps whose reason is looked for
	heardFor  = 24 * time.Hour // around a gap, within which a source that reports such events is heard of
)

// unnamed returns exchanges that do not say which token they issued and that may
// have issued those of whose exchange nothing is known: a gateway that keeps its
// references to itself reports such.
func (w *walk) unnamed(ctx context.Context, chains []*chain.Chain) ([]*event.Event, error) {
	var found [callsAsked][]*event.Event
	asked := map[string]bool{}
	together, ctx := errgroup.WithContext(ctx)
	together.SetLimit(atOnce)
	for _, g := range gaps(chains) {
		if !g.Unissued || g.Subject.Sub == "" || g.At == 0 {
			continue
		}
		who := strings.Join([]string{g.Tenant, g.Subject.Sub, g.Actor.Sub, strconv.FormatInt(int64(g.At)/int64(time.Hour/time.Microsecond), 10)}, "\x00")
		if asked[who] || len(asked) == callsAsked {
			continue
		}
		into := &found[len(asked)]
		asked[who] = true
		together.Go(func() (err error) {
			*into, err = w.r.events(ctx, "SELECT raw FROM events WHERE "+tenant+" AND tenant = {of:String} AND "+nearGap+
				" AND kind = 'token_exchange' AND exchange_issued_token_ref = '' AND subject_sub = {sub:String} AND actor_sub = {actor:String} ORDER BY time DESC LIMIT 100",
				aroundGap(g, parameters{"sub": g.Subject.Sub, "actor": g.Actor.Sub}))
			return err
		})
	}
	err := together.Wait()
	return slices.Concat(found[:]...), err
}

// revocations returns those that name a token of the chains by its jti only, as an
// issuer reports them, and while the tokens were valid.
func (w *walk) revocations(ctx context.Context, chains []*chain.Chain) ([]*event.Event, error) {
	ids := map[string]bool{}
	var from, to event.Time
	for _, c := range chains {
		c.Root.Walk(func(h *chain.Hop, _ int) {
			if h.TokenID == "" || h.IssuedAt == 0 || len(ids) == MaxStarts {
				return
			}
			ids[h.TokenID] = true
			if from == 0 || h.IssuedAt < from {
				from = h.IssuedAt
			}
			to = max(to, h.ExpiresAt, h.IssuedAt.Add(time.Hour))
		})
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return w.r.events(ctx, "SELECT raw FROM events WHERE "+tenant+" AND kind = 'credential' AND type = 'credential.revoked' AND token_ref = '' AND "+nearGap+" AND token_jti IN {ids:Array(String)} ORDER BY time LIMIT 1000",
		parameters{"ids": array(slices.Sorted(maps.Keys(ids))), "from": strconv.FormatInt(int64(from), 10), "to": strconv.FormatInt(int64(to), 10)})
}

// nearGap bounds a query to a day before and after a gap; the hour is what the
// table is ordered by.
const nearGap = "toStartOfHour(time) BETWEEN toStartOfHour(fromUnixTimestamp64Micro(toInt64({from:String}), 'UTC')) AND toStartOfHour(fromUnixTimestamp64Micro(toInt64({to:String}), 'UTC'))"

func aroundGap(g *chain.Gap, p parameters) parameters {
	p["of"] = g.Tenant
	p["from"] = strconv.FormatInt(int64(g.At.Add(-heardFor)), 10)
	p["to"] = strconv.FormatInt(int64(g.At.Add(heardFor)), 10)
	return p
}

func gaps(chains []*chain.Chain) []*chain.Gap {
	var out []*chain.Gap
	for _, c := range chains {
		out = append(out, c.Gaps()...)
	}
	return out
}

// reason is why something is missing.
type reason struct {
	reason chain.Reason
	detail string
}

// explain says of each gap whether nobody reports such events, nothing is kept
// from that time, or somebody reports them and this one did not come.
func (w *walk) explain(ctx context.Context, chains []*chain.Chain) error {
	all := gaps(chains)
	if len(all) > gapsAsked {
		all = all[:gapsAsked]
		w.cut = append(w.cut, fmt.Sprintf("reasons of what is missing after the first %d", gapsAsked))
	}
	known := map[string]*reason{}
	key := func(g *chain.Gap) string {
		return fmt.Sprint(g.Tenant, "\x00", g.Decision, g.Server, "\x00", g.Issuer, "\x00", int64(g.At)/int64(time.Hour/time.Microsecond))
	}
	together, ctx := errgroup.WithContext(ctx)
	together.SetLimit(atOnce)
	for _, g := range all {
		if g.At == 0 || known[key(g)] != nil {
			continue
		}
		why := &reason{}
		known[key(g)] = why
		together.Go(func() (err error) {
			*why, err = w.why(ctx, g)
			return err
		})
	}
	if err := together.Wait(); err != nil {
		return err
	}
	for _, g := range all {
		if why := known[key(g)]; g.At != 0 {
			g.Because(why.reason, why.detail)
		}
	}
	return nil
}

func (w *walk) why(ctx context.Context, g *chain.Gap) (reason, error) {
	kept, err := w.kept(ctx, g)
	if err != nil {
		return reason{}, err
	}
	if !kept {
		return reason{chain.Retention, "no event of " + g.Tenant + " is stored from before " + g.At.Go().Format(time.RFC3339)}, nil
	}
	what, of := "exchanges or issues", "issuer "+g.Issuer
	condition := "kind IN ('token_exchange', 'credential') AND type != 'credential.static' AND NOT exchange_cached AND ({issuer:String} = '' OR token_iss = {issuer:String} OR subject_iss = {issuer:String} OR actor_iss = {issuer:String})"
	if g.Issuer == "" {
		of = "any issuer"
	}
	if g.Decision {
		what, of, condition = "decisions", "server "+g.Server, "kind = 'permission_decision' AND NOT decision_inferred AND server_id = {server:String}"
	}
	var heard []string
	err = w.r.rows(ctx, "SELECT toString(source_id), count(), min(time), max(time) FROM events WHERE "+tenant+" AND tenant = {of:String} AND "+nearGap+" AND "+condition+" GROUP BY source_id ORDER BY count() DESC LIMIT 3",
		aroundGap(g, parameters{"issuer": g.Issuer, "server": g.Server}), func(rows driver.Rows) error {
			var source string
			var n uint64
			var first, last time.Time
			err := rows.Scan(&source, &n, &first, &last)
			heard = append(heard, fmt.Sprintf("%s reported %d %s from %s to %s", source, n, what, first.UTC().Format(time.RFC3339), last.UTC().Format(time.RFC3339)))
			return err
		})
	if err != nil {
		return reason{}, err
	}
	if len(heard) == 0 {
		return reason{chain.NoSource, fmt.Sprintf("nobody reported %s of %s within %s of it", what, of, strings.TrimSuffix(heardFor.String(), "0m0s"))}, nil
	}
	return reason{chain.NeverSeen, strings.Join(heard, "; ")}, nil
}

// kept says whether anything of the tenant is stored that came before the gap, by
// the log's clock: what a source claims as time must not say how far back we know.
func (w *walk) kept(ctx context.Context, g *chain.Gap) (kept bool, err error) {
	// A source's clock may be ahead of the log's.
	p := parameters{"of": g.Tenant, "at": strconv.FormatInt(int64(g.At.Add(5*time.Minute)), 10)}
	err = w.r.rows(ctx, "SELECT 1 FROM events WHERE "+tenant+" AND tenant = {of:String} AND log_time < fromUnixTimestamp64Micro(toInt64({at:String}), 'UTC') LIMIT 1", p,
		func(driver.Rows) error { kept = true; return nil })
	return kept, err
}
