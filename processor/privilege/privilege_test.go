package privilege_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/processor/privilege"
	"github.com/custody-audit/custody/processor/verdict"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// bench is a real ClickHouse with the passes on it.
type bench struct {
	testing.TB
	clickhouse *embeddedtest.ClickHouse
	conn       driver.Conn
	offset     int64
}

func newBench(t testing.TB) *bench {
	t.Helper()
	c := embeddedtest.StartClickHouse(t)
	return &bench{TB: t, clickhouse: c, conn: c.Conn(embedded.Detector)}
}

// take runs passes that remember nothing but their progress; coverage is the verdicts'.
func (b *bench) take() {
	b.Helper()
	p, err1 := privilege.New(privilege.Config{ClickHouse: b.conn})
	v, err2 := verdict.New(verdict.Config{ClickHouse: b.conn, Sessions: b.clickhouse.Sessions(embedded.Detector)})
	e, err3 := enrich.NewEngine(enrich.EngineConfig{ClickHouse: b.conn, Logger: slog.New(slog.DiscardHandler),
		Passes: []enrich.Pass{{Name: "verdict", Take: v.Take}, {Name: "privilege", Take: p.Take}}})
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := e.Once(b.Context()); err != nil {
		b.Fatal(err)
	}
}

var registry = enrich.NewSnapshot(map[string]*enrich.Registry{"acme": {
	Principals: []enrich.Principal{{Iss: iss, Sub: "planner", Owner: "alice@acme.example"}},
	Servers:    []enrich.Server{{ID: "git"}},
	Tools: []enrich.Tool{
		{Server: "git", Name: "read", Scopes: []string{"repo:read"}}, {Server: "git", Name: "merge", Scopes: []string{"repo:write"}},
		{Server: "git", Name: "label", Scopes: []string{"issue:write"}},
	},
}})

const iss = "https://sts.acme.example"

// store puts events where the processor does, a block of each.
func (b *bench) store(blocks ...[]*event.Event) {
	b.Helper()
	for _, events := range blocks {
		var records []*table.Record
		for _, e := range events {
			r := &table.Record{
				Position: table.Position{Topic: "custody.events", Epoch: "e", Offset: b.offset}, LogTime: e.Time.Go(),
				State: table.Stored, Raw: e.Canonical(), ContentHash: e.ContentHash(), Event: e, Facts: &table.Facts{},
			}
			registry.Facts(e, r.Facts)
			b.offset++
			records = append(records, r)
		}
		b.clickhouse.Store(b.TB, records...)
	}
}

func (b *bench) list(f query.PrivilegeFilter) *query.PrivilegePage {
	b.Helper()
	r, err := query.New(query.Config{ClickHouse: b.conn, Tenant: "acme"})
	if err != nil {
		b.Fatal(err)
	}
	f.Now = now
	page, err := r.Privileges(b.Context(), f, 1000)
	if err != nil {
		b.Fatal(err)
	}
	return page
}

// now is when the test asks; days count back from it.
var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

var numbered int

// on is an event of an agent that many days ago.
func on(days float64, kind event.Kind, typ, agent string, change func(*event.Event)) *event.Event {
	numbered++
	e := &event.Event{
		SchemaVersion: event.SchemaVersion, Kind: kind, Type: typ, Time: event.Time(now.Add(-time.Duration(days * float64(24*time.Hour))).UnixMicro()), Tenant: "acme",
		Source: event.Source{ID: "test", Type: "native", EventID: fmt.Sprint(numbered)}, Outcome: event.Success,
		Subject: event.Party{Iss: iss, Sub: "alice", Type: event.Human}, Actor: event.Party{Iss: iss, Sub: agent, Type: event.Agent},
		Server: event.Server{ID: "git", URI: "https://git.acme.example/mcp"},
	}
	e.ObservedTime = e.Time
	if change != nil {
		change(e)
	}
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	return e
}

