package worklist

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
)

// Entry is one thing that happened to a finding.
type Entry struct {
	ID     uuid.UUID `json:"id" ch:"id"`
	Time   time.Time `json:"time" ch:"time"`
	Action string    `json:"action" ch:"action"`
	// ActorIss and ActorSub are who did it; empty: the detections.
	ActorIss string    `json:"actor_iss,omitempty" ch:"actor_iss"`
	ActorSub string    `json:"actor_sub,omitempty" ch:"actor_sub"`
	Assignee string    `json:"assignee,omitempty" ch:"assignee"`
	Until    time.Time `json:"until,omitzero" ch:"until"`
	Comment  string    `json:"comment,omitempty" ch:"comment"`
	// EventID is the event that is the evidence of it; zero for the detections.
	EventID uuid.UUID `json:"event_id,omitzero" ch:"event_id"`
}

// Same tells whether the entry is the act.
func (e *Entry) Same(a *Act) bool {
	return e.Action == string(a.Action) && e.ActorSub == a.ActorSub && e.Assignee == a.Assignee && e.Comment == a.Comment && e.Until.Equal(a.Until)
}

// History returns what happened to a finding, the oldest first.
func History(ctx context.Context, conn driver.Conn, tenant, key string) ([]*Entry, error) {
	out, err := rows[Entry](ctx, conn, `SELECT id, time, action, actor_iss, actor_sub, assignee, until, comment, event_id FROM finding_history
		WHERE tenant = {tenant:String} AND key = {key:String} ORDER BY time, id LIMIT 1 BY id LIMIT 10000`, clickhouse.Parameters{"tenant": tenant, "key": key})
	for _, e := range out {
		if e.Until.Unix() <= 0 {
			e.Until = time.Time{}
		}
	}
	return out, err
}

// Append writes an act on a finding as the actor saw it. It checks nothing.
func Append(ctx context.Context, conn driver.Conn, f *Finding, a *Act) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO finding_history (tenant, key, time, id, action, actor_iss, actor_sub, assignee, until, comment, last_seen, evidence, event_id)")
	if err != nil {
		return fmt.Errorf("append to history: %w", err)
	}
	defer batch.Close()
	until := a.Until
	if until.IsZero() {
		until = time.Unix(0, 0)
	}
	if err := batch.Append(f.Tenant, f.Key, a.Time, a.ID, string(a.Action), a.ActorIss, a.ActorSub, a.Assignee, until, a.Comment, f.LastSeen, f.Evidence, a.EventID); err != nil {
		return fmt.Errorf("append to history of finding %s: %w", f.Key, err)
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("append to history of finding %s: %w", f.Key, err)
	}
	return nil
}
