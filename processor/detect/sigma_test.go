package detect_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// sigmaSet is the rules of these files, by name, alone.
func sigmaSet(t *testing.T, files map[string]string) []*detect.Rule {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name+".yml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return ownRules(t, dir)
}

func ownRules(t *testing.T, dir string) (own []*detect.Rule) {
	t.Helper()
	set, err := detect.ReadSet(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range set.Rules {
		if set.Own(r.ID) {
			own = append(own, r)
		}
	}
	return own
}

// evidence of all findings of a rule.
func (b *bench) evidence(rule string) []string {
	b.Helper()
	names := []string{}
	for _, f := range b.findings(detect.Filter{Rule: rule, Limit: 1000}) {
		names = append(names, b.named(f.Evidence)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// call is a call of the story as one of that name, changed.
func call(name string, change func(*event.Event)) *event.Event {
	return repeated("merge-call", 1, 0, func(_ int, e *event.Event) {
		e.Source.EventID = name
		change(e)
	})[0]
}

func tool(name string) func(*event.Event) { return func(e *event.Event) { e.Tool.Name = name } }

// sigmaCases are selections, and the events that they find.
var sigmaCases = []struct {
	selection string
	want      []string
}{
	{"tool: drop_table", []string{"lower", "upper"}},
	{"tool|cased: drop_table", []string{"lower"}},
	{"tool: drop*", []string{"lines", "lower", "star", "upper"}},
	{`tool: 'drop\*'`, []string{"star"}},
	{"tool: 'dr?p_table'", []string{"lower", "upper"}},
	{`tool: 'a\b'`, []string{"back"}},
	{`tool|contains: '\\'`, []string{"back"}},
	{`tool: "a\tb"`, []string{"tab"}},
	{`tool: "x' OR 1=1 --"`, []string{"quote"}},
	{`tool: "') OR ('' = '"`, []string{}},
	{`tool|contains: "' OR 1=1"`, []string{"quote"}},
	{"tool: '{v0:String}'", []string{"name"}},
	{"tool: löschen", []string{"umlaut"}},
	{"tool|contains|all: [drop, TABLE]", []string{"lower", "upper"}},
	{"tool|startswith: [near, fa]", []string{"far", "near"}},
	{"tool|endswith: OLD", []string{}},
	{"tool|re: '^drop.now$'", []string{}},
	{"tool|re|s: '^drop.now$'", []string{"lines"}},
	{"tool|re: '^Drop'", []string{"upper"}},
	{"tool|re|i: '^dROP_'", []string{"lower", "upper"}},
	{"tool|base64|contains: drop table", []string{"base64"}},
	{"tool|base64offset|contains: drop table", []string{"base64", "base64 inside"}},
	{"client_address|cidr: [10.0.0.0/8]", []string{"near", "port"}},
	{"client_address|cidr: ['2001:db8::/32', 192.168.0.0/16]", []string{"far"}},
	{"client_address|exists: true", []string{"far", "near", "noise", "port"}},
	{"tool_duration_ms|gte: 90000", []string{"slow"}},
	{"tool_duration_ms: 90000", []string{"slow"}},
	{"token_static: true", []string{"static"}},
	{"scope: repo:admin", []string{"scoped"}},
	{"scope|contains|all: [ADMIN, deploy]", []string{"scoped"}},
	{"scope: null", []string{"bare"}},
	{"attributes.team: red", []string{"noted"}},
	{"subject|fieldref: actor", []string{"self"}},
	{"time|hour|lt: 4", []string{"early"}},
	{"{tool: near, outcome: success}", []string{"near"}},
	{"[{tool: near}, {tool: far}]", []string{"far", "near"}},
	{"['\u007d no such word', drop_table]", []string{"lower", "upper"}},
	{"{'|all': [drop_, github-mcp]}", []string{"lower", "upper"}},
}

// Each construct finds what Sigma says it does, in a real ClickHouse.
func TestSigmaConstructs(t *testing.T) {
	t.Parallel()
	events := []*event.Event{
		call("lower", tool("drop_table")), call("upper", tool("Drop_Table")), call("star", tool("drop*")), call("back", tool(`a\b`)), call("tab", tool("a\tb")),
		call("quote", tool(`x' OR 1=1 --`)), call("name", tool("{v0:String}")), call("lines", tool("drop\nnow")), call("umlaut", tool("LÖSCHEN")),
		call("base64", tool("x ZHJvcCB0YWJsZQ== y")), call("base64 inside", tool("x IGRyb3AgdGFibGUg y")),
		call("near", func(e *event.Event) { e.ClientAddress, e.Tool.Name = "10.1.2.3", "near" }),
		call("far", func(e *event.Event) { e.ClientAddress, e.Tool.Name = "2001:db8::1", "far" }),
		call("noise", func(e *event.Event) { e.ClientAddress, e.Tool.Name = "gateway", "noise" }),
		call("port", func(e *event.Event) { e.ClientAddress, e.Tool.Name = "10.9.9.9:51522", "port" }),
		call("slow", func(e *event.Event) { e.Tool.DurationMS, e.Tool.Name = 90_000, "slow" }),
		call("static", func(e *event.Event) { e.Token.Static, e.Tool.Name = true, "static" }),
		call("scoped", func(e *event.Event) { e.Token.Scope, e.Tool.Name = []string{"repo:admin", "deploy:run"}, "scoped" }),
		call("bare", func(e *event.Event) { e.Token.Scope, e.Tool.Name = nil, "bare" }),
		call("noted", func(e *event.Event) { e.Attributes, e.Tool.Name = map[string]string{"team": "Red"}, "noted" }),
		call("self", func(e *event.Event) { e.Subject, e.Tool.Name = e.Actor, "self" }),
		call("early", func(e *event.Event) { e.Time, e.Tool.Name = e.Time.Add(-minutes(6*60)), "early" }),
	}
	for _, e := range events {
		e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	}
	files := map[string]string{}
	for i, c := range sigmaCases {
		selection := c.selection
		if !strings.ContainsAny(selection[:1], "{[") {
			selection = "\n    " + selection
		}
		files[fmt.Sprintf("case_%d", i)] = "title: It's \"odd\" \\ {from:String}\nlevel: low\nlogsource: {product: custody}\ndetection:\n  s: " + selection + "\n  condition: s\n"
	}
	for condition, name := range map[string]string{"not (a or b) and c": "without", "all of them": "all", "1 of a* or b": "either", "not 1 of them": "none"} {
		files["condition_"+name] = "title: T\nlevel: low\nlogsource: {product: custody, category: tool_invocation, service: native}\ndetection:\n  a: {tool: near}\n  b: {tool: far}\n  c: {client_address|exists: true}\n  condition: " + condition + "\n"
	}
	b := newBench(t, func(c *detect.Config) { c.Rules = sigmaSet(t, files) })
	b.store(events...)
	b.once()
	for i, c := range sigmaCases {
		if diff := cmp.Diff(c.want, b.evidence(fmt.Sprintf("case_%d", i))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.selection, diff)
		}
	}
	for name, want := range map[string][]string{"without": {"noise", "port"}, "all": {}, "either": {"far", "near"}} {
		if diff := cmp.Diff(want, b.evidence("condition_"+name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got := b.evidence("condition_none"); len(got) != len(events)-4 {
		t.Errorf("none: %v", got)
	}
}

// Each event of a correlation may come last, and the same is found.
func TestSigmaCorrelations(t *testing.T) {
	t.Parallel()
	at := func(name, actor, does, server string, minute float64) *event.Event {
		e := call(name, func(e *event.Event) {
			e.Actor.Sub, e.Tool.Name, e.Server.ID, e.Time = actor, does, server, e.Time.Add(minutes(minute))
		})
		e.ID = event.NewID(e.Tenant, e.Source.ID, name, e.Time)
		return e
	}
	events := []*event.Event{
		at("a1", "ann", "read", "s1", 0), at("a2", "ann", "send", "s2", 4), at("a3", "ann", "read", "s3", 9), // three servers within 9 minutes
		at("b1", "bob", "send", "s1", 0), at("b2", "bob", "read", "s1", 5), at("b3", "bob", "read", "s1", 40), // sent before it read
		at("c1", "cid", "read", "s1", 0), at("c2", "cid", "send", "s1", 11), // too late
		at("d1", "dan", "read", "s1", 59), at("d2", "dan", "send", "s1", 69), // exactly as long, over the hour
		at("e1", "eve", "read", "s1", 0), at("e2", "eve", "send", "s1", 0), // at the same time
	}
	want := map[string][]string{
		"three":    {"a1", "a2", "a3"},
		"more":     {"a1", "a2", "a3"},
		"servers":  {"a1", "a2", "a3"},
		"together": {"a1", "a2", "a3", "b1", "b2", "d1", "d2", "e1", "e2"},
		"ordered":  {"a1", "a2", "a3", "d1", "d2"},
		"crossed":  {"a1", "a2", "a3"},
	}
	base := "title: R\nname: reads\nlevel: low\nlogsource: {product: custody}\ndetection: {s: {tool: read}, condition: s}\n---\n" +
		"title: S\nname: sends\nlevel: low\nlogsource: {product: custody}\ndetection: {s: {tool: send}, condition: s}\n"
	for name, c := range map[string]string{
		"three":    "{type: event_count, rules: [reads, sends], group-by: actor, timespan: 10m, condition: {gte: 3}}",
		"more":     "{type: event_count, rules: [reads, sends], group-by: [actor, tenant], timespan: 600s, condition: {gt: 2}}",
		"servers":  "{type: value_count, rules: [reads, sends], group-by: [actor], timespan: 10m, condition: {field: server, gte: 3}}",
		"together": "{type: temporal, rules: [reads, sends], group-by: [actor], timespan: 10m}",
		"ordered":  "{type: temporal_ordered, rules: [reads, sends], group-by: [actor], timespan: 10m}",
		"crossed":  "{type: temporal_ordered, rules: [reads, sends, reads], group-by: [who], aliases: {who: {reads: actor, sends: actor_sub}}, timespan: 10m}",
	} {
		if name == "crossed" { // the same rule twice needs two numbers
			base += "---\ntitle: A\nname: again\nlevel: low\nlogsource: {product: custody}\ndetection: {s: {tool: read}, condition: s}\n"
			c = strings.Replace(c, "sends, reads]", "sends, again]", 1)
			c = strings.Replace(c, "reads: actor,", "reads: actor, again: actor,", 1)
		}
		base += "---\ntitle: C\nname: " + name + "\nlevel: high\ncorrelation: " + c + "\n"
	}
	rules := sigmaSet(t, map[string]string{"all": base})
	if len(rules) != len(want) {
		t.Fatalf("%d rules make findings, want %d", len(rules), len(want))
	}
	b := newBench(t, func(c *detect.Config) { c.Rules = rules })
	for last := range events {
		b.store(lastOf(events, last, fmt.Sprintf("t%d", last))...)
	}
	b.once()
	for last := range events {
		tenant := fmt.Sprintf("t%d", last)
		b.store(again(events[last], tenant))
	}
	b.once()
	for last := range events {
		for rule, want := range want {
			var got []string
			for _, f := range b.findings(detect.Filter{Rule: rule, Tenant: fmt.Sprintf("t%d", last), Limit: 1000}) {
				got = append(got, b.named(f.Evidence)...)
			}
			slices.Sort(got)
			if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
				t.Errorf("%s, %s last (-want +got):\n%s", rule, events[last].Source.EventID, diff)
			}
		}
	}
}

// lastOf are the events but one, in a tenant of their own.
func lastOf(events []*event.Event, last int, tenant string) (out []*event.Event) {
	for i, e := range events {
		if i != last {
			out = append(out, again(e, tenant))
		}
	}
	return out
}

// again is the event in another tenant.
func again(e *event.Event, tenant string) *event.Event {
	x := *e
	x.Tenant = tenant
	x.ID = event.NewID(tenant, x.Source.ID, x.Source.EventID, x.Time)
	return &x
}

// The examples of the documentation find in the story what they are for.
func TestSigmaExamples(t *testing.T) {
	t.Parallel()
	rules := ownRules(t, filepath.Join("..", "..", "docs", "examples", "sigma"))
	b := newBench(t, func(c *detect.Config) { c.Rules = rules })
	wide := changed("exchange-crm", func(e *event.Event) {
		e.Source.EventID, e.Exchange.GrantedScope = "exchange-admin", []string{"crm:read", "crm:admin"}
	})
	wide.ID = event.NewID(wide.Tenant, wide.Source.ID, wide.Source.EventID, wide.Time)
	far := changed("customer-call", func(e *event.Event) { e.Source.EventID, e.ClientAddress = "call-outside", "[2001:db8::7]:51522" })
	far.ID = event.NewID(far.Tenant, far.Source.ID, far.Source.EventID, far.Time)
	b.store(append(story.Events(), wide, far)...)
	b.once()
	for rule, want := range map[string][]string{
		"destructive_tool_called": {"export-call", "report-call"},
		"many_refusals":           {"branch-refused-call", "delete-call"},
		"many_servers": {"backlog-call", "call-outside", "customer-call", "invoices-call", "late-close-call", "notes-call", "payslip-call", "report-call",
			"triage-call", "export-call", "refund-call", "salaries-august-call", "salaries-september-call"},
		"refused_then_done":    {"branch-call", "branch-refused-call"},
		"tool_from_outside":    {"call-outside"},
		"wide_scope_exchanged": {"exchange-admin"},
	} {
		slices.Sort(want)
		if diff := cmp.Diff(want, b.evidence(rule)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", rule, diff)
		}
	}
	if len(rules) != 6 {
		t.Errorf("%d examples", len(rules))
	}
}
