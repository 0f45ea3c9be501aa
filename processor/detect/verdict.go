package detect

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// verdict is a row of a rule's answer: about one thing, whether it is so.
type verdict struct {
	Tenant string
	// SubjectKey is what it is about; with tenant and rule it is the finding's key.
	SubjectKey []string
	// Violated is false when an open finding about it is not so, or not so any
	// more. A rule is silent about what never was.
	Violated  bool
	Summary   string
	Subject   string
	Actor     string
	Server    string
	Tool      string
	TokenRef  string
	TaskID    string
	TraceID   string
	Evidence  []uuid.UUID
	FirstSeen time.Time
	LastSeen  time.Time
	Coverage  string
	Note      string
	Sources   []string
}

// fields are where the columns of an answer go, which may come in any order.
func (v *verdict) fields() map[string]any {
	return map[string]any{
		"tenant": &v.Tenant, "subject_key": &v.SubjectKey, "violated": &v.Violated, "summary": &v.Summary, "subject_sub": &v.Subject, "actor_sub": &v.Actor,
		"server_id": &v.Server, "tool_name": &v.Tool, "token_ref": &v.TokenRef, "task_id": &v.TaskID, "trace_id": &v.TraceID, "evidence": &v.Evidence,
		"first_seen": &v.FirstSeen, "last_seen": &v.LastSeen, "coverage": &v.Coverage, "coverage_note": &v.Note, "coverage_sources": &v.Sources,
	}
}

// scanned returns where the values of these columns go, in their order; those that no
// verdict has are read and forgotten. Every field wants a column.
func (v *verdict) scanned(columns []string) ([]any, error) {
	fields := v.fields()
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(columns, name) {
			return nil, fmt.Errorf("the answer has no column %s", name)
		}
	}
	out := make([]any, len(columns))
	for i, name := range columns {
		if out[i] = fields[name]; out[i] == nil {
			out[i] = new(any)
		}
	}
	return out, nil
}

// verdicts runs the query of a rule.
func (e *Engine) verdicts(ctx context.Context, t *task, w window) ([]verdict, error) {
	began := time.Now()
	defer func() { e.tel.asked(ctx, t.ID, time.Since(began)) }()
	p := clickhouse.Parameters{"from": table.Micro(w.from), "to": table.Micro(w.to), "delay_ms": fmt.Sprint(t.Schedule.Delay.Milliseconds()), "rule": t.ID}
	for name, value := range t.parameters {
		p[name] = value
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(p), clickhouse.WithSettings(e.cfg.Limits.settings()), e.tel.reading(ctx, t.ID))
	var out []verdict
	err := t.question.Ask(ctx, e.cfg.Sessions, func(rows *sql.Rows) error {
		names, err := rows.Columns()
		if err != nil {
			return err
		}
		var v verdict
		to, err := v.scanned(names)
		if err != nil {
			return err
		}
		for rows.Next() {
			v = verdict{} // nothing of it is shared with the last
			if err := rows.Scan(to...); err != nil {
				return fmt.Errorf("read answer: %w", err)
			}
			out = append(out, v)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ask clickhouse: %w", err)
	}
	return out, nil
}

// judge runs a rule over a window and stores what it changes.
func (e *Engine) judge(ctx context.Context, t *task, w window) (Result, error) {
	verdicts, err := e.verdicts(ctx, t, w)
	if err != nil || len(verdicts) == 0 {
		return Result{}, err
	}
	keys, tenants := make([]string, len(verdicts)), []string{}
	for i, v := range verdicts {
		if !event.ValidTenant(v.Tenant) {
			return Result{}, fmt.Errorf("the answer names tenant %q, which cannot be", v.Tenant)
		}
		keys[i], tenants = Key(v.Tenant, t.ID, v.SubjectKey), append(tenants, v.Tenant)
	}
	slices.Sort(tenants)
	known, err := e.store.findings(ctx, slices.Compact(tenants), keys)
	if err != nil {
		return Result{}, err
	}
	now, err := e.store.now(ctx)
	if err != nil {
		return Result{}, err
	}
	changed, turns, result := settle(t.Rule, verdicts, keys, known, now)
	if err := e.store.saveTurns(ctx, turns); err != nil { // before the states: a kill between repeats the same turns
		return Result{}, err
	}
	return result, e.store.save(ctx, changed)
}
