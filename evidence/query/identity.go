package query

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/processor/enrich"
)

// Identity is somebody who acted, or on whose behalf nobody else did, and what
// there is about them.
type Identity struct {
	Tenant string `json:"tenant"`
	Iss    string `json:"iss,omitempty"`
	Sub    string `json:"sub"`
	Type   string `json:"type,omitempty"` // as it was said last
	Owner  string `json:"owner,omitempty"`
	// Events since the window began, Denied those of them that were refused.
	Events uint64 `json:"events"`
	Denied uint64 `json:"denied"`
	// Servers and Tools that it was seen with in the window.
	Servers uint64    `json:"servers"`
	Tools   uint64    `json:"tools"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	// Privileges that it has or had, Unused those of them to act upon, Static those
	// that a static credential has.
	Privileges uint64 `json:"privileges"`
	Unused     uint64 `json:"unused"`
	Static     uint64 `json:"static"`
}

// IdentityFilter says which identities; what is empty does not narrow.
type IdentityFilter struct {
	Iss, Sub string
	Type     string
	Begins   string // what the name begins with
	// Since is when the window begins, with the whole of that day in UTC.
	Since time.Time
	// Unused says when privileges are judged; its identity does not count.
	Unused PrivilegeFilter
}

func (f *IdentityFilter) parameters() parameters {
	since, judged := f.Unused.times()
	return parameters{"iss": f.Iss, "sub": f.Sub, "type": f.Type, "begins": f.Begins, "window": window(f.Since),
		"since": fmt.Sprint(max(since.UnixMicro(), 0)), "judged": fmt.Sprint(max(judged.UnixMicro(), 0))}
}

// window is when one begins: with a day, so that days which were added up are in it whole.
func window(since time.Time) string {
	return strconv.FormatInt(max(since.UTC().Truncate(24*time.Hour).Unix(), 0), 10)
}

// activity is what was done since the window began, by those that pass a condition: by
// day as far as the days of storing are added up, and by hour what was stored since.
func activity(where string) string {
	const added = "(SELECT max(watermark) FROM pass_progress WHERE pass = '" + enrich.NameActivityDays + "')"
	return `(
		SELECT tenant, iss, sub, day, type, server_id, tool_name, outcome, events, first_time, last_time FROM activity_days FINAL
		WHERE ` + where + ` AND day >= toDate(toDateTime({window:UInt32}, 'UTC')) AND stored_day < toDate(` + added + `)
		UNION ALL
		SELECT tenant, iss, sub, toDate(hour, 'UTC') AS day, type, server_id, tool_name, outcome, arraySum(mapValues(minutes)) AS events, s.first.1 AS first_time, s.last_time FROM activity_states AS s FINAL
		WHERE ` + where + ` AND hour >= toDateTime({window:UInt32}, 'UTC') AND stored_hour >= toStartOfDay(toDateTime(` + added + `, 'UTC'))
	)`
}

// Identities returns up to limit identities that did something since the window
// began or that hold privileges, what to look at first first: those with privileges
// that nobody uses, then the newest.
func (r *Reader) Identities(ctx context.Context, f IdentityFilter, limit int) ([]*Identity, error) {
	p := f.parameters()
	p["limit"] = strconv.Itoa(limit)
	var out []*Identity
	err := r.rows(ctx, `SELECT tenant, iss, sub, max(type) AS type, max(owner) AS owner, sum(n), sum(n_denied), max(n_servers), max(n_tools), min(first) AS first, max(last) AS last, max(held), max(idle) AS idle, max(fixed)
		FROM (
			SELECT tenant, iss, sub, '' AS type, '' AS owner, sum(events) AS n, sumIf(events, outcome IN ('denied', 'deny')) AS n_denied,
				uniqExactIf(server_id, server_id != '') AS n_servers, uniqExactIf((server_id, tool_name), tool_name != '') AS n_tools,
				min(first_time) AS first, max(last_time) AS last, toUInt64(0) AS held, toUInt64(0) AS idle, toUInt64(0) AS fixed
			FROM `+activity(identified)+` GROUP BY tenant, iss, sub
			UNION ALL
			SELECT tenant, iss, sub, max(toString(j.type)), max(toString(j.owner)), 0, 0, 0, 0, minIf(granted_first, granted_first > toDateTime64(0, 6, 'UTC')), max(greatest(granted_last, used_last)),
				count(), countIf(unused), countIf(credential = 'static')
			FROM judged_privileges(since = fromUnixTimestamp64Micro({since:Int64}, 'UTC'), judged = fromUnixTimestamp64Micro({judged:Int64}, 'UTC')) AS j
			WHERE `+identified+` GROUP BY tenant, iss, sub
		) GROUP BY tenant, iss, sub HAVING {type:String} = '' OR type = {type:String}
		ORDER BY idle DESC, last DESC, tenant, iss, sub LIMIT {limit:UInt32}`, p, func(rows driver.Rows) error {
		i := &Identity{}
		out = append(out, i)
		return rows.Scan(&i.Tenant, &i.Iss, &i.Sub, &i.Type, &i.Owner, &i.Events, &i.Denied, &i.Servers, &i.Tools, &i.First, &i.Last, &i.Privileges, &i.Unused, &i.Static)
	})
	return out, err
}

const identified = tenant + " AND ({iss:String} = '' OR iss = {iss:String}) AND ({sub:String} = '' OR sub = {sub:String}) AND startsWith(sub, {begins:String})"

// Seen is something that an identity was seen with.
type Seen struct {
	// What it is: tool, server, client, path, issuer, audience.
	What string `json:"what"`
	// Object: of a tool its server and name, of a client its id and name, of a path
	// those from the subject to the actor, each as SUB@ISS; else one word.
	Object []string  `json:"object"`
	First  time.Time `json:"first"`
	Event  uuid.UUID `json:"event"` // the first
	Last   time.Time `json:"last"`
}

// SeenWith returns what an identity was seen with, the newest first, up to limit of
// each kind.
func (r *Reader) SeenWith(ctx context.Context, f IdentityFilter, limit int) ([]*Seen, error) {
	p := f.parameters()
	p["limit"] = strconv.Itoa(limit)
	var out []*Seen
	err := r.rows(ctx, `SELECT toString(what), object, min(first_time), argMin(first_event_id, first_time), max(last_time) AS last FROM first_seen
		WHERE `+identified+` GROUP BY what, object ORDER BY what, min(first_time) DESC, object LIMIT {limit:UInt32} BY what`, p, func(rows driver.Rows) error {
		s := &Seen{}
		out = append(out, s)
		return rows.Scan(&s.What, &s.Object, &s.First, &s.Event, &s.Last)
	})
	return out, err
}

// DayOf is what somebody did on one day, UTC.
type DayOf struct {
	Day    time.Time `json:"day"`
	Events uint64    `json:"events"`
	Denied uint64    `json:"denied"`
}

// Days returns the days of the window on which an identity did something.
func (r *Reader) Days(ctx context.Context, f IdentityFilter) ([]*DayOf, error) {
	var out []*DayOf
	err := r.rows(ctx, `SELECT toDateTime(day, 'UTC'), sum(events), sumIf(events, outcome IN ('denied', 'deny')) FROM `+activity(identified)+` GROUP BY day ORDER BY day`, f.parameters(), func(rows driver.Rows) error {
		d := &DayOf{}
		out = append(out, d)
		return rows.Scan(&d.Day, &d.Events, &d.Denied)
	})
	return out, err
}

// HeldToken is a token of an identity.
type HeldToken struct {
	Ref      string    `json:"ref"`
	JTI      string    `json:"jti,omitempty"`
	Audience []string  `json:"audience"`
	Scope    []string  `json:"scope"`
	Verified string    `json:"verified,omitempty"`
	Static   bool      `json:"static,omitempty"`
	Expires  time.Time `json:"expires,omitzero"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Events   uint64    `json:"events"`
}

