package worklist

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/schemas/table"
)

// ErrNotFound says that there is no such finding, ErrSeveral that several have
// keys which begin so.
var (
	ErrNotFound = errors.New("no such finding")
	ErrSeveral  = errors.New("that of several findings: give more digits")
)

// Filter narrows the findings; what is empty does not, but for Status.
type Filter struct {
	// Status is one of Statuses; empty is Active.
	Status                                  string
	Tenant, Rule, Assignee, Identity, Chain string
	// AtLeast is the least severity.
	AtLeast detect.Severity
	// Limit is the most findings or groups; 0 is 100.
	Limit int
}

func (f *Filter) parameters() (clickhouse.Parameters, error) {
	if f.Status == "" {
		f.Status = Active
	}
	if f.AtLeast == "" {
		f.AtLeast = detect.Severities[0]
	}
	if f.Limit == 0 {
		f.Limit = 100
	}
	least := 1 + slices.Index(detect.Severities, f.AtLeast)
	switch {
	case least == 0:
		return nil, fmt.Errorf("severity %q: want one of %v", f.AtLeast, detect.Severities)
	case !slices.Contains(Statuses, f.Status):
		return nil, fmt.Errorf("status %q: want one of %v", f.Status, Statuses)
	case f.Limit < 1 || f.Limit > 10_000:
		return nil, fmt.Errorf("limit %d: want 1 to 10000", f.Limit)
	}
	return clickhouse.Parameters{
		"tenant": table.Text(f.Tenant), "rule": table.Text(f.Rule), "status": f.Status, "active": table.Words(active),
		"assignee": table.Text(f.Assignee), "identity": table.Text(f.Identity), "chain": table.Text(f.Chain),
		"least": fmt.Sprint(least), "limit": fmt.Sprint(f.Limit),
	}, nil
}

const narrowed = ` FROM worklist
	WHERE ({tenant:String} = '' OR tenant = {tenant:String}) AND ({rule:String} = '' OR rule = {rule:String})
		AND ({status:String} = 'all' OR status = {status:String} OR {status:String} = 'active' AND status IN {active:Array(String)})
		AND ({assignee:String} = '' OR assignee = {assignee:String}) AND ({identity:String} = '' OR identity = {identity:String})
		AND ({chain:String} = '' OR chain = {chain:String}) AND toInt8(severity) >= {least:Int8}`

// Columns are those of a [Finding] in the view worklist.
const Columns = `key, tenant, rule, rule_version, subject_key, severity, status, title, summary, subject_sub, actor_sub, server_id, tool_name,
	token_ref, task_id, trace_id, evidence, first_seen, last_seen, coverage, coverage_note, coverage_sources, opened_time, changed_time,
	identity, chain, assignee, handled_by, handled_time, reason, excepted_until, updated_time, revision`

// List returns findings, the severest and then the newest first, as the user of
// conn may see them.
func List(ctx context.Context, conn driver.Conn, f Filter) ([]*Finding, error) {
	p, err := f.parameters()
	if err != nil {
		return nil, err
	}
	return Read(ctx, conn, "SELECT "+Columns+narrowed+" ORDER BY severity DESC, last_seen DESC, key LIMIT {limit:UInt32}", p)
}

// Find returns the finding whose key begins with the prefix, which must be one
// finding's only.
func Find(ctx context.Context, conn driver.Conn, tenant, prefix string) (*Finding, error) {
	if prefix == "" || strings.Trim(prefix, "0123456789abcdef") != "" {
		return nil, fmt.Errorf("key %q: want hexadecimal digits, the first few suffice", prefix)
	}
	list, err := Read(ctx, conn, "SELECT "+Columns+` FROM worklist
		WHERE ({tenant:String} = '' OR tenant = {tenant:String}) AND startsWith(key, {prefix:String}) LIMIT 2`,
		clickhouse.Parameters{"tenant": table.Text(tenant), "prefix": prefix})
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, fmt.Errorf("key %q: %w", prefix, ErrNotFound)
	case len(list) > 1:
		return nil, fmt.Errorf("key %q is %w", prefix, ErrSeveral)
	}
	return list[0], nil
}

// Read returns what a query answers with, which are [Columns].
func Read(ctx context.Context, conn driver.Conn, sql string, p clickhouse.Parameters) ([]*Finding, error) {
	out, err := rows[Finding](ctx, conn, sql, p)
	for _, f := range out {
		f.tidy()
	}
	return out, err
}

func rows[T any](ctx context.Context, conn driver.Conn, sql string, p clickhouse.Parameters) ([]*T, error) {
	rows, err := conn.Query(clickhouse.Context(ctx, clickhouse.WithParameters(p)), sql)
	if err != nil {
		return nil, fmt.Errorf("read findings: %w", err)
	}
	defer rows.Close()
	var out []*T
	for rows.Next() {
		row := new(T)
		if err := rows.ScanStruct(row); err != nil {
			return nil, fmt.Errorf("read findings: %w", err)
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read findings: %w", err)
	}
	return out, nil
}
