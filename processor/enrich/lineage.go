package enrich

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// lineagePass keeps token_lineage_states: for each token its parent, its root
// and how many exchanges lie between.
type lineagePass struct {
	conn    driver.Conn
	visible time.Duration
	tel     *telemetry
	logger  *slog.Logger

	taken   map[uuid.UUID]time.Time // events taken in that each round meets again, by stored time
	version uint64                  // of the rows written last
}

// maxTokens bounds the tokens that one step computes again. What is below more of
// them keeps what was known of it before; that is counted and logged.
const maxTokens = 1_000_000

// news is an exchange, or an issue outside one.
type news struct {
	id     uuid.UUID
	stored time.Time
	exchange
}

// newsQuery reads exchanges that issued a token, and events about a token that
// was issued otherwise. The act claim of what an exchange issued begins with the
// new actor; what is behind it had the subject token.
const newsQuery = `SELECT id, stored_time, toUnixTimestamp64Micro(time), tenant, subject_iss, subject_sub, subject_type,
	if(kind = 'credential', token_ref, exchange_issued_token_ref) AS child,
	if(kind = 'credential', '', exchange_subject_token_ref) AS parent,
	length(chain_sub) - (actor_sub != '' AND has(chain_sub, actor_sub) AND (exchange_actor_token_ref != '' OR client_id = actor_sub)) AS before,
	multiIf(kind = 'credential', 3, chain_rule != 'subject_chained' OR chain_truncated OR chain_malformed != '', 0, before = 0, 1, 2) AS basis
FROM records
WHERE state = 'stored' AND stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
	AND (kind = 'token_exchange' AND outcome = 'success' AND exchange_issued_token_ref != '' AND exchange_subject_token_ref != ''
		OR kind = 'credential' AND token_ref != '' AND type != 'credential.revoked')`

func (p *lineagePass) take(ctx context.Context, from, to time.Time) error {
	version, err := p.nextVersion(ctx)
	if err != nil {
		return err
	}
	list, err := p.news(ctx, from, to)
	if err != nil || len(list) == 0 {
		return err
	}
	g := newGraph()
	if err := p.load(ctx, g, list); err != nil {
		return err
	}
	for i := range list {
		if x := &list[i]; x.parent == "" {
			g.issue(key{x.tenant, x.child}, x.owner)
		} else {
			g.learn(x.exchange)
		}
	}
	if err := p.descend(ctx, g); err != nil {
		return err
	}
	if len(g.tokens) >= maxTokens {
		p.tel.cut.Add(ctx, 1)
		p.logger.Error("too many tokens descend from one whose lineage changed: the rest keep theirs of before", "computed", len(g.tokens))
	}
	g.resolve()
	if err := p.write(ctx, g.written(), version); err != nil {
		return err
	}
	p.remember(list, to)
	return nil
}

// nextVersion grows with the time at which what a row rests on was read, so that
// of two engines the one that knew more prevails.
func (p *lineagePass) nextVersion(ctx context.Context) (uint64, error) {
	now, err := serverTime(ctx, p.conn)
	p.version = max(p.version+1, uint64(now.UnixMicro()))
	return p.version, err
}

// news reads what is new but what was taken in before.
func (p *lineagePass) news(ctx context.Context, from, to time.Time) (list []news, err error) {
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"from": table.Micro(from), "to": table.Micro(to)}), clickhouse.WithSettings(settings))
	err = table.Each(ctx, p.conn, newsQuery, func(rows driver.Rows) error {
		var n news
		var before int64
		var b uint8
		var at int64
		if err := rows.Scan(&n.id, &n.stored, &at, &n.tenant, &n.owner.iss, &n.owner.sub, &n.owner.typ, &n.child, &n.parent, &before, &b); err != nil {
			return err
		}
		n.time, n.basis = event.Time(at), basis(b)
		if _, again := p.taken[n.id]; !again {
			list = append(list, n)
		}
		return nil
	})
	return list, err
}

// remember keeps the events that the next rounds will meet again.
func (p *lineagePass) remember(list []news, to time.Time) {
	if p.taken == nil {
		p.taken = map[uuid.UUID]time.Time{}
	}
	horizon := to.Add(-2 * p.visible)
	for id, stored := range p.taken {
		if stored.Before(horizon) {
			delete(p.taken, id)
		}
	}
	for i := range list {
		if n := &list[i]; !n.stored.Before(horizon) {
			p.taken[n.id] = n.stored
		}
	}
}

