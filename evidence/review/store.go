package review

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/schemas/table"
)

// Put stores a frozen review: its lines, then what makes it visible.
func Put(ctx context.Context, conn driver.Conn, r *Review) error {
	head, lines, err := r.bodies()
	if err != nil {
		return err
	}
	tenant := r.Scope.Tenant
	err = table.Insert(ctx, conn, "review_lines (tenant, review, number, body)", func(add func(...any) error) error {
		for i, line := range lines {
			if err := add(tenant, r.ID, uint32(i+1), line); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return table.Insert(ctx, conn, "reviews (tenant, id, created_time, frozen, digest, event_id)", func(add func(...any) error) error {
		return add(tenant, r.ID, r.Created, head, r.Digest, r.EventID)
	})
}

// Append writes an act. It checks nothing.
func Append(ctx context.Context, conn driver.Conn, r *Review, a *Act) error {
	until := a.Until
	if until.IsZero() {
		until = time.Unix(0, 0)
	}
	return table.Insert(ctx, conn, "review_acts (tenant, review, line, time, id, action, actor_iss, actor_sub, until, reason, event_id)", func(add func(...any) error) error {
		return add(r.Scope.Tenant, r.ID, a.Line, a.Time, a.ID, a.Action, a.ActorIss, a.ActorSub, until, a.Reason, a.EventID)
	})
}

// Load returns the review whose id begins so, which must be one review's only, as it
// was frozen, with what was decided since. It is [ErrAltered] when what is stored is
// not what was frozen.
func Load(ctx context.Context, conn driver.Conn, tenant, prefix string) (*Review, error) {
	if prefix == "" || strings.Trim(prefix, "0123456789abcdef-") != "" {
		return nil, fmt.Errorf("%w: review %q: want hexadecimal digits, the first few suffice", ErrInvalid, prefix)
	}
	var found []*Review
	p := clickhouse.Parameters{"tenant": tenant, "prefix": prefix}
	head := ""
	err := each(ctx, conn, `SELECT id, frozen, toString(digest), event_id FROM reviews FINAL
		WHERE ({tenant:String} = '' OR tenant = {tenant:String}) AND startsWith(toString(id), {prefix:String}) LIMIT 2`, p, func(rows driver.Rows) error {
		r := &Review{Lines: []*Line{}, Acts: []*Act{}}
		if err := rows.Scan(&r.ID, &head, &r.Digest, &r.EventID); err != nil {
			return err
		}
		found = append(found, r)
		return json.Unmarshal([]byte(head), &r.Frozen)
	})
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, fmt.Errorf("review %q: %w", prefix, ErrNotFound)
	case len(found) > 1:
		return nil, fmt.Errorf("review %q is %w", prefix, ErrSeveral)
	}
	r := found[0]
	if err := r.readLines(ctx, conn, head); err != nil {
		return nil, err
	}
	r.Acts, err = acts(ctx, conn, r.Scope.Tenant, r.ID)
	return r, err
}

func (r *Review) readLines(ctx context.Context, conn driver.Conn, head string) error {
	var bodies []string
	p := clickhouse.Parameters{"tenant": r.Scope.Tenant, "review": r.ID.String()}
	err := each(ctx, conn, "SELECT body FROM review_lines FINAL WHERE tenant = {tenant:String} AND review = {review:UUID} ORDER BY number", p, func(rows driver.Rows) error {
		var body string
		if err := rows.Scan(&body); err != nil {
			return err
		}
		l := &Line{}
		bodies, r.Lines = append(bodies, body), append(r.Lines, l)
		return json.Unmarshal([]byte(body), l)
	})
	if err == nil && digest(head, bodies) != r.Digest {
		err = fmt.Errorf("review %s: %w", r.ID, ErrAltered)
	}
	return err
}

func acts(ctx context.Context, conn driver.Conn, tenant string, id uuid.UUID) ([]*Act, error) {
	out := []*Act{}
	p := clickhouse.Parameters{"tenant": tenant, "review": id.String()}
	err := each(ctx, conn, `SELECT id, line, time, toString(action) AS action, actor_iss, actor_sub, until, reason, event_id FROM review_acts
		WHERE tenant = {tenant:String} AND review = {review:UUID} ORDER BY time, id LIMIT 1 BY id`, p, func(rows driver.Rows) error {
		a := &Act{}
		err := rows.ScanStruct(a)
		if a.Time = a.Time.UTC(); a.Until.Unix() <= 0 {
			a.Until = time.Time{}
		} else {
			a.Until = a.Until.UTC()
		}
		out = append(out, a)
		return err
	})
	return out, err
}

// Listed is a review in a list.
type Listed struct {
	Tenant  string    `json:"tenant"`
	ID      uuid.UUID `json:"id"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	By      string    `json:"created_by"`
	Owner   string    `json:"owner,omitempty"`  // of the scope
	Server  string    `json:"server,omitempty"` // of the scope
	Closed  bool      `json:"closed"`
	Lines   uint64    `json:"lines"`
	Open    uint64    `json:"open"` // lines that nobody decided about
	Unowned uint64    `json:"unowned"`
}

// List returns the reviews of a tenant, or of all that conn sees, the newest first.
func List(ctx context.Context, conn driver.Conn, tenant string, limit int) ([]*Listed, error) {
	out := []*Listed{}
	err := each(ctx, conn, `SELECT r.tenant, r.id, JSONExtractString(frozen, 'name'), created_time, JSONExtractString(frozen, 'created_by'),
			JSONExtractString(frozen, 'scope', 'owner'), JSONExtractString(frozen, 'scope', 'server'),
			(r.tenant, r.id) IN (SELECT tenant, review FROM review_acts WHERE action = 'closed'), s.lines, s.open, s.unowned
		FROM (SELECT * FROM reviews FINAL WHERE ({tenant:String} = '' OR tenant = {tenant:String})) AS r
		LEFT JOIN
		(
			SELECT tenant, review, count() AS lines, countIf(decision = 'open') AS open, countIf(owner = '') AS unowned
			FROM review_states WHERE ({tenant:String} = '' OR tenant = {tenant:String}) GROUP BY tenant, review
		) AS s ON s.tenant = r.tenant AND s.review = r.id
		ORDER BY created_time DESC, r.tenant, r.id LIMIT {limit:UInt32}`, clickhouse.Parameters{"tenant": tenant, "limit": fmt.Sprint(limit)}, func(rows driver.Rows) error {
		l := &Listed{}
		err := rows.Scan(&l.Tenant, &l.ID, &l.Name, &l.Created, &l.By, &l.Owner, &l.Server, &l.Closed, &l.Lines, &l.Open, &l.Unowned)
		out = append(out, l)
		return err
	})
	return out, err
}
