package query

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
)

// Which events a radius is made of.
const (
	hoursInWindow = "toStartOfHour(time) >= toStartOfHour(fromUnixTimestamp64Micro(toInt64({from:String}), 'UTC'))"

	keysOfTokens = "FROM event_keys WHERE " + tenant + " AND relation IN ('presented', 'issued') AND key IN {refs:Array(String)} AND " + inWindow

	// ofTokens are those of tokens, found by event_keys and the hours that it names.
	ofTokens = "(tenant, toStartOfHour(time)) IN (SELECT tenant, toStartOfHour(time) " + keysOfTokens + ") AND id IN (SELECT event_id " + keysOfTokens + ")"
)

// byClaims are the events that name somebody: as subject, as actor, or further
// back in the act claim. No column is read that need not be.
func byClaims(s start) string {
	if s.more == "" {
		return "(actor_sub = {sub:String} OR subject_sub = {sub:String} OR has(chain_sub, {sub:String}))"
	}
	return "(" + byPrincipal + " OR arrayExists((s, i) -> s = {sub:String} AND i = {iss:String}, chain_sub, chain_iss))"
}

func blastParameters(o ChainOptions, refs []string, more parameters) parameters {
	p := maps.Clone(more)
	from := int64(0)
	if !o.From.IsZero() {
		from = o.From.UnixMicro()
	}
	p["from"], p["to"] = strconv.FormatInt(from, 10), strconv.FormatInt(o.To.UnixMicro(), 10)
	p["refs"] = array(refs)
	return p
}

// tokensOf returns the newest tokens that were issued in somebody's name. Who is
// busy has them in the last hour or days, and no more need be read.
func (b *blast) tokensOf(ctx context.Context, r *Reader, named string, o ChainOptions, who parameters) (refs []string, err error) {
	for hours := 1; ; hours *= 5 {
		part := o
		if from := o.To.Add(-time.Duration(hours) * time.Hour); hours < 100_000 && from.After(o.From) {
			part.From = from
		}
		p := blastParameters(part, nil, who)
		p["limit"] = strconv.Itoa(MaxBlastTokens + 1)
		refs = refs[:0]
		err = r.rows(ctx, "SELECT "+enrich.TokenRef+" AS ref FROM events WHERE "+tenant+
			" AND kind IN ('token_exchange', 'credential') AND "+hoursInWindow+" AND "+inWindow+" AND "+named+" AND ref != '' ORDER BY time DESC LIMIT {limit:UInt32}", p,
			func(rows driver.Rows) error { return scanInto(rows, &refs) })
		if err != nil || len(refs) > MaxBlastTokens || part.From.Equal(o.From) {
			break
		}
	}
	if len(refs) > MaxBlastTokens {
		refs = refs[:MaxBlastTokens]
		b.Cut = append(b.Cut, fmt.Sprintf("what was derived, without saying so, from tokens before the newest %d", MaxBlastTokens))
	}
	return refs, err
}

// scanInto appends the one text of a row.
func scanInto(rows driver.Rows, list *[]string) error {
	var text string
	err := rows.Scan(&text)
	*list = append(*list, text)
	return err
}

// count adds up what the events touched, inside ClickHouse, by the pairs of who
// and with what.
func (b *blast) count(ctx context.Context, r *Reader, which string, refs []string, o ChainOptions, more parameters) error {
	p := blastParameters(o, refs, more)
	p["limit"] = strconv.Itoa(maxBlastGroups)
	n := 0
	err := r.rows(ctx, `SELECT toString(kind), toString(tenant), toString(server_id), toString(tool_name), toString(upstream),
		if(actor_sub != '', actor_sub, subject_sub) AS holder_sub, toString(if(actor_sub != '', actor_iss, subject_iss)) AS holder_iss,
		count(), countIf(outcome IN ('success', 'failure')), countIf(outcome = 'denied'), min(time) AS first, max(time) AS last,
		toString(argMaxIf(server_sensitivity, time, server_sensitivity != '')), toString(argMaxIf(tool_sensitivity, time, tool_sensitivity != '')),
		toString(argMaxIf(server_owner, time, server_owner != '')), toString(argMaxIf(tool_owner, time, tool_owner != '')), max(tool_destructive)
		FROM events WHERE `+tenant+" AND kind IN ('tool_invocation', 'token_exchange', 'permission_decision') AND "+which+" AND "+inWindow+`
		GROUP BY kind, tenant, server_id, tool_name, upstream, holder_sub, holder_iss ORDER BY count() DESC LIMIT {limit:UInt32}`, p,
		func(rows driver.Rows) error {
			n++
			return b.addGroup(rows)
		})
	if n >= maxBlastGroups {
		b.Cut = append(b.Cut, fmt.Sprintf("what was touched least, after %d pairs of holder and tool", maxBlastGroups))
	}
	return err
}

