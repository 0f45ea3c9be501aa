package sigma_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/detect/sigma"
)

const head = "title: T\nname: mine\nlevel: low\n"

const correlated = "title: B\nname: other\nlevel: low\nlogsource: {product: custody}\ndetection: {s: {tool: a}, condition: s}\n---\n" + head + "correlation:\n"

// What is not supported is refused, and the error says where and what.
func TestRefuses(t *testing.T) {
	t.Parallel()
	detection := func(text string) string { return head + "logsource: {product: custody}\ndetection: " + text }
	for _, c := range []struct{ text, want string }{
		{detection("{s: {nothing: a}, condition: s}"), `detection.s: field "nothing" is unknown`},
		{detection("{s: {'tool|windash': a}, condition: s}"), "modifier windash is not supported"},
		{detection("{s: {'tool|re': '(?=a)'}, condition: s}"), "want the syntax of RE2"},
		{detection("{s: {'tool|gte': 3}, condition: s}"), "modifier gte is not of this field"},
		{detection("{s: {'tool|cidr|contains': 10.0.0.0/8}, condition: s}"), "modifier contains is not supported behind cidr"},
		{detection("{s: {'client_address|cidr': 10.0.0.0/99}, condition: s}"), "cidr"},
		{detection("{s: {tool_duration_ms: null}, condition: s}"), "whether it is absent is not stored"},
		{detection("{s: {tool_duration_ms: often}, condition: s}"), `"often": want a whole number`},
		{detection("{s: {token_static: 3}, condition: s}"), `"3": want true or false`},
		{detection("{s: {time: 3}, condition: s}"), "by its parts only"},
		{detection("{s: {'tool|base64': 'a*'}, condition: s}"), "cannot be written in Base64"},
		{detection("{s: {'tool|base64offset|contains': 'a'}, condition: s}"), "two characters"},
		{detection("{s: {'tool|fieldref': scope}, condition: s}"), "fieldref"},
		{detection("{s: {tool: []}, condition: s}"), "want a value"},
		{detection("{s: {tool: {a: b}}, condition: s}"), "want a value or a list"},
		{detection("{s: {tool: a, tool: b}, condition: s}"), "tool is there twice"},
		{detection("{s: ['a\"b'], condition: s}"), "is not found in JSON"},
		{detection("{s: {tool: a}}"), "detection.condition is required"},
		{detection("{s: {tool: a}, condition: t}"), `there is no selection "t"`},
		{detection("{s: {tool: a}, condition: s and}"), "ends too early"},
		{detection("{s: {tool: a}, condition: (s}"), "not closed"},
		{detection("{s: {tool: a}, condition: s s}"), `"s" is not expected`},
		{detection("{s: {tool: a}, condition: 2 of s*}"), "2 of is not supported"},
		{detection("{s: {tool: a}, condition: 1 of t*}"), "no selection is"},
		{detection("{s: {tool: a}, condition: s | count() > 3}"), "aggregation of Sigma 1"},
		{detection("{s: {tool: a}, timeframe: 3m, condition: s}"), "detection.timeframe"},
		{"title: T\nname: mine\nlogsource: {product: custody}\ndetection: {s: {tool: a}, condition: s}", `level ""`},
		{head + "logsource: {product: windows}\ndetection: {s: {tool: a}, condition: s}", "logsource.product"},
		{head + "logsource: {product: custody, host: a}\ndetection: {s: {tool: a}, condition: s}", "logsource.host"},
		{head + "detection: {s: {tool: a}, condition: s}", "logsource.product is required"},
		{head + "action: global", "action"},
		{head + "filter: {rules: [a]}", "Sigma filters"},
		{head, "either detection or correlation"},
		{correlated + "  {type: value_avg, rules: [other], timespan: 1m}", "correlation.type"},
		{correlated + "  {type: event_count, rules: [none], timespan: 1m, condition: {gte: 2}}", `no rule "none"`},
		{correlated + "  {type: event_count, rules: [mine], timespan: 1m, condition: {gte: 2}}", "is a correlation itself"},
		{correlated + "  {type: event_count, rules: [other], timespan: 1m, condition: {lt: 2}}", "correlation.condition.lt is not supported"},
		{correlated + "  {type: event_count, rules: [other], timespan: 30d, condition: {gte: 2}}", "correlation.timespan"},
		{correlated + "  {type: event_count, rules: [other], timespan: 1m, condition: {gte: 2, field: tool}}", "correlation.condition.field"},
		{correlated + "  {type: value_count, rules: [other], timespan: 1m, condition: {gte: 2, field: scope}}", "scope is not a field of one text"},
		{correlated + "  {type: event_count, rules: [other], group-by: [scope], timespan: 1m, condition: {gte: 2}}", "correlation.group-by"},
		{correlated + "  {type: temporal, rules: [other], timespan: 1m}", "two or more"},
		{correlated + "  {type: event_count, rules: [other], timespan: 1m, window: 3, condition: {gte: 2}}", "correlation.window is not supported"},
		{correlated + "  {type: event_count, rules: [other], aliases: {a: {other: tool}}, timespan: 1m, condition: {gte: 2}}", "correlation.aliases.a"},
	} {
		_, err := sigma.Load(fstest.MapFS{"own.yml": {Data: []byte(c.text)}})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "own.yml") {
			t.Errorf("%s\n%v, want %q", c.text, err, c.want)
		}
	}
}

