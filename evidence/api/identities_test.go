package api_test

import (
	"slices"
	"testing"

	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/event"
)

// What is told of an identity is what the story tells of it.
func TestIdentities(t *testing.T) {
	t.Parallel()
	c := tell(t)
	s := serve(t, api.Config{Connect: twoWalls(c)}, caller{"soc", api.Analyst, []string{"acme"}}, caller{"me", api.Reviewer, []string{"acme"}})
	var events, denied, first, last = uint64(0), uint64(0), event.Time(0), event.Time(0)
	seen := map[string]bool{}
	for _, e := range ofTenant("acme") {
		if seen[e.ID] || e.Actor.Sub != "planner" {
			continue
		}
		seen[e.ID] = true
		events++
		if e.Outcome == event.Denied || e.Decision.Effect == event.Deny {
			denied++
		}
		if first == 0 || e.Time < first {
			first = e.Time
		}
		last = max(last, e.Time)
	}
	all := get[struct{ Identities []query.Identity }](s, "soc", "/api/v1/identities?days=3650&window_days=3650&age_days=0")
	i := slices.IndexFunc(all.Identities, func(i query.Identity) bool { return i.Sub == "planner" })
	if i < 0 {
		t.Fatalf("no planner in %+v", all.Identities)
	}
	planner := all.Identities[i]
	if planner.Tenant != "acme" || planner.Type != "agent" || planner.Events != events || planner.Denied != denied || event.TimeOf(planner.Last) != last || planner.Privileges == 0 {
		t.Errorf("%+v, want %d events, %d denied, the last at %s", planner, events, denied, last)
	}
	if humans := get[struct{ Identities []query.Identity }](s, "soc", "/api/v1/identities?days=3650&type=human&begins=ali"); len(humans.Identities) != 1 || humans.Identities[0].Sub != "alice" {
		t.Errorf("humans that begin so: %+v", humans)
	}
	one := get[struct {
		Identity query.Identity
		Seen     []query.Seen
		Days     []query.DayOf
		Tokens   []query.HeldToken
	}](s, "soc", "/api/v1/identities/planner?days=3650&window_days=3650&age_days=0")
	if one.Identity != planner {
		t.Errorf("alone it is %+v", one.Identity)
	}
	sum := uint64(0)
	for _, d := range one.Days {
		sum += d.Events
	}
	if sum != events || len(one.Tokens) == 0 {
		t.Errorf("%d events on its days, want %d; %d tokens", sum, events, len(one.Tokens))
	}
	if !slices.ContainsFunc(one.Seen, func(s query.Seen) bool {
		return s.What == "tool" && slices.Equal(s.Object, []string{"github-mcp", "merge_pull_request"})
	}) {
		t.Errorf("seen with %+v", one.Seen)
	}
	for target, want := range map[string]int{"identities/nobody": 404, "servers/nothing": 404} {
		if a := s.as("soc", "GET", "/api/v1/"+target, nil); a.status != want {
			t.Errorf("%s: %d %s", target, a.status, a.body)
		}
	}
	for _, target := range []string{"identities", "identities/planner", "servers", "servers/github-mcp"} {
		if a := s.as("me", "GET", "/api/v1/"+target, nil); a.status != 403 {
			t.Errorf("a reviewer asks for %s: %d", target, a.status)
		}
	}
}

// A server's callers and their calls are counted once each.
func TestServers(t *testing.T) {
	t.Parallel()
	c := tell(t)
	s := serve(t, api.Config{Connect: twoWalls(c)}, caller{"soc", api.Analyst, []string{"acme"}})
	calls, denied, seen := map[string]uint64{}, uint64(0), map[string]bool{}
	for _, e := range ofTenant("acme") {
		if seen[e.ID] || e.Type != event.TypeToolCall || e.Server.ID != "github-mcp" {
			continue
		}
		seen[e.ID] = true
		calls[e.Tool.Name]++
		if e.Outcome == event.Denied {
			denied++
		}
	}
	got := get[struct {
		Servers []query.MCPServer
		Callers []query.CallerOf
	}](s, "soc", "/api/v1/servers/github-mcp?days=3650")
	if len(got.Servers) != 1 || got.Servers[0].Tools != uint64(len(calls)) || got.Servers[0].Denied != denied || got.Servers[0].Calls != uint64(len(seen)) {
		t.Errorf("%+v, want %d calls of %d tools, %d denied", got.Servers, len(seen), len(calls), denied)
	}
	for _, c := range got.Callers {
		if c.Calls != calls[c.Tool] || c.Sub != "planner" {
			t.Errorf("%+v, want %d", c, calls[c.Tool])
		}
	}
	if list := get[struct{ Servers []query.MCPServer }](s, "soc", "/api/v1/servers?days=3650"); !slices.ContainsFunc(list.Servers, func(s query.MCPServer) bool { return s == got.Servers[0] }) {
		t.Errorf("in the list: %+v", list)
	}
}
