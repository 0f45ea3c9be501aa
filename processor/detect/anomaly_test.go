package detect_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// tuesday is one at 14:00 UTC.
var tuesday = event.TimeOf(time.Date(2026, 6, 2, 14, 0, 0, 0, time.UTC))

const day = 24 * time.Hour

// habit is a call of the story's runner with a token of no stated time, that long
// after tuesday.
func habit(after time.Duration, change func(*event.Event)) *event.Event {
	e := story.Named("triage-call")
	e.Time = tuesday.Add(after)
	e.Source.EventID, e.Source.Sequence = fmt.Sprint("habit-", after), 0
	e.Token.IssuedAt, e.Token.ExpiresAt = 0, 0
	e.Correlation.TaskID = ""
	change(e)
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	return e
}

// hour is n calls in the hour that begins that long after tuesday.
func hour(after time.Duration, n int, change func(int, *event.Event)) (out []*event.Event) {
	for i := range n {
		out = append(out, habit(after+time.Duration(i)*time.Hour/time.Duration(n), func(e *event.Event) { change(i, e) }))
	}
	return out
}

// weeks is so many calls in the hour of each week from tuesday on.
func weeks(calls ...int) (out []*event.Event) {
	for w, n := range calls {
		out = append(out, hour(time.Duration(w)*7*day, n, sameAs)...)
	}
	return out
}

// noveltyScenes: 20 days of the same, then something new, or not yet, or as always.
func noveltyScenes() []scene {
	days := func(n float64, change func(*event.Event)) *event.Event {
		return habit(time.Duration(n*float64(day)), change)
	}
	settled := func(at float64, change func(*event.Event)) []*event.Event {
		return []*event.Event{days(0, same), days(1, same), days(at-6, same), days(at, change)}
	}
	tool := func(name string) func(*event.Event) { return func(e *event.Event) { e.Tool.Name = name } }
	server := func(e *event.Event) { e.Server.ID, e.Tool.Name = "wiki-mcp", "read_page" }
	client := func(e *event.Event) { e.Client.Name = "curl" }
	human := func(e *event.Event) { e.Subject.Sub = "mallory" }
	audience := func(e *event.Event) { e.Token.Audience = append(e.Token.Audience, "https://payroll.initech.example") }
	return []scene{
		{name: "new tool", events: settled(20, tool("delete_ticket")), want: []string{"new_tool"}},
		{name: "new tool, refused", events: settled(20, func(e *event.Event) { e.Tool.Name, e.Outcome = "delete_ticket", event.Denied }), want: []string{"new_tool"}},
		{name: "new tool of an identity that is new too", events: settled(13, tool("delete_ticket"))},
		{name: "new tool, as every week", events: []*event.Event{days(0, same), days(1, same), days(10, tool("b")), days(12, tool("c")), days(22, tool("d"))}},
		{name: "new tool, days after many at once", events: []*event.Event{days(0, same), days(1, same), days(12, tool("b")), days(12.01, tool("c")), days(12.02, tool("d")), days(20, tool("e"))}, want: []string{"new_tool"}},
		{name: "the same tool", events: settled(20, same)},
		{name: "new server", events: settled(20, server), want: []string{"new_server"}},
		{name: "new server of an identity that is new too", events: settled(13, server)},
		{name: "new client", events: settled(20, client), want: []string{"new_client"}},
		{name: "new client of an identity that is new too", events: settled(13, client)},
		{name: "new path", events: settled(20, human), want: []string{"new_path"}},
		{name: "new path of an identity that is new too", events: settled(13, human)},
		{name: "new audience", events: settled(20, audience), want: []string{"new_audience"}},
		{name: "new audience of an identity that is new too", events: settled(13, audience)},
	}
}

// usual are eight weeks whose median is 5 and whose MAD is 2, by hand: sorted
// 3 3 5 5 5 7 7 9, distances from 5 sorted 0 0 0 2 2 2 2 4. Odd is what is above
// 5 + 6 x the square root of 5 x 4 = 31.8, for 1.4826 x 2 is less than 4.47.
func usual() []*event.Event { return weeks(5, 3, 7, 5, 9, 3, 7, 5) }