// Tokens returns up to limit tokens that an identity used since the window began,
// the newest first.
func (r *Reader) Tokens(ctx context.Context, f IdentityFilter, limit int) ([]*HeldToken, error) {
	p := f.parameters()
	p["limit"] = strconv.Itoa(limit)
	var out []*HeldToken
	err := r.rows(ctx, `SELECT token_ref, max(e.token_jti), groupUniqArrayArray(20)(arrayMap(a -> toString(a), token_audience)), groupUniqArrayArray(100)(arrayMap(s -> toString(s), token_scope)), max(toString(token_verified)), max(token_static), max(token_expires_at),
			min(e.time), max(e.time) AS last, count()
		FROM events AS e WHERE `+tenant+` AND toStartOfHour(e.time) >= toStartOfHour(toDateTime({window:UInt32}, 'UTC')) AND token_ref != ''
			AND if(actor_sub != '', actor_sub, subject_sub) = {sub:String} AND ({iss:String} = '' OR if(actor_sub != '', actor_iss, subject_iss) = {iss:String})
		GROUP BY token_ref ORDER BY last DESC, token_ref LIMIT {limit:UInt32}`, p, func(rows driver.Rows) error {
		t := &HeldToken{}
		out = append(out, t)
		err := rows.Scan(&t.Ref, &t.JTI, &t.Audience, &t.Scope, &t.Verified, &t.Static, &t.Expires, &t.First, &t.Last, &t.Events)
		if t.Expires.Unix() <= 0 {
			t.Expires = time.Time{}
		}
		return err
	})
	return out, err
}