// group is the calls of one holder with one tool.
type group struct {
	kind, tenant, server, tool, resource, sub, iss             string
	serverSensitivity, toolSensitivity, serverOwner, toolOwner string
	destructive                                                bool
	count, ran, denied                                         uint64
	first, last                                                event.Time
}

func (b *blast) add(g *group) {
	if b.First == 0 || g.first < b.First {
		b.First = g.first
	}
	b.Last = max(b.Last, g.last)
	switch event.Kind(g.kind) {
	case event.TokenExchange:
		b.Exchanges += g.count
		return
	case event.PermissionDecision:
		b.Decisions += g.count
		return
	}
	b.Calls, b.Ran, b.Denied = b.Calls+g.count, b.Ran+g.ran, b.Denied+g.denied
	holder := g.sub
	if g.iss != "" {
		holder += "@" + g.iss
	}
	sensitivity, owner := cmp.Or(g.toolSensitivity, g.serverSensitivity), cmp.Or(g.toolOwner, g.serverOwner)
	b.touch(g, Touched{Tenant: g.tenant}, "", "", false)
	b.touch(g, Touched{Tenant: g.tenant, Server: g.server}, g.serverSensitivity, g.serverOwner, false)
	b.touch(g, Touched{Tenant: g.tenant, Server: g.server, Tool: g.tool}, sensitivity, owner, g.destructive)
	b.touch(g, Touched{Holder: holder}, "", "", false)
	b.touch(g, Touched{Sensitivity: cmp.Or(sensitivity, "not stated")}, "", "", false)
	if g.resource != "" {
		b.touch(g, Touched{Tenant: g.tenant, Server: g.server, Resource: g.resource}, sensitivity, "", false)
	}
}

// touch counts the group for one thing. A sensitivity that was not stated later
// stands.
func (b *blast) touch(g *group, what Touched, sensitivity, owner string, destructive bool) {
	t := b.touched[what]
	if t == nil {
		c := what
		t = &c
		t.First = g.first
		b.touched[what] = t
	}
	if g.last >= t.Last {
		t.Sensitivity, t.Owner = cmp.Or(sensitivity, t.Sensitivity), cmp.Or(owner, t.Owner)
	}
	t.Destructive = t.Destructive || destructive
	t.Calls, t.Ran, t.Denied = t.Calls+g.count, t.Ran+g.ran, t.Denied+g.denied
	t.First, t.Last = min(t.First, g.first), max(t.Last, g.last)
}

// finish sorts what was touched into its lists.
func (b *blast) finish() {
	for what, t := range b.touched {
		list := &b.Tenants
		switch {
		case what.Holder != "":
			list = &b.Holders
		case what.Resource != "":
			list = &b.Resources
		case what.Tool != "":
			list = &b.Tools
		case what.Server != "":
			list = &b.Servers
		case what.Tenant == "":
			list = &b.Sensitivities
		}
		*list = append(*list, *t)
	}
	for _, list := range []*[]Touched{&b.Tenants, &b.Servers, &b.Tools, &b.Resources, &b.Sensitivities, &b.Holders} {
		slices.SortFunc(*list, func(x, y Touched) int {
			return cmp.Or(cmp.Compare(y.Calls, x.Calls), cmp.Compare(x.Tenant, y.Tenant), cmp.Compare(x.Server, y.Server), cmp.Compare(x.Tool, y.Tool),
				cmp.Compare(x.Resource, y.Resource), cmp.Compare(x.Holder, y.Holder), cmp.Compare(x.Sensitivity, y.Sensitivity))
		})
		if *list == nil {
			*list = []Touched{}
		}
	}
	slices.SortFunc(b.Live, func(x, y LiveToken) int {
		return cmp.Or(cmp.Compare(x.ExpiresAt, y.ExpiresAt), cmp.Compare(x.Tenant, y.Tenant), cmp.Compare(x.TokenRef, y.TokenRef))
	})
	if b.Live == nil {
		b.Live = []LiveToken{}
	}
}