const lineageColumns = "tenant, ref, parent_ref, other_parent_ref, toUnixTimestamp64Micro(issued_time), root_ref, root_iss, root_sub, root_type, toInt8(root_basis), depth, toString(state)"

// newest reads the newest rows of tokens, which a query names.
const newest = "SELECT " + lineageColumns + " FROM token_lineage_states WHERE (tenant, ref) IN (%s) ORDER BY tenant, ref, version DESC LIMIT 1 BY tenant, ref"

// unbounded are the settings for rows of tokens that are named: fewer cannot be asked for.
var unbounded = func() clickhouse.Settings {
	s := maps.Clone(settings)
	delete(s, "max_result_rows")
	return s
}()

// load enters the rows of the tokens that are named.
func (p *lineagePass) load(ctx context.Context, g *graph, list []news) error {
	named := map[key]bool{}
	for i := range list {
		x := &list[i]
		named[key{x.tenant, x.child}] = true
		if x.parent != "" {
			named[key{x.tenant, x.parent}] = true
		}
	}
	keys := make([]key, 0, len(named))
	for k := range named {
		keys = append(keys, k)
	}
	return p.read(ctx, fmt.Sprintf(newest, "SELECT tenant, ref FROM wanted"), keys, func(k key, l lineage) { g.stored(k, l) })
}

// descend enters those issued for tokens whose row will change, level by level.
func (p *lineagePass) descend(ctx context.Context, g *graph) error {
	level := g.changedKeys()
	for depth := 0; depth <= MaxDepth && len(level) > 0 && len(g.tokens) < maxTokens; depth++ {
		query := fmt.Sprintf(newest+" LIMIT %d", "SELECT tenant, ref FROM token_lineage_states WHERE (tenant, parent_ref) IN (SELECT tenant, ref FROM wanted)", maxTokens-len(g.tokens))
		var next []key
		err := p.read(ctx, query, level, func(k key, l lineage) {
			if g.descend(g.stored(k, l)) {
				next = append(next, k)
			}
		})
		if err != nil {
			return err
		}
		level = next
	}
	return nil
}

// read gives the rows of a query about wanted tokens.
func (p *lineagePass) read(ctx context.Context, query string, wanted []key, enter func(key, lineage)) error {
	named, err := ext.NewTable("wanted", ext.Column("tenant", "String"), ext.Column("ref", "String"))
	if err != nil {
		return fmt.Errorf("name tokens: %w", err)
	}
	for _, k := range wanted {
		if err := named.Append(k.tenant, k.ref); err != nil {
			return fmt.Errorf("name tokens: %w", err)
		}
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithExternalTable(named), clickhouse.WithSettings(unbounded))
	return table.Each(ctx, p.conn, query, func(rows driver.Rows) error {
		var k key
		var l lineage
		var at int64
		var b int8
		err := rows.Scan(&k.tenant, &k.ref, &l.parent, &l.other, &at, &l.root, &l.owner.iss, &l.owner.sub, &l.owner.typ, &b, &l.depth, &l.state)
		l.issued, l.basis = event.Time(at), basis(b)
		enter(k, l)
		return err
	})
}

func (p *lineagePass) write(ctx context.Context, tokens []*token, version uint64) error {
	if len(tokens) == 0 {
		return nil
	}
	p.tel.tokens.Add(ctx, int64(len(tokens)))
	return table.Insert(ctx, p.conn, "token_lineage_states (tenant, ref, parent_ref, other_parent_ref, issued_time, root_ref, root_iss, root_sub, root_type, root_basis, depth, state, version)",
		func(add func(...any) error) error {
			for _, t := range tokens {
				l := &t.is
				if err := add(t.tenant, t.ref, l.parent, l.other, time.UnixMicro(int64(l.issued)).UTC(), l.root, l.owner.iss, l.owner.sub, l.owner.typ,
					basisNames[l.basis], l.depth, l.state, version); err != nil {
					return err
				}
			}
			return nil
		})
}