// call is a call with a token of an hour.
func call(days float64, agent, tool, token string, scope ...string) *event.Event {
	return on(days, event.ToolInvocation, event.TypeToolCall, agent, func(e *event.Event) {
		e.Tool.Name = tool
		e.Token = event.Token{Ref: event.TokenRef(token), Scope: scope, IssuedAt: e.Time, ExpiresAt: e.Time.Add(time.Hour)}
	})
}

// exchange issues a token of so many seconds for the server's address.
func exchange(days float64, agent, token string, seconds int64, scope ...string) *event.Event {
	return on(days, event.TokenExchange, event.TypeTokenExchange, agent, func(e *event.Event) {
		e.Server = event.Server{}
		e.Exchange = event.Exchange{IssuedTokenRef: event.TokenRef(token), SubjectTokenRef: event.TokenRef("login"), GrantedScope: scope, Resource: []string{"https://git.acme.example/mcp"}, ExpiresIn: seconds}
	})
}

func grant(days float64, typ, agent string, scope ...string) *event.Event {
	return on(days, event.Grant, typ, agent, func(e *event.Event) { e.Token.Scope = scope })
}

// history is one agent for each state, and what makes it so.
func history() []*event.Event {
	listed := on(95, event.ToolInvocation, event.TypeToolList, "lister", func(e *event.Event) {
		e.Tool.ServerMethod = "tools/list"
		e.Attributes = map[string]string{"mcp.tools.count": "2", "mcp.tools.names": "read merge"}
	})
	again := on(1, event.ToolInvocation, event.TypeToolList, "lister", func(e *event.Event) { e.Tool.ServerMethod, e.Attributes = "tools/list", listed.Attributes })
	allowed := on(120, event.PermissionDecision, event.TypeDecision, "decided", func(e *event.Event) {
		e.Tool.Name, e.Decision = "merge", event.Decision{Effect: event.Allow, Engine: "opa"}
	})
	static := on(100, event.Credential, event.TypeCredentialStatic, "legacy", func(e *event.Event) {
		e.Token = event.Token{Ref: "hmac:k:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", Scope: []string{"repo:*"}, Static: true}
	})
	stillStatic := on(2, event.Credential, event.TypeCredentialStatic, "legacy", func(e *event.Event) { e.Token = static.Token })
	refused := call(3, "planner", "merge", "t3", "repo:read", "repo:write")
	refused.Outcome = event.Denied
	onward := on(4, event.TokenExchange, event.TypeTokenExchange, "proxy", func(e *event.Event) {
		e.Server = event.Server{}
		e.Chain = []event.Link{{Iss: iss, Sub: "proxy"}, {Iss: iss, Sub: "relay"}}
		e.ChainRule = event.SubjectChained
		e.Token = event.Token{Ref: event.TokenRef("r1"), Scope: []string{"deploy:run", "deploy:stop"}, Audience: []string{"https://git.acme.example/mcp"}}
		e.Exchange = event.Exchange{IssuedTokenRef: event.TokenRef("r2"), SubjectTokenRef: event.TokenRef("r1"), GrantedScope: []string{"deploy:run"}, Resource: []string{"https://other.example"}, ExpiresIn: 60}
	})
	return []*event.Event{
		call(200, "somebody", "read", "s0", "repo:read"), // since then calls of git are seen
		exchange(100, "planner", "t1", 3600, "repo:read", "repo:write"), call(99, "planner", "read", "t1", "repo:read", "repo:write"),
		exchange(5, "planner", "t2", 3600, "repo:read", "repo:write"), call(5, "planner", "read", "t2", "repo:read", "repo:write"), refused,
		call(150, "once", "merge", "o1", "repo:write"), exchange(10, "once", "o2", 60, "repo:write"),
		exchange(30, "fresh", "f1", 60, "repo:write"),
		exchange(170, "gone", "g1", 60, "repo:write"), exchange(160, "gone", "g2", 60, "repo:write"),
		grant(180, event.TypeGrantListed, "former", "repo:write"), grant(20, event.TypeGrantRemoved, "former", "repo:write"),
		exchange(120, "guess", "u1", 60, "repo:write"), call(6, "guess", "unheard_of", "u2", "repo:write"),
		listed, again, allowed, static, stillStatic,
		exchange(110, "relay", "r0", 60, "deploy:run", "deploy:stop"), exchange(8, "relay", "r1", 60, "deploy:run", "deploy:stop"), onward,
		on(100, event.TokenExchange, event.TypeTokenExchange, "unseen", func(e *event.Event) {
			e.Server = event.Server{}
			e.Exchange = event.Exchange{IssuedTokenRef: event.TokenRef("n1"), SubjectTokenRef: event.TokenRef("login"), GrantedScope: []string{"mail:send"}, Resource: []string{"https://mail.example"}, ExpiresIn: 60}
		}),
		on(3, event.TokenExchange, event.TypeTokenExchange, "unseen", func(e *event.Event) {
			e.Server = event.Server{}
			e.Exchange = event.Exchange{IssuedTokenRef: event.TokenRef("n2"), SubjectTokenRef: event.TokenRef("login"), GrantedScope: []string{"mail:send"}, Resource: []string{"https://mail.example"}, ExpiresIn: 60}
		}),
	}
}