// eachWeek are eight weeks with five calls in the hour of each.
func eachWeek(change func(int, *event.Event)) (out []*event.Event) {
	for w := range time.Duration(8) {
		out = append(out, hour(w*7*day, 5, change)...)
	}
	return out
}

func anomalyScenes() []scene {
	denied := func(_ int, e *event.Event) { e.Outcome = event.Denied }
	spread := func(servers int) func(int, *event.Event) {
		return func(i int, e *event.Event) { e.Server.ID = fmt.Sprintf("mcp-%d", i%servers) }
	}
	tools := func(i int, e *event.Event) { e.Tool.Name = fmt.Sprint("tool-", i) }
	news := func(n int, also ...string) []string { return append(also, slices.Repeat([]string{"new_server"}, n)...) }
	young := func(e *event.Event) bool { return e.Time < tuesday.Add(7*7*day) }
	then := func(n int, change func(int, *event.Event)) []*event.Event {
		return slices.Concat(usual(), hour(8*7*day, n, change))
	}
	return []scene{
		{name: "many calls", events: then(32, sameAs), want: []string{"volume_anomaly"}},
		{name: "more calls than usual, as may be", events: then(31, sameAs)},
		{name: "many calls, an hour later in the week", events: slices.Concat(usual(), hour(8*7*day+time.Hour, 31, sameAs))},
		{name: "many calls, at a time of the week when there never were", events: slices.Concat(usual(), hour(8*7*day+6*time.Hour, 30, sameAs)), want: []string{"volume_anomaly"}},
		{name: "many calls of an identity that is new", events: slices.Concat(hour(0, 3, sameAs), hour(6*day, 60, sameAs))},
		{name: "many calls, of one that is known for long enough by its first", events: slices.Concat(weeks(1, 5, 5, 5), hour(4*7*day, 32, sameAs)), want: []string{"volume_anomaly"}},
		{name: "many calls, without peers to hold them against", events: slices.DeleteFunc(then(60, sameAs), young)},
		{name: "many refusals", events: then(12, denied), want: []string{"refusal_anomaly"}},
		{name: "some refusals", events: then(9, denied)},
		// One server in each week before: the median is 1, the spread 1, and odd is above 7.
		{name: "many servers", events: then(16, spread(8)), want: news(8, "fan_out_anomaly")},
		{name: "more servers than usual, as may be", events: then(14, spread(7)), want: news(7)},
		// As many tools in each week before: the median is 5, the spread its root, and odd is above 5 + 4 x 2.24 = 13.9.
		{name: "many tools", events: slices.Concat(eachWeek(tools), hour(8*7*day, 14, tools)), want: append(slices.Repeat([]string{"new_tool"}, 9), "tool_anomaly")},
		{name: "more tools than usual, as may be", events: slices.Concat(eachWeek(tools), hour(8*7*day, 13, tools)), want: slices.Repeat([]string{"new_tool"}, 8)},
	}
}

// What is said of an anomaly has the numbers that it rests on; they were worked
// out by hand.
func TestAnomalyInWords(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.store(usual()...)
	b.store(hour(8*7*day, 47, sameAs)...)
	newcomer := func(_ int, e *event.Event) { e.Actor.Sub = "newcomer" }
	// One that did as much a week before does what is usual for it, whatever others
	// do. Two weeks that differ widen nothing: by their MAD of 5 odd were above 51.5.
	for tenant, before := range map[string][]*event.Event{"peers": nil, "usual": hour(5*day, 28, newcomer), "differ": slices.Concat(hour(-2*day, 2, newcomer), hour(5*day, 12, newcomer))} {
		crowd := slices.Concat(before, hour(3*day, 1, newcomer), hour(12*day, 40, newcomer))
		for i, n := range []int{4, 8, 6, 6, 10} { // median 6, distances 2 2 0 0 4, MAD 2
			crowd = append(crowd, hour(5*day, n, func(_ int, e *event.Event) { e.Actor.Sub = fmt.Sprint("peer-", i) })...)
		}
		for i, e := range crowd {
			e.Chain, e.Tenant, e.Source.EventID = nil, tenant, fmt.Sprint(e.Source.EventID, i)
			e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
		}
		b.store(crowd...)
	}
	b.once()
	want := map[string]string{
		"initech": "runner: 47 calls in the hour from 2026-07-28 14:00 UTC; Tuesdays around 14h usually 3 to 9 (median 5, MAD 2), 8 weeks; odd above 31.8",
		"peers":   "newcomer: 40 calls in the hour from 2026-06-14 14:00 UTC; 5 others at the same servers had 4 to 10 around that hour of the week (median 6, MAD 2); it is known for 9 days and had 0 to 0 itself; odd above 35.4",
		"differ":  "newcomer: 40 calls in the hour from 2026-06-14 14:00 UTC; 5 others at the same servers had 4 to 10 around that hour of the week (median 6, MAD 2); it is known for 14 days and had 2 to 12 itself; odd above 38.7",
	}
	for _, f := range b.findings(detect.Filter{Rule: "volume_anomaly"}) {
		if f.Summary != want[f.Tenant] {
			t.Errorf("%s:\n%s, want\n%s", f.Tenant, f.Summary, want[f.Tenant])
		}
		delete(want, f.Tenant)
	}
	if len(want) != 0 {
		t.Errorf("nothing was found for %v", want)
	}
}

