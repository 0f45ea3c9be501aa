// Package query reads the evidence from ClickHouse: events by filter, and the
// events that a delegation chain is built from.
//
// Values reach ClickHouse as server parameters only. A Reader sees what its
// database user may see, and narrows it further to Tenant when that is set. It
// returns events as they were stored: decoded from the exact bytes of the log.
package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// ErrNotFound says that nothing stored answers the question.
var ErrNotFound = errors.New("not found")

// ErrAmbiguous says that a question is about one and names several.
var ErrAmbiguous = errors.New("ambiguous")

// Config configures a Reader.
type Config struct {
	// ClickHouse is a connection whose database is migrated. Required.
	ClickHouse driver.Conn
	// Tenant narrows every answer to one tenant; empty leaves it to the
	// database user's row filters.
	Tenant string
	// Timeout bounds one query; 0 is 30 s. ClickHouse stops working at it too.
	Timeout time.Duration
}

// Reader answers questions. It is safe for concurrent use.
type Reader struct{ cfg Config }

// New returns a Reader.
func New(cfg Config) (*Reader, error) {
	if cfg.ClickHouse == nil {
		return nil, errors.New("query: ClickHouse is required")
	}
	if cfg.Tenant != "" && !event.ValidTenant(cfg.Tenant) {
		return nil, fmt.Errorf("tenant %q: want lower-case letters, digits, - and _, at most 63", cfg.Tenant)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	return &Reader{cfg}, nil
}

// parameters are the values of a query, as text that ClickHouse parses by the
// type which the query gives the name.
type parameters map[string]string

// events runs a query that returns the column raw.
func (r *Reader) events(ctx context.Context, sql string, p parameters) ([]*event.Event, error) {
	var out []*event.Event
	err := r.rows(ctx, sql, p, func(rows driver.Rows) error {
		var raw string
		if err := rows.Scan(&raw); err != nil {
			return err
		}
		e, _, err := event.DecodeLenient([]byte(raw))
		if err != nil {
			return fmt.Errorf("stored event: %w", err)
		}
		out = append(out, e)
		return nil
	})
	return out, err
}

// rows calls row for each row of the answer.
func (r *Reader) rows(ctx context.Context, sql string, p parameters, row func(driver.Rows) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	p = maps.Clone(p)
	if p == nil {
		p = parameters{}
	}
	p["tenant"] = r.cfg.Tenant
	for name, value := range p {
		if strings.Contains(sql, "{"+name+":String}") {
			p[name] = table.Text(value)
		}
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters(p)))
	rows, err := r.cfg.ClickHouse.Query(ctx, sql)
	if err != nil {
		return fmt.Errorf("ask clickhouse: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("ask clickhouse: %w", err)
	}
	return nil
}

// tenant is the condition that narrows every query.
const tenant = "({tenant:String} = '' OR tenant = {tenant:String})"

// array writes strings as the text of an Array(String) parameter.
func array(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
	}
	return "[" + strings.Join(quoted, ",") + "]"
}

// spanOf tells when events of these ids happened: the hours as the text of an
// Array(UInt32), which the tables are ordered by, and the first and the last time of the
// log that is [near].
func spanOf(ids []string) (parameters, error) {
	set := map[int64]bool{}
	for _, id := range ids {
		t, err := event.IDTime(id)
		if err != nil {
			return nil, err
		}
		set[int64(t)/3_600_000_000*3600] = true
	}
	list := slices.Sorted(maps.Keys(set))
	text := make([]string, len(list))
	for i, h := range list {
		text[i] = strconv.FormatInt(h, 10)
	}
	first, last := list[0]-int64(early.Seconds()), list[len(list)-1]+int64(soon.Seconds())
	return parameters{"hours": "[" + strings.Join(text, ",") + "]", "first": strconv.FormatInt(max(first, 0), 10), "last": strconv.FormatInt(last, 10)}, nil
}

// Most events come to the log within soon of when they happened. A source's clock
// may be ahead of the log's by early.
const (
	soon  = 36 * time.Hour
	early = time.Hour
)

// near is the part of the log in which most events of a span are.
const near = " AND log_time BETWEEN toDateTime({first:UInt32}, 'UTC') AND toDateTime({last:UInt32}, 'UTC')"

// Events returns the events with these ids, in order of time. The table is in parts by
// the log's clock: those near the events' time are asked first, and the others only
// about what is not found there, so that it takes no longer when more is stored.
func (r *Reader) Events(ctx context.Context, ids []string) ([]*event.Event, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	p, err := spanOf(ids)
	if err != nil {
		return nil, err
	}
	p["ids"] = array(ids)
	const sql = "SELECT raw FROM events WHERE " + tenant + " AND toStartOfHour(time) IN {hours:Array(DateTime('UTC'))} AND id IN {ids:Array(UUID)}"
	events, err := r.events(ctx, sql+near+" ORDER BY time, id", p)
	if err != nil {
		return nil, err
	}
	missing := map[string]bool{}
	for _, id := range ids {
		missing[id] = true
	}
	for _, e := range events {
		delete(missing, e.ID)
	}
	if len(missing) == 0 {
		return events, nil
	}
	p["ids"] = array(slices.Sorted(maps.Keys(missing)))
	late, err := r.events(ctx, sql, p)
	if err != nil || len(late) == 0 {
		return events, err
	}
	events = append(events, late...)
	slices.SortFunc(events, func(a, b *event.Event) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.ID, b.ID))
	})
	return events, nil
}

// Count returns how many records there are by state and, of those stored, by kind.
func (r *Reader) Count(ctx context.Context) (byState, byKind map[string]uint64, err error) {
	byState, byKind = map[string]uint64{}, map[string]uint64{}
	err = r.rows(ctx, "SELECT toString(state), kind, count() FROM records WHERE "+tenant+" GROUP BY state, kind", nil, func(rows driver.Rows) error {
		var state, kind string
		var n uint64
		if err := rows.Scan(&state, &kind, &n); err != nil {
			return err
		}
		byState[state] += n
		if state == "stored" {
			byKind[kind] += n
		}
		return nil
	})
	return byState, byKind, err
}

// CountChains returns how many delegation chains there are: tokens that were
// exchanged and that no exchange on record issued. Each is the root of a tree.
func (r *Reader) CountChains(ctx context.Context) (n uint64, err error) {
	err = r.rows(ctx, "SELECT uniqExact(tenant, parent_ref) FROM token_edges WHERE "+tenant+
		" AND role = 'subject' AND (tenant, parent_ref) NOT IN (SELECT tenant, child_ref FROM token_edges WHERE "+tenant+")", nil,
		func(rows driver.Rows) error { return rows.Scan(&n) })
	return n, err
}
