package console

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/worklist"
	"github.com/custody-audit/custody/schemas/event"
)

// identitiesPage is the list of those who act, and of the servers that they call.
type identitiesPage struct {
	Days, Type, Begins string
	Types              []event.PartyType
	Identities         []*query.Identity
	Servers            []*query.MCPServer
	Cut                []string
}

var partyTypes = []event.PartyType{event.Human, event.Agent, event.Workload, event.Service, event.MCP, event.Unknown}

// defaultDays is how far the pages of identities look back.
const defaultDays = "30"

func showIdentities(q *request) (*view, error) {
	p := &identitiesPage{Days: cmp.Or(q.FormValue("days"), defaultDays), Type: q.FormValue("type"), Begins: q.FormValue("begins"), Types: partyTypes}
	var found struct {
		Identities []*query.Identity `json:"identities"`
		Cut        []string          `json:"cut"`
	}
	if err := q.get("/identities", &found, "days", p.Days, "type", p.Type, "begins", p.Begins); err != nil {
		return nil, err
	}
	var servers struct {
		Servers []*query.MCPServer `json:"servers"`
		Cut     []string           `json:"cut"`
	}
	if p.Type == "" && p.Begins == "" {
		if err := q.get("/servers", &servers, "days", p.Days); err != nil {
			return nil, err
		}
	}
	p.Identities, p.Servers, p.Cut = found.Identities, servers.Servers, append(found.Cut, servers.Cut...)
	return &view{name: "identities", title: "Identities", styles: []string{"graph.css"}, data: p}, nil
}

// identityPage is one who acts.
type identityPage struct {
	Days       string
	Identity   *query.Identity
	Days30     *calendar
	Seen       []seenKind
	Tokens     []*query.HeldToken
	Privileges []*query.Privilege
	Suggestion *suggestion
	Findings   []*worklist.Finding
	Events     []*event.Event
	Cut        []string
}

// seenKind is what an identity was seen with, of one kind.
type seenKind struct {
	Name string
	Seen []seenRow
}

type seenRow struct {
	*query.Seen
	New bool // seen first within the last week
}

// suggestion is the least privilege as the API suggests it.
type suggestion struct {
	*query.Suggestion
	Rego  string `json:"rego"`
	Cedar string `json:"cedar"`
}

// fresh is how long something counts as new to an identity.
const fresh = 7 * 24 * time.Hour

func showIdentity(q *request) (*view, error) {
	holder, iss := q.PathValue("holder"), q.FormValue("iss")
	p := &identityPage{Days: cmp.Or(q.FormValue("days"), defaultDays)}
	var found struct {
		Identity *query.Identity    `json:"identity"`
		Seen     []*query.Seen      `json:"seen"`
		Days     []*query.DayOf     `json:"days"`
		Tokens   []*query.HeldToken `json:"tokens"`
	}
	path := "/identities/" + url.PathEscape(holder)
	if err := q.get(path, &found, "iss", iss, "days", p.Days); err != nil {
		return nil, err
	}
	p.Identity, p.Tokens = found.Identity, found.Tokens
	p.Days30 = newCalendar(found.Days, p.Days, q.console.cfg.Now())
	p.Seen = kinds(found.Seen, q.console.cfg.Now())
	if err := p.privileges(q, holder, p.Identity.Iss); err != nil {
		return nil, err
	}
	if err := p.happened(q, holder); err != nil {
		return nil, err
	}
	return &view{name: "identity", title: label(holder, 100), styles: []string{"graph.css"}, data: p}, nil
}

// privileges are what it may do, and what of that it should keep.
func (p *identityPage) privileges(q *request, holder, iss string) error {
	var held struct {
		Privileges []*query.Privilege `json:"privileges"`
		Cut        []string           `json:"cut"`
	}
	if err := q.get("/privileges", &held, "identity", holder, "iss", iss); err != nil {
		return err
	}
	p.Privileges, p.Cut = held.Privileges, append(p.Cut, held.Cut...)
	if len(p.Privileges) == 0 {
		return nil
	}
	s := &suggestion{}
	if err := q.get("/privileges/"+url.PathEscape(holder)+"/suggestion", s, "iss", iss); err != nil {
		return err
	}
	p.Suggestion = s
	return nil
}

// happened are what was found about it, and its newest events.
func (p *identityPage) happened(q *request, holder string) error {
	if q.who.May(string(api.ReadFindings)) {
		var found struct {
			Findings []*worklist.Finding `json:"findings"`
			Cut      []string            `json:"cut"`
		}
		if err := q.get("/findings", &found, "identity", holder, "limit", "50"); err != nil {
			return err
		}
		p.Findings, p.Cut = found.Findings, append(p.Cut, found.Cut...)
	}
	filter, ok := filterTerm("actor", holder)
	if p.Identity.Type == string(event.Human) {
		filter, ok = filterTerm("subject", holder)
	}
	if !ok || !q.who.May(string(api.ReadEvents)) {
		return nil
	}
	var page struct {
		Events []*event.Event `json:"events"`
	}
	if err := q.get("/events", &page, "filter", filter+" last:"+p.Days+"d", "limit", "25"); err != nil {
		return err
	}
	p.Events = page.Events
	return nil
}

// filterTerm is a term of a filter for one value, where it can be said in one.
func filterTerm(field, value string) (string, bool) {
	for _, r := range value {
		if r == '"' || r == ',' || r == '*' {
			return "", false
		}
	}
	return fmt.Sprintf(`%s:"%s"`, field, value), len(value) < 500 && value != ""
}

// kinds puts together what was seen, of one kind each.
func kinds(seen []*query.Seen, now time.Time) []seenKind {
	var out []seenKind
	for _, s := range seen {
		if len(out) == 0 || out[len(out)-1].Name != s.What {
			out = append(out, seenKind{Name: s.What})
		}
		k := &out[len(out)-1]
		k.Seen = append(k.Seen, seenRow{s, now.Sub(s.First) < fresh})
	}
	order := []string{"tool", "server", "path", "audience", "client", "issuer"}
	slices.SortStableFunc(out, func(a, b seenKind) int { return slices.Index(order, a.Name) - slices.Index(order, b.Name) })
	return out
}
