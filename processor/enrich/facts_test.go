package enrich_test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

const acmeIssuer = "https://idp.acme.example"

func at(text string) event.Time {
	t, err := event.ParseTime(text)
	if err != nil {
		panic(err)
	}
	return t
}

// acme registers who acts in the story's first chapters.
func acme() *enrich.Registry {
	return &enrich.Registry{
		Principals: []enrich.Principal{
			{Iss: acmeIssuer, Sub: "alice", Type: event.Human, Owner: "alice@acme.example", Team: "shop"},
			{Iss: acmeIssuer, Sub: "plan*", Type: event.Agent, Owner: "agents@acme.example", Team: "agents", Lifecycle: []enrich.Phase{
				{State: enrich.Active, Since: at("2026-10-01T00:00:00Z")}, {State: enrich.Suspended, Since: at("2026-10-05T09:40:00Z")},
			}},
			{Iss: acmeIssuer, Sub: "*", Owner: "nobody@acme.example"},
		},
		Servers: []enrich.Server{
			{ID: "github-mcp", Owner: "code@acme.example", Team: "code", Sensitivity: "internal", URIs: []string{"https://github-mcp.acme.example/mcp/"}},
		},
		Tools: []enrich.Tool{
			{Server: "github-mcp", Name: "merge_pull_request", Owner: "release@acme.example", Sensitivity: "restricted", Scopes: []string{"repo:write"}},
			{Server: "github-mcp", Name: "delete_*", Scopes: []string{"repo:admin"}, Destructive: true},
		},
	}
}

func snapshot() *enrich.Snapshot {
	return enrich.NewSnapshot(map[string]*enrich.Registry{"acme": acme()})
}

func factsOf(e *event.Event) table.Facts {
	var f table.Facts
	snapshot().Facts(e, &f)
	f.RegistryVersion = ""
	return f
}

