package detect_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/processor/privilege"
	"github.com/custody-audit/custody/processor/verdict"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// privilegeRules are those that read standing privilege.
var privilegeRules = []string{"dormant_identity", "over_scoped_token", "unused_grant"}

// privileged changes the configuration to those rules, each record judged once.
func privileged(t *testing.T) func(*detect.Config) {
	return func(c *detect.Config) {
		c.Visible = time.Nanosecond
		c.Rules = slices.DeleteFunc(builtin(t), func(r *detect.Rule) bool { return !slices.Contains(privilegeRules, r.ID) })
	}
}

// takeIn runs the passes that standing privilege rests on, which remember nothing
// but their progress.
func (b *bench) takeIn() {
	b.Helper()
	if err := b.privilegePasses().Once(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) privilegePasses() *enrich.Engine {
	b.Helper()
	conn := b.clickhouse.Conn(embedded.Detector)
	p, err := privilege.New(privilege.Config{ClickHouse: conn})
	if err != nil {
		b.Fatal(err)
	}
	v, err := verdict.New(verdict.Config{ClickHouse: conn, Sessions: b.clickhouse.Sessions(embedded.Detector)})
	if err != nil {
		b.Fatal(err)
	}
	e, err := enrich.NewEngine(enrich.EngineConfig{ClickHouse: conn, Logger: slog.New(slog.DiscardHandler),
		Passes: []enrich.Pass{{Name: "verdict", Take: v.Take}, {Name: "privilege", Take: p.Take}}})
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// ago is an event of the story of so many days before now. Grants are judged by
// the clock, so these scenes go with it.
func ago(days float64, name string, change func(*event.Event)) *event.Event {
	e := story.Named(name)
	e.Time = event.TimeOf(time.Now().Add(-time.Duration(days * float64(24*time.Hour))).Truncate(time.Millisecond))
	e.ObservedTime = e.Time
	e.Source.EventID, e.Source.Sequence = fmt.Sprintf("%s-%g", name, days), 0
	e.Token.IssuedAt, e.Token.ExpiresAt, e.Token.Scope = 0, 0, nil
	change(e)
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	return e
}

func privilegeScenes() []scene {
	call := func(days float64, scopes ...string) *event.Event {
		return ago(days, "triage-call", func(e *event.Event) { e.Token.Scope = scopes })
	}
	grant := func(days float64, typ string, scope string) *event.Event {
		return ago(days, "grant-payments", func(e *event.Event) {
			e.Type, e.Token.Scope, e.Subject, e.Actor, e.Server = typ, []string{scope}, event.Party{}, story.Named("triage-call").Actor, story.Named("triage-call").Server
			e.Tool = event.Tool{}
		})
	}
	listed := func(days float64) *event.Event { return grant(days, event.TypeGrantListed, "tickets:delete") }
	used := func(days float64) *event.Event { return call(days, "tickets:read") }
	// The calls are of a tool that is registered and needs tickets:read.
	return []scene{
		{name: "granted, and not used", events: []*event.Event{call(120), call(60), call(1), listed(100), listed(2)}, want: []string{"unused_grant"}},
		{name: "granted lately", events: []*event.Event{call(120), call(80), call(1), listed(80), listed(2)}},
		{name: "granted, and calls are not seen for long enough", events: []*event.Event{call(80), call(1), listed(100), listed(2)}},
		{name: "granted, and removed", events: []*event.Event{call(120), call(80), call(1), listed(100), listed(2), grant(1, event.TypeGrantRemoved, "tickets:delete")}},
		{name: "granted, and gone by itself", events: []*event.Event{call(120), call(80), call(1), listed(100)}},
		{name: "granted, and perhaps used", events: []*event.Event{call(120), call(80), ago(1, "triage-call", func(e *event.Event) {
			e.Tool.Name, e.Token.Scope = "unheard_of", []string{"tickets:delete"}
		}), listed(100), listed(2)}},
		{name: "tokens carry more than is used", events: []*event.Event{call(120, "tickets:read", "tickets:delete"), call(50, "tickets:read"), call(1, "tickets:read", "tickets:delete")}, want: []string{"over_scoped_token"}},
		{name: "tokens carry what is used", events: []*event.Event{call(120, "tickets:read"), call(50, "tickets:read"), call(1, "tickets:read")}},
		{name: "tokens carried more once", events: []*event.Event{call(120, "tickets:read", "tickets:delete"), call(50, "tickets:read"), call(1, "tickets:read")}},
		{name: "back after a hundred days", events: []*event.Event{used(140), used(120), used(20)}, want: []string{"dormant_identity"}},
		{name: "back, and refused", events: []*event.Event{used(140), used(120), ago(20, "triage-call", func(e *event.Event) { e.Outcome = event.Denied })}, want: []string{"dormant_identity"}},
		{name: "once, and back after a hundred days", events: []*event.Event{used(120), used(20)}, want: []string{"dormant_identity"}},
		{name: "never away, and may do more", events: []*event.Event{used(20), ago(15, "grant-payments", func(e *event.Event) {
			e.Subject, e.Actor, e.Server = event.Party{}, story.Named("triage-call").Actor, story.Named("triage-call").Server
		})}},
		// Seconds since 1970 of these do not fit into 32 bits; one source must not stop the pass or the rule for all.
		{name: "a clock of the year 2200", events: []*event.Event{used(20), used(-64_000)}},
		{name: "away for two months", events: []*event.Event{used(140), used(80), used(20)}},
		{name: "two who were never away", events: []*event.Event{used(140), ago(20, "triage-call", func(e *event.Event) { e.Actor.Sub, e.Chain[0].Sub = "other", "other" })}},
	}
}

// tickets registers what one tool needs.
func tickets() *enrich.Registry {
	call := story.Named("triage-call")
	r := roster()
	r.Tools = []enrich.Tool{{Server: call.Server.ID, Name: call.Tool.Name, Scopes: []string{"tickets:read"}}}
	return r
}

// Each scene is played in tenants of its own: once at once, and once for each of
// its events with that one last. In the end the same rules have findings.
func TestPrivilegeScenes(t *testing.T) {
	t.Parallel()
	b := newBench(t, privileged(t))
	registries, wants := map[string]*enrich.Registry{}, map[string]scene{}
	var first, last []*event.Event
	for n, s := range privilegeScenes() {
		for i := -1; i < len(s.events); i++ {
			tenant := fmt.Sprintf("scene-%d-%d", n, i+1)
			registries[tenant], wants[tenant] = tickets(), s
			for j, e := range s.events {
				copied, err := event.Decode(e.Canonical())
				if err != nil {
					t.Fatalf("%s: %v", s.name, err)
				}
				move(copied, tenant)
				if i == j {
					last = append(last, copied)
				} else {
					first = append(first, copied)
				}
			}
		}
	}
	b.registry = enrich.NewSnapshot(registries)
	for _, events := range [][]*event.Event{first, last} {
		b.store(events...)
		b.takeIn()
		b.once()
	}
	open := map[string][]string{}
	told := map[string]bool{}
	for _, f := range b.findings(detect.Filter{Status: detect.Open, Limit: 10_000}) {
		open[f.Tenant] = append(open[f.Tenant], f.Rule)
		if f.Summary == "" || f.FirstSeen.IsZero() || f.LastSeen.Before(f.FirstSeen) || len(f.Evidence) == 0 || f.Actor == "" {
			t.Errorf("%s of %s: %+v", f.Rule, f.Tenant, f)
		}
		if !told[f.Rule] {
			t.Logf("%s: %s [%s]", f.Rule, f.Summary, f.CoverageNote)
		}
		told[f.Rule] = true
	}
	for tenant, s := range wants {
		got := open[tenant]
		slices.Sort(got)
		if !slices.Equal(got, s.want) {
			t.Errorf("%s (%s): %q, want %q", s.name, tenant, got, s.want)
		}
	}
	if r := b.once(); r != (detect.Result{}) {
		t.Errorf("judging again changed %+v", r)
	}
}

// A use, and a day that was reported late, resolve findings and say so.
func TestPrivilegeResolves(t *testing.T) {
	t.Parallel()
	b := newBench(t, privileged(t))
	both := func(days float64) *event.Event {
		return ago(days, "triage-call", func(e *event.Event) { e.Token.Scope = []string{"tickets:read", "tickets:delete"} })
	}
	idle := func(days float64) *event.Event {
		return ago(days, "grant-payments", func(e *event.Event) {
			e.Token.Scope, e.Subject, e.Actor, e.Server = []string{"tickets:delete"}, event.Party{}, story.Named("triage-call").Actor, story.Named("triage-call").Server
			e.Tool = event.Tool{}
		})
	}
	tenant := both(1).Tenant
	r := tickets()
	r.Tools = append(r.Tools, enrich.Tool{Server: r.Tools[0].Server, Name: "delete_ticket", Scopes: []string{"tickets:delete"}})
	b.registry = enrich.NewSnapshot(map[string]*enrich.Registry{tenant: r})
	b.store(both(140), both(120), both(1), idle(100), idle(2))
	b.takeIn()
	if got := b.once(); got.Opened != 3 {
		t.Fatalf("changes %+v, want three opened", got)
	}
	late := both(60)
	late.Tool.Name = "delete_ticket"
	b.store(late)
	b.takeIn()
	if got := b.once(); got != (detect.Result{AutoResolved: 3}) {
		t.Errorf("changes %+v, want three resolved", got)
	}
	want := map[string]string{"unused_grant": "used the scope tickets:delete again", "over_scoped_token": "carries a scope that it does not use", "dormant_identity": "called a tool on"}
	for _, f := range b.findings(detect.Filter{}) {
		if f.Status != detect.AutoResolved || !strings.Contains(f.Summary, want[f.Rule]) {
			t.Errorf("%s is %s: %s", f.Rule, f.Status, f.Summary)
		}
	}
}

// What becomes so without the pass writing of the identity is found when all of it
// is judged: here calls of the server are known for long enough by another's.
func TestPrivilegeSweep(t *testing.T) {
	t.Parallel()
	b := newBench(t, privileged(t))
	passes := b.privilegePasses() // which remember what they took in
	granted := func(days float64) *event.Event {
		return ago(days, "grant-payments", func(e *event.Event) {
			e.Type, e.Token.Scope, e.Subject, e.Actor, e.Server = event.TypeGrantListed, []string{"tickets:delete"}, event.Party{}, story.Named("triage-call").Actor, story.Named("triage-call").Server
			e.Tool = event.Tool{}
		})
	}
	call := func(days float64, change func(*event.Event)) *event.Event { return ago(days, "triage-call", change) }
	round := func(want detect.Result, when string) {
		t.Helper()
		if err := passes.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := b.once(); got != want {
			t.Errorf("%s: changes %+v, want %+v", when, got, want)
		}
	}
	sweepNow := func() {
		t.Helper()
		if err := b.clickhouse.Conn(embedded.Admin).Exec(t.Context(), "DELETE FROM rule_progress WHERE endsWith(rule, ':sweep')"); err != nil {
			t.Fatal(err)
		}
		b.engine = b.newEngine(privileged(t)) // which reads how far it is
	}
	b.store(call(60, func(*event.Event) {}), call(1, func(*event.Event) {}), granted(100), granted(2))
	round(detect.Result{}, "calls are not seen for long enough")
	b.store(call(120, func(e *event.Event) { e.Actor.Sub, e.Chain[0].Sub = "other", "other" }))
	round(detect.Result{}, "another called long ago")
	sweepNow()
	round(detect.Result{Opened: 1}, "all of it is judged")
	round(detect.Result{}, "nothing is new")
	sweepNow()
	round(detect.Result{}, "all of it is judged again")
}