func told(page *query.PrivilegePage) (out []string) {
	for _, p := range page.Privileges {
		out = append(out, fmt.Sprintf("%s %s/%s: %s by %s, %d uses, %d tokens, at risk %d s", p.Identity, p.Server, p.Name, p.State, strings.Join(p.How, "+"), p.Uses, p.Tokens, p.RiskSeconds))
	}
	return out
}

// wanted is what the history comes to, what to remove first first.
var wanted = []string{
	"legacy git/repo:*: never_used by credential, 0 uses, 1 tokens, at risk 0 s",
	"planner git/repo:write: never_used by token+exchange, 0 uses, 3 tokens, at risk 10800 s",
	"relay git/deploy:stop: never_used by exchange, 0 uses, 2 tokens, at risk 120 s",
	"once git/repo:write: not_used_lately by token+exchange, 1 uses, 2 tokens, at risk 3660 s",
	"lister git/merge: never_used by offered, 0 uses, 0 tokens, at risk 0 s",
	"lister git/read: never_used by offered, 0 uses, 0 tokens, at risk 0 s",
}

// Every state comes out, whatever the order in which events come and however
// often they are taken in.
func TestStates(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	events := history()
	for _, e := range events {
		if err := e.Validate(); err != nil {
			t.Fatalf("%s: %v", e.Source.EventID, err)
		}
	}
	b.store(events)
	b.take()
	whole := b.list(query.PrivilegeFilter{})
	slices.Sort(wanted)
	unused := told(b.list(query.PrivilegeFilter{States: query.Unused}))
	t.Logf("unused, what to remove first first:\n%s", strings.Join(unused, "\n"))
	slices.Sort(unused)
	if diff := gocmp.Diff(wanted, unused); diff != "" {
		t.Error(diff)
	}
	states := map[string]string{}
	for _, p := range whole.Privileges {
		states[p.Identity+"/"+p.Name] = p.State
	}
	for of, want := range map[string]string{
		"planner/repo:read": query.Used, "fresh/repo:write": query.Young, "gone/repo:write": query.Lapsed, "former/repo:write": query.Removed,
		"guess/repo:write": query.MaybeUsed, "guess/unheard_of": query.NoGrant, "relay/deploy:run": query.Used, "unseen/mail:send": query.NotCovered, "decided/merge": query.Lapsed,
	} {
		if states[of] != want {
			t.Errorf("%s is %q, want %q", of, states[of], want)
		}
	}

	// The same in another order, in many blocks, each taken in again and again.
	for _, name := range append([]string{"records", "event_keys", "source_sequences"}, table.Computed...) {
		if err := b.clickhouse.Conn(embedded.Admin).Exec(t.Context(), "TRUNCATE TABLE "+name); err != nil {
			t.Fatal(err)
		}
	}
	rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	for part := range slices.Chunk(events, 12) {
		b.store(part)
		b.take()
	}
	b.take()
	if diff := gocmp.Diff(whole, b.list(query.PrivilegeFilter{})); diff != "" {
		t.Errorf("in another order: %s", diff)
	}
}
