package worklist

import (
	"context"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/schemas/table"
)

// Difference is an act that the history of findings and the sealed log tell
// differently.
type Difference struct {
	// Kind is "row_missing": the log has an act that the history lacks;
	// "event_missing": the history has one that the log lacks; "altered": they say
	// different things of it.
	Kind    string    `json:"kind" ch:"kind"`
	Tenant  string    `json:"tenant" ch:"tenant"`
	Key     string    `json:"finding" ch:"finding"`
	EventID uuid.UUID `json:"event_id" ch:"event"`
	Time    time.Time `json:"time" ch:"act_time"`
	Action  string    `json:"action" ch:"act"`
	Actor   string    `json:"actor" ch:"actor"`
}

// Verify compares the acts on findings between two times with the events that
// are their evidence; an empty tenant is all. An act that was recorded and then
// failed, which another event says, is no difference. It takes the events as they
// are stored; whether those are what was sealed is another question.
func Verify(ctx context.Context, conn driver.Conn, tenant string, from, to time.Time) ([]*Difference, error) {
	return rows[Difference](ctx, conn, `
		SELECT multiIf(h.tenant = '', 'row_missing', e.tenant = '', 'event_missing', 'altered') AS kind,
			if(e.tenant != '', toString(e.tenant), toString(h.tenant)) AS tenant, if(e.tenant != '', e.key, toString(h.key)) AS finding,
			if(e.tenant != '', e.event, h.event) AS event, if(e.tenant != '', e.time, h.time) AS act_time,
			if(e.tenant != '', e.action, h.action) AS act, if(e.tenant != '', e.actor, h.actor) AS actor
		FROM
		(
			SELECT tenant, id AS event, time, attributes['finding'] AS key, attributes['action'] AS action, subject_sub AS actor, attributes['assignee'] AS assignee,
				attributes['comment'] AS comment, parseDateTime64BestEffortOrZero(attributes['until'], 6, 'UTC') AS until, request_id
			FROM events
			WHERE type = 'custody.change' AND source_id = 'custody' AND outcome = 'success' AND attributes['finding'] != '' AND attributes['repeated'] = ''
				AND time >= {from:DateTime64(6, 'UTC')} AND time < {to:DateTime64(6, 'UTC')} AND toStartOfHour(time) >= toStartOfHour({from:DateTime64(6, 'UTC')})
				AND ({tenant:String} = '' OR tenant = {tenant:String})
				AND (tenant, request_id) NOT IN (SELECT tenant, request_id FROM events WHERE type = 'custody.change' AND source_id = 'custody' AND outcome = 'error' AND request_id != ''
					AND time >= {from:DateTime64(6, 'UTC')} AND toStartOfHour(time) >= toStartOfHour({from:DateTime64(6, 'UTC')}))
		) AS e
		FULL OUTER JOIN
		(
			SELECT tenant, event_id AS event, time, key, toString(action) AS action, actor_sub AS actor, assignee, comment, until
			FROM finding_history
			WHERE actor_sub != '' AND time >= {from:DateTime64(6, 'UTC')} AND time < {to:DateTime64(6, 'UTC')} AND ({tenant:String} = '' OR tenant = {tenant:String})
			LIMIT 1 BY id
		) AS h ON h.tenant = e.tenant AND h.event = e.event
		WHERE e.tenant = '' OR h.tenant = ''
			OR (e.key, e.action, e.actor, e.assignee, e.comment, e.until, e.time) != (toString(h.key), h.action, h.actor, h.assignee, h.comment, h.until, h.time)
		ORDER BY act_time, event LIMIT 10000`,
		clickhouse.Parameters{"tenant": table.Text(tenant), "from": table.Micro(from), "to": table.Micro(to)})
}