// The story's events with the facts that belong to them.
func TestFactsOfStory(t *testing.T) {
	for name, want := range map[string]table.Facts{
		"merge-call": {
			SubjectOwner: "alice@acme.example", SubjectTeam: "shop", SubjectLifecycle: "active", ActorOwner: "agents@acme.example", ActorTeam: "agents", ActorLifecycle: "active",
			ServerOwner: "code@acme.example", ServerTeam: "code", ServerSensitivity: "internal", ServerLifecycle: "active",
			ToolRegistered: true, ToolOwner: "release@acme.example", ToolSensitivity: "restricted", ToolScopes: []string{"repo:write"},
			LifetimeSeconds: 300, RemainingSeconds: 299, AudienceCheck: "match", ScopeCheck: "excess", ScopeExcess: []string{"deploy:run"},
		},
		"delete-call": { // by an agent that was suspended five minutes before
			SubjectOwner: "alice@acme.example", SubjectTeam: "shop", SubjectLifecycle: "active", ActorOwner: "agents@acme.example", ActorTeam: "agents", ActorLifecycle: "suspended",
			ServerOwner: "code@acme.example", ServerTeam: "code", ServerSensitivity: "internal", ServerLifecycle: "active",
			ToolRegistered: true, ToolOwner: "code@acme.example", ToolSensitivity: "internal", ToolScopes: []string{"repo:admin"}, ToolDestructive: true,
			LifetimeSeconds: 300, RemainingSeconds: 299, AudienceCheck: "match",
			ScopeCheck: "insufficient", ScopeExcess: []string{"repo:write"}, ScopeMissing: []string{"repo:admin"},
		},
		"exchange-github": {
			SubjectOwner: "alice@acme.example", SubjectTeam: "shop", SubjectLifecycle: "active", ActorOwner: "agents@acme.example", ActorTeam: "agents", ActorLifecycle: "active",
			LifetimeSeconds: 3600, RemainingSeconds: 3599, OutlivesSeconds: 300 - 3599, ScopeDropped: []string{"repo:read"},
		},
		"deploy-call": { // github-mcp has the entry for everybody, deploy-mcp has none
			SubjectOwner: "alice@acme.example", SubjectTeam: "shop", SubjectLifecycle: "active", ActorOwner: "nobody@acme.example", ActorLifecycle: "active",
			LifetimeSeconds: 120, RemainingSeconds: 119, AudienceCheck: "match", ScopeCheck: "unknown",
		},
	} {
		if diff := cmp.Diff(want, factsOf(story.Named(name)), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAudience(t *testing.T) {
	registered := event.Server{ID: "github-mcp"}
	for _, x := range []struct {
		name     string
		server   event.Server
		audience []string
		want     string
	}{
		{"by the event's uri", event.Server{ID: "s", URI: "https://s.example/mcp"}, []string{"a", "https://s.example/mcp"}, enrich.AudienceMatch},
		{"but for the slash", event.Server{ID: "s", URI: "https://s.example/mcp"}, []string{"https://s.example/mcp/"}, enrich.AudienceMatch},
		{"by id", event.Server{ID: "s"}, []string{"s"}, enrich.AudienceMatch},
		{"by the registry's uri", registered, []string{"https://github-mcp.acme.example/mcp"}, enrich.AudienceMatch},
		{"for another", event.Server{ID: "s", URI: "https://s.example/mcp"}, []string{"https://other.example"}, enrich.AudienceMismatch},
		{"for another, by the registry", registered, []string{"https://other.example"}, enrich.AudienceMismatch},
		{"a server of which only the id is known", event.Server{ID: "s"}, []string{"https://other.example"}, enrich.AudienceUnknown},
		{"no server", event.Server{}, []string{"https://other.example"}, enrich.AudienceUnknown},
		{"no audience", registered, nil, enrich.AudienceAbsent},
		{"an empty one is none of an empty uri", event.Server{ID: "s"}, []string{""}, enrich.AudienceUnknown},
	} {
		e := &event.Event{Kind: event.ToolInvocation, Tenant: "acme", Server: x.server, Token: event.Token{Audience: x.audience}}
		if got := factsOf(e).AudienceCheck; got != x.want {
			t.Errorf("%s: %s, want %s", x.name, got, x.want)
		}
	}
	if got := factsOf(story.Named("exchange-github")).AudienceCheck; got != "" {
		t.Errorf("an exchange presents its subject token to no server, got %s", got)
	}
}

func TestExchange(t *testing.T) {
	x := func(change func(*event.Event)) table.Facts {
		e := &event.Event{Kind: event.TokenExchange, Outcome: event.Success, Exchange: event.Exchange{
			SubjectScope: []string{"read", "write"}, RequestedScope: []string{"read", "admin"}, SubjectTokenRef: "r",
		}}
		change(e)
		return factsOf(e)
	}
	for _, c := range []struct {
		name           string
		change         func(*event.Event)
		added, dropped []string
	}{
		{"granted", func(e *event.Event) { e.Exchange.GrantedScope = []string{"write", "admin", "admin"} }, []string{"admin"}, []string{"read"}},
		{"granted what was asked for", func(e *event.Event) {}, []string{"admin"}, []string{"write"}},
		{"the scope of the token presented", func(e *event.Event) {
			e.Exchange.SubjectScope, e.Token = nil, event.Token{Ref: "r", Scope: []string{"read"}}
		}, []string{"admin"}, nil},
		{"another token was presented", func(e *event.Event) {
			e.Exchange.SubjectScope, e.Token = nil, event.Token{Ref: "other", Scope: []string{"read"}}
		}, nil, nil},
		{"refused", func(e *event.Event) { e.Outcome = event.Denied }, nil, nil},
	} {
		f := x(c.change)
		if diff := cmp.Diff([][]string{c.added, c.dropped}, [][]string{f.ScopeAdded, f.ScopeDropped}, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	expired := x(func(e *event.Event) { e.Time, e.Token.ExpiresAt = 10_000_000, 9_999_999 })
	if expired.RemainingSeconds != -1 || expired.LifetimeSeconds != 0 {
		t.Errorf("a token that expired a microsecond before: %+v", expired)
	}
}

func TestLifecycle(t *testing.T) {
	r := &enrich.Registry{Principals: []enrich.Principal{
		{Sub: "a", Lifecycle: []enrich.Phase{{enrich.Active, 100}, {enrich.Suspended, 200}, {enrich.Active, 300}, {enrich.Retired, 400}}},
		{Sub: "b", Lifecycle: []enrich.Phase{{enrich.Retired, 400}}},
	}}
	s := enrich.NewSnapshot(map[string]*enrich.Registry{"t": r})
	for _, x := range []struct {
		sub  string
		at   event.Time
		want enrich.State
	}{
		{"a", 99, enrich.Planned}, {"a", 100, enrich.Active}, {"a", 250, enrich.Suspended}, {"a", 300, enrich.Active}, {"a", 999, enrich.Retired},
		{"b", 1, enrich.Active}, {"b", 400, enrich.Retired}, {"c", 1, ""},
	} {
		var f table.Facts
		s.Facts(&event.Event{Tenant: "t", Time: x.at, Actor: event.Party{Sub: x.sub}}, &f)
		if f.ActorLifecycle != string(x.want) {
			t.Errorf("%s at %d: %q, want %q", x.sub, x.at, f.ActorLifecycle, x.want)
		}
	}
}

// The closest entry counts, within one issuer only.
func TestClosest(t *testing.T) {
	s := enrich.NewSnapshot(map[string]*enrich.Registry{"t": {Principals: []enrich.Principal{
		{Iss: "i", Sub: "*", Owner: "all"}, {Iss: "i", Sub: "job-*", Owner: "jobs"}, {Iss: "i", Sub: "job-night-*", Owner: "night"}, {Iss: "i", Sub: "job-night-1", Owner: "one"},
	}}})
	for who, want := range map[event.Party]string{
		{Iss: "i", Sub: "x"}: "all", {Iss: "i", Sub: "job-"}: "jobs", {Iss: "i", Sub: "job-day"}: "jobs", {Iss: "i", Sub: "job-night-2"}: "night",
		{Iss: "i", Sub: "job-night-1"}: "one", {Iss: "j", Sub: "job-night-1"}: "", {Iss: "i"}: "",
	} {
		var f table.Facts
		s.Facts(&event.Event{Tenant: "t", Subject: who}, &f)
		if f.SubjectOwner != want {
			t.Errorf("%v: %q, want %q", who, f.SubjectOwner, want)
		}
	}
}

// What was known of one event is not said of the next, and a registry is its
// tenant's only.
func TestFactsAreNotKept(t *testing.T) {
	var f table.Facts
	s := snapshot()
	s.Facts(story.Named("delete-call"), &f)
	s.Facts(&event.Event{Tenant: "globex", Subject: event.Party{Iss: acmeIssuer, Sub: "alice"}}, &f)
	if diff := cmp.Diff(table.Facts{}, f, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	var none *enrich.Snapshot
	none.Facts(story.Named("merge-call"), &f)
	if f.LifetimeSeconds != 300 || f.AudienceCheck != enrich.AudienceMatch || f.RegistryVersion != "" {
		t.Errorf("without a registry: %+v", f)
	}
}

func TestVersion(t *testing.T) {
	r, same := acme(), acme()
	slices.Reverse(same.Principals)
	slices.Reverse(same.Tools)
	if r.Version() != same.Version() {
		t.Error("the order of the entries is no content")
	}
	same.Tools[0].Destructive = !same.Tools[0].Destructive
	if r.Version() == same.Version() {
		t.Error("a changed tool has the same version")
	}
	moved := &enrich.Registry{Servers: []enrich.Server{{ID: "x"}}}
	if (&enrich.Registry{Principals: []enrich.Principal{{Sub: "x"}}}).Version() == moved.Version() {
		t.Error("a principal is no server")
	}
}

// large is a snapshot as a company has it.
func large() *enrich.Snapshot {
	r := acme()
	for i := range 10_000 {
		r.Principals = append(r.Principals, enrich.Principal{Iss: acmeIssuer, Sub: fmt.Sprintf("person-%d", i), Owner: "x"})
	}
	for i := range 300 {
		id := fmt.Sprintf("server-%d", i)
		r.Servers = append(r.Servers, enrich.Server{ID: id, Owner: "x"})
		for j := range 10 {
			r.Tools = append(r.Tools, enrich.Tool{Server: id, Name: fmt.Sprintf("tool_%d", j), Scopes: []string{"a"}})
		}
	}
	return enrich.NewSnapshot(map[string]*enrich.Registry{"acme": r, "globex": acme()})
}

func TestFactsAllocateNothing(t *testing.T) {
	s, events := large(), story.Events()
	var f table.Facts
	run := func() {
		for _, e := range events {
			s.Facts(e, &f)
		}
	}
	run()
	if n := testing.AllocsPerRun(10, run); n != 0 {
		t.Errorf("%v allocations for %d events", n, len(events))
	}
}

// The time is that of the processor: the clock on the wall tells of others too.
func BenchmarkFacts(b *testing.B) {
	s, events := large(), story.Events()
	events = slices.DeleteFunc(events, func(e *event.Event) bool { return e.Tenant != "acme" })
	var f table.Facts
	b.ReportAllocs()
	begin := cpu(b)
	for b.Loop() {
		for _, e := range events {
			s.Facts(e, &f)
		}
	}
	b.ReportMetric(float64(cpu(b)-begin)/float64(b.N)/float64(len(events)), "cpu-ns/event")
}

// cpu is the processor's time that this process used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
