package retain

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/schemas/table"
)

// Append writes an act. It checks nothing.
func Append(ctx context.Context, conn driver.Conn, a *Act) error {
	return table.Insert(ctx, conn, "retention_acts (tenant, time, id, action, kind, days, hold, subject, server, from_time, to_time, person, actor_iss, actor_sub, reason, event_id)", func(add func(...any) error) error {
		return add(a.Tenant, a.Time, a.ID, a.Action, a.Kind, a.Days, a.Hold, a.Subject, a.Server, bound(a.From), bound(a.To), a.Person, a.ActorIss, a.ActorSub, a.Reason, a.EventID)
	})
}

// bound is a time as columns have it, where 1970 is none.
func bound(t time.Time) time.Time {
	if t.IsZero() {
		return time.Unix(0, 0)
	}
	return t
}

// Acts are those of a tenant, or of all that conn sees, the oldest first.
func Acts(ctx context.Context, conn driver.Conn, tenant string) ([]*Act, error) {
	var out []*Act
	err := each(ctx, conn, `SELECT tenant, time, id, toString(action) AS action, kind, days, hold, subject, server, from_time, to_time, person, actor_iss, actor_sub, reason, event_id
		FROM retention_acts WHERE ({tenant:String} = '' OR tenant = {tenant:String}) ORDER BY tenant, time, id LIMIT 1 BY tenant, id`, clickhouse.Parameters{"tenant": tenant}, func(rows driver.Rows) error {
		a := &Act{}
		err := rows.ScanStruct(a)
		a.Time, a.From, a.To = a.Time.UTC(), unbound(a.From), unbound(a.To)
		out = append(out, a)
		return err
	})
	return out, err
}

func unbound(t time.Time) time.Time {
	if t.Unix() <= 0 {
		return time.Time{}
	}
	return t.UTC()
}

// sealed are the acts that events show. What no act can be read from lets nothing
// be deleted, and is an error.
func sealed(ctx context.Context, conn driver.Conn) ([]*Act, error) {
	var out []*Act
	err := each(ctx, conn, `SELECT tenant, source_event_id, time, id, subject_iss, subject_sub, attributes FROM events
		WHERE type = '`+TypeChange+`' AND source_id = '`+Source+`' AND attributes['`+attrAction+`'] != '' AND outcome = 'success' ORDER BY tenant, time`, nil, func(rows driver.Rows) error {
		var tenant, said, iss, sub string
		var at time.Time
		var id uuid.UUID
		var attributes map[string]string
		if err := rows.Scan(&tenant, &said, &at, &id, &iss, &sub, &attributes); err != nil {
			return err
		}
		of, err := uuid.Parse(said)
		if err != nil {
			return fmt.Errorf("event %s: %w", id, err)
		}
		a, err := actOf(of, id, tenant, at, attributes)
		if err == nil {
			a.ActorIss, a.ActorSub = iss, sub
			out = append(out, a)
		}
		return err
	})
	return out, err
}

// each calls row for each row of the answer.
func each(ctx context.Context, conn driver.Conn, sql string, p clickhouse.Parameters, row func(driver.Rows) error) error {
	if err := table.Each(clickhouse.Context(ctx, clickhouse.WithParameters(p)), conn, sql, row); err != nil {
		return fmt.Errorf("read how long records are kept: %w", err)
	}
	return nil
}
