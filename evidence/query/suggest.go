package query

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
)

// Suggestion is the least privilege that an identity got by with.
type Suggestion struct {
	Tenant   string    `json:"tenant"`
	Iss      string    `json:"iss,omitempty"`
	Identity string    `json:"identity"`
	Since    time.Time `json:"since"`
	Judged   time.Time `json:"judged"`
	// Keep is what it used in the window, what cannot be judged, and what somebody
	// excepts; Remove what it did not use.
	Keep   []*Privilege `json:"keep"`
	Remove []*Privilege `json:"remove"`
	// Servers are what Keep comes to.
	Servers []Allowed `json:"servers"`
	// Checked is what the window's calls and decisions would have become.
	Checked Checked `json:"checked"`
}

// Allowed is what may be done at one server.
type Allowed struct {
	Server string   `json:"server"`
	Tools  []string `json:"tools"`
	Scopes []string `json:"scopes"`
}

// Checked is the suggestion held against what happened in its window.
type Checked struct {
	Calls     uint64 `json:"calls"`     // that were carried out
	Refused   uint64 `json:"refused"`   // calls that were not
	Decisions uint64 `json:"decisions"` // that allowed
	// Denied are those of them that the suggestion would have denied.
	Denied []PastUse `json:"denied"`
}

// PastUse is calls, or decisions, that are alike.
type PastUse struct {
	What   string    `json:"what"` // call, refused_call or decision
	Server string    `json:"server"`
	Tool   string    `json:"tool"`
	Scopes []string  `json:"scopes,omitempty"` // of the token, that the tool needs
	Count  uint64    `json:"count"`
	Last   time.Time `json:"last"`
	Event  uuid.UUID `json:"event"` // the last one's id
}

// Suggest returns what to leave to the identity that the filter names, which must
// be one. States, server, kind and name of the filter do not count.
func (r *Reader) Suggest(ctx context.Context, f PrivilegeFilter) (*Suggestion, error) {
	f.States, f.Server, f.Kind, f.Name = nil, "", "", ""
	if f.Now.IsZero() {
		f.Now = time.Now()
	}
	page, err := r.Privileges(ctx, f, MaxPage)
	if err != nil {
		return nil, err
	}
	s, err := suggestion(f.Identity, page)
	if err != nil {
		return nil, err
	}
	s.Checked, err = r.check(ctx, s)
	return s, err
}

func suggestion(identity string, page *PrivilegePage) (*Suggestion, error) {
	if page.Cut {
		return nil, fmt.Errorf("identity %q is %w: it has more than %d privileges, and a policy of so many says nothing", identity, ErrAmbiguous, MaxPage)
	}
	named := map[[2]string]bool{}
	s := &Suggestion{Identity: identity, Since: page.Since, Judged: page.Judged, Keep: []*Privilege{}, Remove: []*Privilege{}}
	for _, p := range page.Privileges {
		named[[2]string{p.Tenant, p.Iss}] = true
		s.Tenant, s.Iss = p.Tenant, p.Iss
		switch p.State {
		case NeverUsed, NotUsedLately:
			if p.Excepted() {
				s.Keep = append(s.Keep, p)
			} else {
				s.Remove = append(s.Remove, p)
			}
		case Used, MaybeUsed, Young, NotCovered:
			s.Keep = append(s.Keep, p)
		case NoGrant:
			if p.UsedLast != nil && !p.UsedLast.Before(page.Since) {
				s.Keep = append(s.Keep, p)
			}
		}
	}
	switch len(named) {
	case 0:
		return nil, fmt.Errorf("privileges of %q: %w", identity, ErrNotFound)
	case 1:
		s.Servers = allowed(s.Keep)
		return s, nil
	}
	var those []string
	for _, n := range slices.SortedFunc(maps.Keys(named), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		those = append(those, fmt.Sprintf("%q of tenant %s", n[1], n[0]))
	}
	return nil, fmt.Errorf("identity %q is %w: name the tenant and the issuer of one of %s", identity, ErrAmbiguous, strings.Join(those, ", "))
}

// allowed gathers by server.
func allowed(keep []*Privilege) []Allowed {
	out := []Allowed{}
	for _, p := range keep {
		i := slices.IndexFunc(out, func(a Allowed) bool { return a.Server == p.Server })
		if i < 0 {
			i, out = len(out), append(out, Allowed{Server: p.Server, Tools: []string{}, Scopes: []string{}})
		}
		if p.Kind == "tool" {
			out[i].Tools = append(out[i].Tools, p.Name)
		} else {
			out[i].Scopes = append(out[i].Scopes, p.Name)
		}
	}
	slices.SortFunc(out, func(a, b Allowed) int { return strings.Compare(a.Server, b.Server) })
	for i := range out {
		slices.Sort(out[i].Tools)
		slices.Sort(out[i].Scopes)
	}
	return out
}

// allows tells whether a call of the tool with those scopes would go through.
func (s *Suggestion) allows(server, tool string, scopes []string) bool {
	i := slices.IndexFunc(s.Servers, func(a Allowed) bool { return a.Server == server })
	if i < 0 || !slices.Contains(s.Servers[i].Tools, tool) {
		return false
	}
	for _, scope := range scopes {
		if !slices.ContainsFunc(s.Servers[i].Scopes, func(kept string) bool {
			stem, wild := strings.CutSuffix(kept, "*")
			return kept == scope || wild && strings.HasPrefix(scope, stem)
		}) {
			return false
		}
	}
	return true
}

// pastQuery reads events, not the privileges that the suggestion is made of.
const pastQuery = `SELECT multiIf(kind = 'permission_decision', 'decision', outcome IN ('success', 'failure'), 'call', 'refused_call') AS what,
	toString(if(server_id != '', server_id, server_uri)) AS server, toString(tool_name) AS tool, arraySort(arrayMap(s -> toString(s), arrayIntersect(tool_scopes, token_scope))) AS scopes,
	count(), max(events.time), argMax(id, events.time)
FROM events
WHERE tenant = {of:String} AND toStartOfHour(time) >= toStartOfHour(fromUnixTimestamp64Micro({since:Int64}, 'UTC')) AND time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
	AND if(actor_sub != '', actor_sub, subject_sub) = {sub:String} AND if(actor_sub != '', actor_iss, subject_iss) = {iss:String} AND tool_name != ''
	AND (type = 'mcp.tools.call' OR kind = 'permission_decision' AND decision_effect = 'allow' AND NOT decision_inferred)
GROUP BY what, server, tool, scopes ORDER BY what, server, tool, scopes`

// check holds the suggestion against the calls and decisions of its window.
func (r *Reader) check(ctx context.Context, s *Suggestion) (Checked, error) {
	c := Checked{Denied: []PastUse{}}
	values := parameters{"of": s.Tenant, "sub": s.Identity, "iss": s.Iss, "since": fmt.Sprint(max(s.Since.UnixMicro(), 0))}
	err := r.rows(ctx, pastQuery, values, func(rows driver.Rows) error {
		var u PastUse
		if err := rows.Scan(&u.What, &u.Server, &u.Tool, &u.Scopes, &u.Count, &u.Last, &u.Event); err != nil {
			return err
		}
		switch u.What {
		case "call":
			c.Calls += u.Count
		case "decision":
			c.Decisions += u.Count
		default:
			c.Refused += u.Count
		}
		if !s.allows(u.Server, u.Tool, u.Scopes) {
			c.Denied = append(c.Denied, u)
		}
		return nil
	})
	return c, err
}
