package query

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Window is how long a grant may be unused, where nothing else is said.
const Window = 90 * 24 * time.Hour

// The states of a privilege, as the view judged_privileges has them; docs/analyst.md
// says what each means.
const (
	NeverUsed     = "never_used"
	NotUsedLately = "not_used_lately"
	Used          = "used"
	MaybeUsed     = "maybe_used"
	Young         = "young"
	NotCovered    = "not_covered"
	Lapsed        = "lapsed"
	Removed       = "removed"
	NoGrant       = "no_grant_seen"
)

// PrivilegeStates are all of them, Unused those to act upon.
var (
	PrivilegeStates = []string{NeverUsed, NotUsedLately, Used, MaybeUsed, Young, NotCovered, Lapsed, Removed, NoGrant}
	Unused          = []string{NeverUsed, NotUsedLately}
)

// PrivilegeKinds are what a privilege is for.
var PrivilegeKinds = []string{"scope", "tool"}

// PrivilegeFilter says which privileges; what is empty does not narrow.
type PrivilegeFilter struct {
	Iss, Identity, Server, Kind, Name string
	// States are those wanted; empty is all.
	States []string
	// Window is the time in which a use counts; 0 is [Window].
	Window time.Duration
	// MinAge is how old a grant must be to be judged, and for how long calls of its
	// server must have been seen; nil is Window.
	MinAge *time.Duration
	// Now is when the window ends; zero is the present.
	Now time.Time
}

// Privilege is what an identity may do at a server, by what was seen.
type Privilege struct {
	Tenant   string `json:"tenant"`
	Iss      string `json:"iss,omitempty"`
	Identity string `json:"identity"`
	Type     string `json:"type,omitempty"`
	Owner    string `json:"owner,omitempty"`
	Server   string `json:"server"`
	Kind     string `json:"kind"` // scope or tool
	Name     string `json:"name"`
	State    string `json:"state"`
	// How it was seen to be granted: token, exchange, decision, grant, offered, credential.
	How []string `json:"how"`
	// GrantedSince is when the grant was seen first, GrantedLast last; on GrantedDays it was.
	GrantedSince *time.Time `json:"granted_since,omitempty"`
	GrantedLast  *time.Time `json:"granted_last,omitempty"`
	GrantedEvent string     `json:"granted_event,omitempty"`
	GrantedDays  uint64     `json:"granted_days"`
	// GrantedTimes is how often it came: again after more than a week without it.
	GrantedTimes uint64     `json:"granted_times"`
	Removed      *time.Time `json:"removed,omitempty"`
	UsedFirst    *time.Time `json:"used_first,omitempty"`
	UsedLast     *time.Time `json:"used_last,omitempty"`
	UsedEvent    string     `json:"used_event,omitempty"`
	UsedDays     uint64     `json:"used_days"`
	Uses         uint64     `json:"uses"` // some 2 % off above a few thousand
	// MaybeUsed is the last call that may have used it: nobody registered what its tool needs.
	MaybeUsed *time.Time `json:"maybe_used,omitempty"`
	// Credential behind it: static, long_lived (more than a day), short_lived, unknown.
	Credential string `json:"credential"`
	// Tokens that had it, and the longest lifetime of one in seconds.
	Tokens             uint64 `json:"tokens"`
	MaxLifetimeSeconds uint64 `json:"max_lifetime_seconds,omitempty"`
	// RiskSeconds is the time of tokens at risk: the lifetimes of all that had it, while
	// it is unused, or until it went without having been used.
	RiskSeconds uint64 `json:"risk_seconds,omitempty"`
	// TokenTasks and TokenSessions are the most that one token of the identity served.
	TokenTasks    uint64 `json:"token_tasks,omitempty"`
	TokenSessions uint64 `json:"token_sessions,omitempty"`
	// CallsSince is since when calls of the server are seen; nil: none are.
	CallsSince *time.Time `json:"calls_since,omitempty"`
	// Findings about it, that nobody uses it.
	Findings []*PrivilegeFinding `json:"findings,omitempty"`
}

// PrivilegePage is an answer, what to remove first first.
type PrivilegePage struct {
	Privileges []*Privilege `json:"privileges"`
	// States count all that the filter names, whatever states it wants.
	States map[string]uint64 `json:"states"`
	// Since is when the window begins, Judged when a grant must be older than.
	Since  time.Time `json:"since"`
	Judged time.Time `json:"judged"`
	// Cut: there are more than were asked for.
	Cut bool `json:"cut,omitempty"`
}

// judged selects the privileges that conditions name, each with its state.
func judged(columns, conditions string) string {
	return "SELECT " + columns + " FROM judged_privileges(since = fromUnixTimestamp64Micro({since:Int64}, 'UTC'), judged = fromUnixTimestamp64Micro({judged:Int64}, 'UTC')) WHERE " + conditions
}

const privilegeColumns = `tenant, iss, sub, type, owner, server_id, kind, name, state, how, granted_first, granted_last, toString(granted_event), toUInt64(granted_days), toUInt64(granted_times), removed,
	used_first, used_last, toString(used_event), toUInt64(used_days), toUInt64(uses), maybe_last, credential, toUInt64(tokens), toUInt64(max_lifetime), toUInt64(risk_seconds), calls_first`

// firstToRemove orders by what to remove first: what is unused; of that what
// stands for everything, then what a static credential has, then by the time of
// tokens at risk, and the oldest first.
const firstToRemove = ` ORDER BY unused DESC, name = '*' OR match(name, '[:./]\\*$') DESC,
	credential = 'static' DESC, risk_seconds DESC, granted_first, tenant, iss, sub, server_id, kind, name`