// live lists those of the tokens that nothing says to have ended by To.
func (b *blast) live(ctx context.Context, r *Reader, refs []string, o ChainOptions) error {
	if len(refs) == 0 {
		return nil
	}
	p := blastParameters(o, refs, parameters{})
	p["limit"] = strconv.Itoa(maxBlastLive + 1)
	before := len(b.Live)
	err := r.rows(ctx, `SELECT toString(tenant), `+enrich.TokenRef+` AS ref, toString(argMaxIf(token_iss, time, kind != 'token_exchange' AND token_iss != '')),
		argMax((toString(subject_iss), subject_sub, toString(subject_type)), time), argMax((toString(actor_iss), actor_sub, toString(actor_type)), (actor_sub != '', time)),
		argMax(arrayMap(a -> toString(a), if(kind = 'token_exchange', arrayConcat(exchange_resource, exchange_requested_audience), token_audience)), (kind != 'token_exchange', time)),
		toUnixTimestamp64Micro(max(`+enrich.TokenEnd+`) AS until) AS until_us, max(token_static) AS static, max(time), anyIf(token_jti, kind != 'token_exchange' AND token_jti != '')
		FROM events WHERE `+tenant+" AND "+ofTokens+" AND "+inWindow+" AND "+enrich.TokenValid+` AND ref IN {refs:Array(String)}
		GROUP BY tenant, ref
		HAVING countIf(type = 'credential.revoked') = 0 AND (static OR until_us = 0 OR until > fromUnixTimestamp64Micro(toInt64({to:String}), 'UTC'))
		ORDER BY until LIMIT {limit:UInt32}`, p, func(rows driver.Rows) error { return b.addLive(rows) })
	if err == nil && len(b.Live)-before > maxBlastLive {
		b.Live = b.Live[:before+maxBlastLive]
		b.Cut = append(b.Cut, fmt.Sprintf("valid tokens after the first %d", maxBlastLive))
	}
	if err != nil {
		return err
	}
	return b.revoked(ctx, r, o)
}

// revoked takes out the tokens whose revocation names their jti and no reference,
// as an issuer reports it.
func (b *blast) revoked(ctx context.Context, r *Reader, o ChainOptions) error {
	type id struct{ tenant, jti string }
	var ids []string
	for _, t := range b.Live {
		if t.TokenID != "" {
			ids = append(ids, t.TokenID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	gone := map[id]bool{}
	p := blastParameters(o, ids, parameters{})
	err := r.rows(ctx, "SELECT DISTINCT toString(tenant), token_jti FROM events WHERE "+tenant+" AND kind = 'credential' AND type = 'credential.revoked' AND "+hoursInWindow+" AND "+inWindow+
		" AND token_jti IN {refs:Array(String)}", p, func(rows driver.Rows) error {
		var of id
		err := rows.Scan(&of.tenant, &of.jti)
		gone[of] = true
		return err
	})
	b.Live = slices.DeleteFunc(b.Live, func(t LiveToken) bool { return gone[id{t.Tenant, t.TokenID}] })
	return err
}

func (b *blast) addLive(rows driver.Rows) error {
	var t LiveToken
	var subject, actor []any
	var until int64
	var last time.Time
	if err := rows.Scan(&t.Tenant, &t.TokenRef, &t.Issuer, &subject, &actor, &t.Audience, &until, &t.Static, &last, &t.TokenID); err != nil {
		return err
	}
	t.Subject, t.Holder = partyOf(subject), partyOf(actor)
	if t.Holder.Sub == "" {
		t.Holder = t.Subject
	}
	t.Issuer = cmp.Or(t.Issuer, t.Subject.Iss)
	t.ExpiresAt, t.LastUsed = event.Time(until), event.TimeOf(last)
	b.Live = append(b.Live, t)
	return nil
}

func partyOf(tuple []any) event.Party {
	text := func(i int) string { s, _ := tuple[i].(string); return s }
	return event.Party{Iss: text(0), Sub: text(1), Type: event.PartyType(text(2))}
}
