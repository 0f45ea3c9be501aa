package enrich

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/schemas/table"
)

// rhythmPass keeps rhythm_states: who called what how often, by hours of the week.
// It counts minutes of storing, as the activity pass does.
type rhythmPass struct{ conn driver.Conn }

const rhythmQuery = `INSERT INTO rhythm_states (tenant, week_hour, iss, sub, hour, stored_hour, server_id, tool_name, outcome, minutes, first, last_time)
SELECT tenant, (toDayOfWeek(hour) - 1) * 24 + toHour(hour) AS week_hour, iss, sub, hour, stored_hour, server_id, tool_name, outcome,
	mapFromArrays(groupArray(minute), groupArray(events)) AS minutes, min(first_of) AS first, max(last_of) AS last_time
FROM
(
	SELECT tenant, if(actor_sub != '', actor_iss, subject_iss) AS iss, if(actor_sub != '', actor_sub, subject_sub) AS sub,
		toStartOfHour(time) AS hour, toStartOfHour(stored_time) AS stored_hour, server_id, tool_name, outcome, toUInt8(toMinute(stored_time)) AS minute,
		count() AS events, min((time, id)) AS first_of, max(time) AS last_of
	FROM records
	WHERE state = 'stored' AND stored_time >= toStartOfMinute({from:DateTime64(6, 'UTC')}) AND stored_time < {to:DateTime64(6, 'UTC')}
		AND type = 'mcp.tools.call' AND (actor_sub != '' OR subject_sub != '')
	GROUP BY tenant, iss, sub, hour, stored_hour, server_id, tool_name, outcome, minute
)
GROUP BY tenant, iss, sub, hour, stored_hour, server_id, tool_name, outcome`

func (p *rhythmPass) take(ctx context.Context, from, to time.Time) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"from": table.Micro(from), "to": table.Micro(to)}), clickhouse.WithSettings(settings))
	if err := p.conn.Exec(ctx, rhythmQuery); err != nil {
		return fmt.Errorf("take in who called what how often: %w", err)
	}
	return nil
}