// Privileges returns up to limit privileges, what to remove first first.
func (r *Reader) Privileges(ctx context.Context, f PrivilegeFilter, limit int) (*PrivilegePage, error) {
	if limit < 1 || limit > MaxPage {
		return nil, fmt.Errorf("limit %d: want 1 to %d", limit, MaxPage)
	}
	conditions, values, err := f.conditions()
	if err != nil {
		return nil, err
	}
	page := &PrivilegePage{Privileges: []*Privilege{}, States: map[string]uint64{}}
	page.Since, page.Judged = f.times()
	err = r.rows(ctx, judged("state, count()", conditions)+" GROUP BY state", maps.Clone(values), func(rows driver.Rows) error {
		var state string
		var n uint64
		err := rows.Scan(&state, &n)
		page.States[state] = n
		return err
	})
	if err != nil {
		return nil, err
	}
	wanted := ""
	if len(f.States) > 0 {
		wanted, values["states"] = " AND state IN {states:Array(String)}", array(f.States)
	}
	values["limit"] = fmt.Sprint(limit + 1)
	err = r.rows(ctx, judged(privilegeColumns, conditions)+wanted+firstToRemove+" LIMIT {limit:UInt32}", values, func(rows driver.Rows) error {
		p, err := scanPrivilege(rows)
		page.Privileges = append(page.Privileges, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	if page.Cut = len(page.Privileges) > limit; page.Cut {
		page.Privileges = page.Privileges[:limit]
	}
	return page, errors.Join(r.served(ctx, page.Privileges), r.findingsOf(ctx, page.Privileges))
}

// times are when the window begins, and before when a grant is old enough.
func (f *PrivilegeFilter) times() (since, judged time.Time) {
	now, window := f.Now, f.Window
	if now.IsZero() {
		now = time.Now()
	}
	if window == 0 {
		window = Window
	}
	age := window
	if f.MinAge != nil {
		age = *f.MinAge
	}
	return now.Add(-window).UTC(), now.Add(-age).UTC()
}

func (f *PrivilegeFilter) conditions() (string, parameters, error) {
	if f.Window < 0 || f.MinAge != nil && *f.MinAge < 0 {
		return "", nil, fmt.Errorf("window %s and age must not be negative", f.Window)
	}
	for _, s := range f.States {
		if !slices.Contains(PrivilegeStates, s) {
			return "", nil, fmt.Errorf("state %q is unknown; states are %s", s, strings.Join(PrivilegeStates, ", "))
		}
	}
	since, judged := f.times()
	where := []string{tenant}
	values := parameters{"since": fmt.Sprint(max(since.UnixMicro(), 0)), "judged": fmt.Sprint(max(judged.UnixMicro(), 0))}
	for column, value := range map[string]string{"iss": f.Iss, "sub": f.Identity, "server_id": f.Server, "kind": f.Kind, "name": f.Name} {
		if value != "" {
			where, values["is_"+column] = append(where, column+" = {is_"+column+":String}"), value
		}
	}
	slices.Sort(where)
	return strings.Join(where, " AND "), values, nil
}

func scanPrivilege(rows driver.Rows) (*Privilege, error) {
	p := &Privilege{}
	var first, last, removed, usedFirst, usedLast, maybe, calls time.Time
	err := rows.Scan(&p.Tenant, &p.Iss, &p.Identity, &p.Type, &p.Owner, &p.Server, &p.Kind, &p.Name, &p.State, &p.How, &first, &last, &p.GrantedEvent, &p.GrantedDays, &p.GrantedTimes, &removed,
		&usedFirst, &usedLast, &p.UsedEvent, &p.UsedDays, &p.Uses, &maybe, &p.Credential, &p.Tokens, &p.MaxLifetimeSeconds, &p.RiskSeconds, &calls)
	for at, into := range map[*time.Time]**time.Time{
		&first: &p.GrantedSince, &last: &p.GrantedLast, &removed: &p.Removed, &usedFirst: &p.UsedFirst, &usedLast: &p.UsedLast, &maybe: &p.MaybeUsed, &calls: &p.CallsSince,
	} {
		if at.Unix() > 0 {
			*into = at
		}
	}
	if p.GrantedSince == nil {
		p.GrantedEvent = ""
	}
	if p.UsedLast == nil {
		p.UsedEvent = ""
	}
	return p, err
}

// served fills in how many tasks and sessions one token of each identity served.
func (r *Reader) served(ctx context.Context, list []*Privilege) error {
	holders := map[[3]string][]*Privilege{}
	var subs []string
	for _, p := range list {
		key := [3]string{p.Tenant, p.Iss, p.Identity}
		holders[key] = append(holders[key], p)
		subs = append(subs, p.Identity)
	}
	if len(subs) == 0 {
		return nil
	}
	slices.Sort(subs)
	return r.rows(ctx, `SELECT tenant, iss, sub, max(tasks), max(sessions) FROM (
		SELECT tenant, iss, sub, ref, uniqCombined64Merge(12)(s.tasks) AS tasks, uniqCombined64Merge(12)(s.sessions) AS sessions
		FROM token_services AS s WHERE `+tenant+` AND sub IN (SELECT arrayJoin({subs:Array(String)})) GROUP BY tenant, iss, sub, ref
	) GROUP BY tenant, iss, sub`, parameters{"subs": array(slices.Compact(subs))}, func(rows driver.Rows) error {
		var key [3]string
		var tasks, sessions uint64
		err := rows.Scan(&key[0], &key[1], &key[2], &tasks, &sessions)
		for _, p := range holders[key] {
			p.TokenTasks, p.TokenSessions = tasks, sessions
		}
		return err
	})
}
