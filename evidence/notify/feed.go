package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/evidence/export"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/worklist"
	"github.com/custody-audit/custody/schemas/table"
)

// changed are findings that may stand otherwise than an outlet was told, and
// waiting those that do. A look begins behind the last change that it was told of.
const (
	since = `(SELECT greatest(max(updated_time), toDateTime64(86400, 6, 'UTC')) - toIntervalMillisecond({overlap:UInt32}) FROM finding_deliveries WHERE sink = {sink:String} AND revision != '')`

	changed = `SELECT tenant, key FROM finding_states WHERE changed_time >= ` + since + `
		UNION ALL SELECT tenant, key FROM finding_history WHERE time >= ` + since + ` OR action = 'excepted' AND until >= ` + since + ` AND until <= now64(6)
		UNION ALL SELECT tenant, key FROM finding_deliveries FINAL WHERE sink = {sink:String} AND revision = ''`

	waiting = `SELECT ` + worklist.Columns + ` FROM worklist
		WHERE (tenant, key) IN (` + changed + `)
			AND (tenant, key, revision) NOT IN (SELECT tenant, key, revision FROM finding_deliveries FINAL WHERE sink = {sink:String})
			AND (empty({tenants:Array(String)}) OR has({tenants:Array(String)}, tenant)) AND toInt8(severity) >= {least:Int8}
		ORDER BY updated_time, tenant, key LIMIT {limit:UInt32}`
)

// pending returns what an outlet is to be told next.
func (n *Notifier) pending(ctx context.Context, outlet string) ([]*Message, error) {
	p := clickhouse.Parameters{
		"sink": outlet, "overlap": fmt.Sprint(n.cfg.Overlap.Milliseconds()), "tenants": table.Words(n.cfg.Tenants),
		"least": fmt.Sprint(1 + max(0, slices.Index(detect.Severities, n.cfg.AtLeast))), "limit": fmt.Sprint(BatchMessages),
	}
	var candidates uint64
	if err := n.cfg.ClickHouse.QueryRow(clickhouse.Context(ctx, clickhouse.WithParameters(p)), "SELECT count() FROM ("+changed+")").Scan(&candidates); err != nil || candidates == 0 {
		return nil, err // mostly nothing changed, which costs less to find out
	}
	found, err := worklist.Read(ctx, n.cfg.ClickHouse, waiting, p)
	if err != nil {
		return nil, err
	}
	out := make([]*Message, len(found))
	for i, f := range found {
		m := &Message{ID: uuid.NewSHA1(uuid.Nil, []byte(f.Key+" "+f.Revision)), Finding: f}
		if m.Body, err = json.Marshal(export.ToOCSFFinding(f, n.cfg.Rules.Rule(f.Rule), m.ID.String())); err != nil {
			return nil, fmt.Errorf("finding %s: %w", f.Key, err)
		}
		out[i] = m
	}
	return out, nil
}

// saveDelivered remembers what an outlet was told.
func (n *Notifier) saveDelivered(ctx context.Context, outlet string, messages []*Message) error {
	return table.Insert(ctx, n.cfg.ClickHouse, "finding_deliveries (sink, tenant, key, revision, updated_time)", func(add func(...any) error) error {
		for _, m := range messages {
			if err := add(outlet, m.Finding.Tenant, m.Finding.Key, m.Finding.Revision, m.Finding.UpdatedTime); err != nil {
				return err
			}
		}
		return nil
	})
}

// bury keeps a message that was given up, and goes on behind it.
func (n *Notifier) bury(ctx context.Context, outlet string, m *Message, attempts int, cause error) error {
	err := table.Insert(ctx, n.cfg.ClickHouse, "finding_dead_letters (tenant, time, sink, key, id, attempts, error, payload)", func(add func(...any) error) error {
		return add(m.Finding.Tenant, time.Now(), outlet, m.Finding.Key, m.ID, uint32(attempts), clip(cause.Error()), string(m.Body))
	})
	if err != nil {
		return err
	}
	return n.saveDelivered(ctx, outlet, []*Message{m})
}

// clip bounds what others say.
func clip(s string) string {
	const most = 500
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strings.ToValidUTF8(s, "\ufffd")
}
