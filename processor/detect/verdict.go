package detect

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/schemas/event"
)

// verdict is a row of a rule's answer: about one thing, whether it is so.
type verdict struct {
	Tenant string `ch:"tenant"`
	// SubjectKey is what it is about; with tenant and rule it is the finding's key.
	SubjectKey []string `ch:"subject_key"`
	// Violated is false when an open finding about it is not so, or not so any
	// more. A rule is silent about what never was.
	Violated  bool        `ch:"violated"`
	Summary   string      `ch:"summary"`
	Subject   string      `ch:"subject_sub"`
	Actor     string      `ch:"actor_sub"`
	Server    string      `ch:"server_id"`
	Tool      string      `ch:"tool_name"`
	TokenRef  string      `ch:"token_ref"`
	TaskID    string      `ch:"task_id"`
	TraceID   string      `ch:"trace_id"`
	Evidence  []uuid.UUID `ch:"evidence"`
	FirstSeen time.Time   `ch:"first_seen"`
	LastSeen  time.Time   `ch:"last_seen"`
	Coverage  string      `ch:"coverage"`
	Note      string      `ch:"coverage_note"`
	Sources   []string    `ch:"coverage_sources"`
}

// columns of an answer, in any order.
var columns = []string{
	"tenant", "subject_key", "violated", "summary", "subject_sub", "actor_sub", "server_id", "tool_name", "token_ref", "task_id", "trace_id",
	"evidence", "first_seen", "last_seen", "coverage", "coverage_note", "coverage_sources",
}

// ask runs the query of a rule.
func (e *Engine) ask(ctx context.Context, t *task, w window, s clickhouse.Settings) ([]verdict, error) {
	p := clickhouse.Parameters{"from": micro(w.from), "to": micro(w.to), "delay_ms": fmt.Sprint(t.Schedule.Delay.Milliseconds())}
	for name, value := range t.parameters {
		p[name] = value
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(p), clickhouse.WithSettings(s), e.tel.reading(ctx, t.ID))
	rows, err := e.cfg.ClickHouse.Query(ctx, t.SQL)
	if err != nil {
		return nil, fmt.Errorf("ask clickhouse: %w", err)
	}
	defer rows.Close()
	for _, c := range columns {
		if !slices.Contains(rows.Columns(), c) {
			return nil, fmt.Errorf("the answer has no column %s", c)
		}
	}
	var out []verdict
	for rows.Next() {
		var v verdict
		if err := rows.ScanStruct(&v); err != nil {
			return nil, fmt.Errorf("read answer: %w", err)
		}
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("ask clickhouse: %w", err)
	}
	return out, nil
}

// micro writes a time as ClickHouse parses DateTime64(6) in UTC.
func micro(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000000") }

// verdicts asks until ClickHouse answers with more than its own fault, at last in a
// way in which it cannot make it.
func (e *Engine) verdicts(ctx context.Context, t *task, w window) ([]verdict, error) {
	began := time.Now()
	defer func() { e.tel.asked(ctx, t.ID, time.Since(began)) }()
	verdicts, err := e.ask(ctx, t, w, e.cfg.Limits.settings())
	for again := 0; raced(err) && again < 3; again++ {
		verdicts, err = e.ask(ctx, t, w, e.cfg.Limits.settings())
	}
	if raced(err) {
		return e.ask(ctx, t, w, plain(e.cfg.Limits.settings()))
	}
	return verdicts, err
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