// One finding tells of all of a day, whichever of its hours came last, and goes
// when what comes late makes all of them usual.
func TestAnomalyOfADay(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *detect.Config) { c.Visible = time.Nanosecond })
	found := func(status, summary string, evidence int) {
		t.Helper()
		list := slices.DeleteFunc(b.findings(detect.Filter{Rule: "volume_anomaly"}), func(f *detect.Finding) bool { return f.SubjectKey[2] != "2026-07-28" })
		if len(list) != 1 || list[0].Status != status || list[0].Summary != summary || len(list[0].Evidence) != evidence || list[0].FirstSeen.Hour() != 14 {
			t.Errorf("%+v, want %s of %d events: %s", list, status, evidence, summary)
		}
	}
	at14 := "runner: 35 calls in the hour from 2026-07-28 14:00 UTC; Tuesdays around 14h usually "
	b.store(usual()...)
	b.store(hour(8*7*day, 35, sameAs)...)
	b.once()
	found(detect.Open, at14+"3 to 9 (median 5, MAD 2), 8 weeks; odd above 31.8", 1)
	b.store(hour(8*7*day+6*time.Hour, 40, sameAs)...)
	b.once()
	found(detect.Open, "runner: 40 calls in the hour from 2026-07-28 20:00 UTC; Tuesdays around 20h usually 0 to 0 (median 0, MAD 0), 8 weeks; odd above 6", 2)
	for _, w := range []time.Duration{1, 3, 5, 7} {
		b.store(hour(w*7*day+6*time.Hour, 40, sameAs)...)
	}
	b.once()
	found(detect.Open, at14+"3 to 9 (median 5, MAD 2), 8 weeks; odd above 31.8", 1)
	for _, w := range []time.Duration{0, 2, 4, 6} { // 17 3 19 5 21 3 19 5
		b.store(hour(w*7*day+time.Second, 12, sameAs)...)
	}
	b.once()
	found(detect.AutoResolved, at14+"3 to 21 (median 11, MAD 8), 8 weeks; that is usual, as calls say that came later: odd above 82.2", 1)
	if r := b.once(); r != (detect.Result{}) {
		t.Errorf("judging again changed %+v", r)
	}
}

// A rule that reads what a pass computes waits until that has taken the records in.
func TestWaitsForPass(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.store(append(usual(), hour(8*7*day, 47, sameAs)...)...)
	if _, err := b.engine.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := b.count(t.Context(), "SELECT count() FROM rule_progress WHERE rule = 'volume_anomaly'"); n != 0 || len(b.findings(detect.Filter{Rule: "volume_anomaly"})) != 0 {
		t.Errorf("judged before the pass took anything in")
	}
	b.once()
	if list := b.findings(detect.Filter{Rule: "volume_anomaly"}); len(list) != 1 || !strings.HasPrefix(list[0].Summary, "runner: 47 calls") {
		t.Errorf("after the pass: %v", list)
	}
}