// Whatever text a rule holds, the query holds none of it.
func TestBindsAllText(t *testing.T) {
	t.Parallel()
	const evil = `XX') OR 1=1 -- {v0:String}`
	text := "title: \"" + evil + "\"\nname: evil\nlevel: low\nlogsource: {product: custody, category: \"" + evil + "\", service: \"" + evil + "\"}\ndetection:\n"
	for i, modifier := range []string{"", "|contains", "|startswith", "|cased", "|contains|all"} {
		text += "  s" + string(rune('a'+i)) + ":\n    tool" + modifier + ": \"" + evil + "\"\n"
	}
	text += "  re:\n    tool|re: \"" + regexp.QuoteMeta(evil)[:2] + "\"\n  attribute:\n    \"attributes.XX') OR 1=1\": b\n  words:\n    - \"" + evil + "\"\n  condition: 1 of them\n"
	rules, err := sigma.Load(fstest.MapFS{"evil.yml": {Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	if r := rules[0]; strings.Contains(r.SQL, "XX") || strings.Contains(r.SQL, "1=1") || len(r.Values) < 10 {
		t.Errorf("%s\n%v", r.SQL, r.Values)
	}
}

// Every name of the filter language is a field, and every column of the view
// events, but for those about how a record is kept.
func TestFields(t *testing.T) {
	t.Parallel()
	known := sigma.Fields()
	for _, name := range query.Fields() {
		if !slices.Contains([]string{"last", "after", "before"}, name) && !slices.Contains(known, name) {
			t.Errorf("filter field %s is none", name)
		}
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "schemas", "table", "testdata", "schema.sql"))
	if err != nil {
		t.Fatal(err)
	}
	_, view, _ := strings.Cut(string(text), "CREATE VIEW custody.events\n")
	view, _, _ = strings.Cut(view, "AS SELECT")
	kept := []string{"topic", "epoch", "partition", "offset", "log_time", "stored_time", "leaf_hash", "content_hash", "raw", "attributes"}
	found := regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(view, -1)
	for _, m := range found {
		if slices.Contains(known, m[1]) == slices.Contains(kept, m[1]) {
			t.Errorf("column %s: a field is %v", m[1], slices.Contains(known, m[1]))
		}
	}
	if len(found) < 100 {
		t.Errorf("only %d columns", len(found))
	}
}

// Whatever a file holds, it is translated or refused.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "docs", "examples", "sigma", "*.yml"))
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		rules, err := sigma.Load(fstest.MapFS{"own.yml": {Data: text}})
		for _, r := range rules {
			if r.SQL == "" || r.Name == "" {
				t.Errorf("%+v, %v", r, err)
			}
		}
	})
}
