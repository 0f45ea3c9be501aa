package enrich

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/schemas/table"
)

// firstSeenPass keeps first_seen_states: since when who was seen with what.
// ClickHouse does all of it; the same again changes nothing.
type firstSeenPass struct{ conn driver.Conn }

// Who is whoever acted, the subject where nobody acts for it. A path begins with
// the subject; chain_sub begins with the actor.
const firstSeenQuery = `INSERT INTO first_seen_states (tenant, what, iss, sub, object, first, last_time)
WITH
	arrayMap((s, i) -> if(i = '', s, concat(s, '@', i)), chain_sub, arrayMap(i -> toString(i), chain_iss)) AS actors,
	if(subject_iss = '', subject_sub, concat(subject_sub, '@', subject_iss)) AS subject,
	if(actor_iss = '', actor_sub, concat(actor_sub, '@', actor_iss)) AS actor
SELECT tenant, seen.1 AS what, if(actor_sub != '', actor_iss, subject_iss) AS iss, if(actor_sub != '', actor_sub, subject_sub) AS sub,
	seen.2 AS object, min((time, id)) AS first, max(time) AS last_time
FROM records
ARRAY JOIN arrayFilter(x -> notEmpty(x.2), [
	('tool', if(kind = 'tool_invocation' AND tool_name != '', [toString(server_id), toString(tool_name)], [])),
	('server', if(kind = 'tool_invocation' AND server_id != '', [toString(server_id)], [])),
	('client', if(client_id != '' OR client_name != '', [client_id, toString(client_name)], [])),
	('path', multiIf(actor_sub = '' OR chain_malformed != '', [], notEmpty(actors), arrayConcat([subject], arrayReverse(actors)), [subject, actor])),
	('issuer', if(token_iss != '' AND kind IN ('tool_invocation', 'token_exchange'), [toString(token_iss)], []))
]) AS seen
WHERE state = 'stored' AND stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')} AND (actor_sub != '' OR subject_sub != '')
GROUP BY tenant, what, iss, sub, object`

// firstAudienceQuery is a pass of its own: it was added later, and takes in what
// had been stored before.
const firstAudienceQuery = `INSERT INTO first_seen_states (tenant, what, iss, sub, object, first, last_time)
SELECT tenant, 'audience' AS what, if(actor_sub != '', actor_iss, subject_iss) AS iss, if(actor_sub != '', actor_sub, subject_sub) AS sub,
	[toString(audience)] AS object, min((time, id)) AS first, max(time) AS last_time
FROM records
ARRAY JOIN arrayDistinct(arrayConcat(token_audience, exchange_requested_audience, exchange_resource)) AS audience
WHERE state = 'stored' AND stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')} AND (actor_sub != '' OR subject_sub != '')
	AND kind IN ('tool_invocation', 'token_exchange') AND outcome IN ('success', 'failure') AND audience != ''
GROUP BY tenant, what, iss, sub, object`

func (p *firstSeenPass) takeAudiences(ctx context.Context, from, to time.Time) error {
	return p.exec(ctx, firstAudienceQuery, from, to)
}

func (p *firstSeenPass) take(ctx context.Context, from, to time.Time) error {
	return p.exec(ctx, firstSeenQuery, from, to)
}

func (p *firstSeenPass) exec(ctx context.Context, sql string, from, to time.Time) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"from": table.Micro(from), "to": table.Micro(to)}), clickhouse.WithSettings(settings))
	if err := p.conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("take in who was seen with what: %w", err)
	}
	return nil
}
