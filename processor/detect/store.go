package detect

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/table"
)

// store reads and writes what the engine remembers.
type store struct {
	conn   driver.Conn
	limits Limits
	fence  func(context.Context) error
}

// insert prepares a batch, unless another engine is at work.
func (s *store) insert(ctx context.Context, into string) (driver.Batch, error) {
	if err := s.fence(ctx); err != nil {
		return nil, err
	}
	return s.conn.PrepareBatch(ctx, "INSERT INTO "+into)
}

// now is the present by the clock that stored times are of.
func (s *store) now(ctx context.Context) (now time.Time, err error) {
	if err := s.conn.QueryRow(ctx, "SELECT now64(6, 'UTC')").Scan(&now); err != nil {
		return now, fmt.Errorf("ask clickhouse for the time: %w", err)
	}
	return now, nil
}

// passes returns how far each pass of the later enrichment has come.
func (s *store) passes(ctx context.Context) (map[string]time.Time, error) {
	return s.watermarks(ctx, "SELECT pass, max(watermark) FROM pass_progress GROUP BY pass")
}

func (s *store) watermarks(ctx context.Context, sql string) (map[string]time.Time, error) {
	rows, err := s.conn.Query(ctx, sql)
	if err != nil {
		return nil, fmt.Errorf("read progress: %w", err)
	}
	defer rows.Close()
	out := map[string]time.Time{}
	for rows.Next() {
		var name string
		var mark time.Time
		if err := rows.Scan(&name, &mark); err != nil {
			return nil, fmt.Errorf("read progress: %w", err)
		}
		out[name] = mark
	}
	return out, rows.Err()
}

// saveProgress stores the watermarks of a round in one insert.
func (s *store) saveProgress(ctx context.Context, reached map[string]time.Time, now time.Time) error {
	if len(reached) == 0 {
		return nil
	}
	batch, err := s.insert(ctx, "rule_progress (rule, watermark, changed_time)")
	if err != nil {
		return fmt.Errorf("save progress: %w", err)
	}
	defer batch.Close()
	for rule, mark := range reached {
		if err := batch.Append(rule, mark, now); err != nil {
			return fmt.Errorf("save progress: %w", err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("save progress: %w", err)
	}
	return nil
}

// firstStored returns the first stored time from a time on, until another; zero for none.
func (s *store) firstStored(ctx context.Context, from, until time.Time, near time.Duration) (time.Time, error) {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_execution_time": s.limits.Time.Seconds()}))
	return enrich.FirstStored(ctx, s.conn, judged, from, until, near)
}

const findingColumns = `key, tenant, rule, rule_version, subject_key, severity, status, title, summary, subject_sub, actor_sub, server_id, tool_name,
	token_ref, task_id, trace_id, evidence, first_seen, last_seen, coverage, coverage_note, coverage_sources, opened_time, changed_time`

// maxKeys bounds the keys of one look-up, which travel in the query.
const maxKeys = 1000

// findings returns those of the keys that there are, by key.
func (s *store) findings(ctx context.Context, tenants, keys []string) (map[string]*Finding, error) {
	out := make(map[string]*Finding, len(keys))
	for part := range slices.Chunk(keys, maxKeys) {
		list, err := query(ctx, s.conn, "SELECT "+findingColumns+` FROM findings
			WHERE tenant IN (SELECT arrayJoin({tenants:Array(String)})) AND key IN (SELECT arrayJoin({keys:Array(String)}))`,
			clickhouse.Parameters{"tenants": table.Words(tenants), "keys": table.Words(part)})
		if err != nil {
			return nil, err
		}
		for _, f := range list {
			out[f.Key] = f
		}
	}
	return out, nil
}

func query(ctx context.Context, conn driver.Conn, sql string, p clickhouse.Parameters) ([]*Finding, error) {
	rows, err := conn.Query(clickhouse.Context(ctx, clickhouse.WithParameters(p)), sql)
	if err != nil {
		return nil, fmt.Errorf("read findings: %w", err)
	}
	defer rows.Close()
	var out []*Finding
	for rows.Next() {
		f := &Finding{}
		if err := rows.ScanStruct(f); err != nil {
			return nil, fmt.Errorf("read findings: %w", err)
		}
		out = append(out, f)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read findings: %w", err)
	}
	return out, nil
}

// save writes states of findings in one insert.
func (s *store) save(ctx context.Context, changed []*Finding) error {
	if len(changed) == 0 {
		return nil
	}
	batch, err := s.insert(ctx, "finding_states ("+findingColumns+")")
	if err != nil {
		return fmt.Errorf("save findings: %w", err)
	}
	defer batch.Close()
	for _, f := range changed {
		if err := batch.AppendStruct(f); err != nil {
			return fmt.Errorf("save finding %s: %w", f.Key, err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("save %d findings: %w", len(changed), err)
	}
	return nil
}

// saveTurns appends to the history of findings.
func (s *store) saveTurns(ctx context.Context, turns []turn) error {
	if len(turns) == 0 {
		return nil
	}
	batch, err := s.insert(ctx, "finding_history (tenant, key, time, id, action, comment)")
	if err != nil {
		return fmt.Errorf("save history: %w", err)
	}
	defer batch.Close()
	for _, t := range turns {
		if err := batch.Append(t.Tenant, t.Key, t.ChangedTime, t.id(), t.action, t.Summary); err != nil {
			return fmt.Errorf("save history of finding %s: %w", t.Key, err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("save history of %d findings: %w", len(turns), err)
	}
	return nil
}
