package notify

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// DeadLetter is a message that was given up.
type DeadLetter struct {
	Tenant   string    `json:"tenant" ch:"tenant"`
	Time     time.Time `json:"time" ch:"time"`
	Outlet   string    `json:"outlet" ch:"sink"`
	Key      string    `json:"finding" ch:"key"`
	ID       uuid.UUID `json:"id" ch:"id"`
	Attempts uint32    `json:"attempts" ch:"attempts"`
	Error    string    `json:"error" ch:"error"`
	Payload  string    `json:"payload" ch:"payload"`
}

// Undelivered returns dead letters, the newest first; an empty tenant or outlet is all.
func Undelivered(ctx context.Context, conn driver.Conn, tenant, outlet string, limit int) ([]*DeadLetter, error) {
	if tenant != "" && !event.ValidTenant(tenant) || outlet != "" && !outletName.MatchString(outlet) {
		return nil, fmt.Errorf("tenant %q, outlet %q: want names of lower-case letters, digits, - and _", tenant, outlet)
	}
	rows, err := conn.Query(clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"tenant": tenant, "sink": outlet, "limit": fmt.Sprint(limit)})),
		`SELECT tenant, time, sink, key, id, attempts, error, payload FROM finding_dead_letters
		WHERE ({tenant:String} = '' OR tenant = {tenant:String}) AND ({sink:String} = '' OR sink = {sink:String}) ORDER BY time DESC, key LIMIT {limit:UInt32}`)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	defer rows.Close()
	var out []*DeadLetter
	for rows.Next() {
		d := &DeadLetter{}
		if err := rows.ScanStruct(d); err != nil {
			return nil, fmt.Errorf("read dead letters: %w", err)
		}
		out = append(out, d)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	return out, nil
}

// Again has outlets told of the findings of dead letters once more, as the
// findings stand then. conn wants the grants of a notifier.
func Again(ctx context.Context, conn driver.Conn, letters []*DeadLetter) error {
	return table.Insert(ctx, conn, "finding_deliveries (sink, tenant, key, revision, updated_time)", func(add func(...any) error) error {
		for _, d := range letters {
			if err := add(d.Outlet, d.Tenant, d.Key, "", time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
}
