package scenario

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/schemas/event"
)

// Whatever is in the script of a month is a valid event with an id of its own, and the
// same for the same seed.
func TestEventsAreValid(t *testing.T) {
	r := newRun(t, 3)
	r.think()
	seen := map[string]bool{}
	for _, s := range r.plot.scripts {
		for _, e := range s.events {
			if err := e.Validate(); err != nil {
				t.Fatalf("an event of an incident, %s: %v", e.Canonical(), err)
			}
			if seen[e.ID] {
				t.Fatalf("%s comes twice", e.ID)
			}
			seen[e.ID] = true
		}
	}
	again := newRun(t, 3)
	again.end = r.end
	again.think()
	for n, l := range r.plot.labels {
		if !slices.Equal(l.marked, again.plot.labels[n].marked) || len(l.marked) == 0 {
			t.Fatalf("%s: %v, then %v", l.Rule, l.marked, again.plot.labels[n].marked)
		}
	}
	for _, i := range r.cast.identities {
		for _, e := range slices.Concat(i.walk(i.rand(1, 0), r.begin()), i.someWork(r)) {
			if err := e.Validate(); err != nil {
				t.Fatalf("an event of %s, %s: %v", i.sub, e.Canonical(), err)
			}
		}
	}
}

// someWork is an hour of its work.
func (i *identity) someWork(r *run) (out []*event.Event) {
	for h := 0; h < 48 && len(out) == 0; h++ {
		at := r.begin().Truncate(time.Hour).Add(time.Duration(h) * time.Hour)
		out = i.hourly(i.rand(1, uint64(at.Unix())), at, 1)
	}
	return out
}

func newRun(t *testing.T, incidents int) *run {
	cfg := Config{Dir: t.TempDir(), Seed: 1, Identities: 60, Events: 20_000, Days: 30, Incidents: incidents, Late: 0.02, Wrong: 5, Progress: t.Output(), Logger: slog.New(slog.DiscardHandler)}
	if err := cfg.validate(); err != nil {
		t.Fatal(err)
	}
	return &run{Config: cfg, end: time.Now().UTC().Truncate(time.Minute), counts: map[string]int64{}}
}

// A small month on a real ClickHouse: every rule that records can provoke finds its
// incidents, nothing else is told, as much in a copy of it, and no row says what is an
// incident.
func TestScenario(t *testing.T) {
	t.Parallel()
	r := newRun(t, 2)
	r.Copies = 1
	ctx := t.Context()
	defer func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := r.start(ctx, false); err != nil {
		t.Fatal(err)
	}
	r.think()
	if err := r.store(ctx); err != nil {
		t.Fatal(err)
	}
	r.noLabels(t, ctx)
	result := &Result{}
	if err := r.judge(ctx, result); err != nil {
		t.Fatal(err)
	}
	rules, err := detect.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range rules {
		s := result.ByRule[rule.ID]
		if slices.Contains(Unexercised, rule.ID) {
			continue
		}
		// Some are held against others, of whom there are few here.
		weighed := strings.HasPrefix(rule.ID, "new_") || strings.HasSuffix(rule.ID, "_anomaly")
		if s == nil || s.Incidents != 2 || s.Found != 2 && !weighed {
			t.Errorf("%s: %+v", rule.ID, s)
		}
	}
	if len(result.CopiesDiffer) > 0 || result.Judged != 2*r.writer.events || result.MemoryBytes == 0 {
		t.Errorf("rules %v found something else in the copy; %d events of 2 x %d, %d bytes", result.CopiesDiffer, result.Judged, r.writer.events, result.MemoryBytes)
	}
	if result.Precision < 0.95 || result.Recall < 0.93 || r.writer.delayed < 100 {
		t.Errorf("precision %.3f, %d events late", result.Precision, r.writer.delayed)
	}
	t.Logf("%d events, %d late, recall %.3f, precision %.3f, rules %v", r.writer.events, r.writer.delayed, result.Recall, result.Precision, slices.Sorted(maps.Keys(result.ByRule)))
}

// noLabels holds every value of every row against the names of rules.
func (r *run) noLabels(t *testing.T, ctx context.Context) {
	t.Helper()
	conn, err := r.open(embedded.Admin, "custody")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	words := []string{"incident", "label", "scenario", "violat", "false positive"}
	for _, k := range kinds {
		words = append(words, k.rule)
	}
	var told, rows uint64
	if err := conn.QueryRow(ctx, "SELECT countIf(multiSearchAnyCaseInsensitive(toString(tuple(*)), ?)), count() FROM records", words).Scan(&told, &rows); err != nil {
		t.Fatal(err)
	}
	if told > 0 || rows < 20_000 {
		t.Errorf("%d of %d rows name a rule or an incident", told, rows)
	}
}

// A month is judged again only by who asks for the same.
func TestKept(t *testing.T) {
	r := newRun(t, 2)
	if _, ok, err := r.kept(); ok || err != nil {
		t.Errorf("of an empty folder: %v, %v", ok, err)
	}
	r.events, r.delayed = 20_111, 400
	if err := r.save(); err != nil {
		t.Fatal(err)
	}
	if m, ok, err := r.kept(); !ok || err != nil || !m.End.Equal(r.end) || m.Events != 20_111 || m.Delayed != 400 {
		t.Errorf("of the same: %+v, %v, %v", m, ok, err)
	}
	r.Seed = 2
	if _, _, err := r.kept(); err == nil || !strings.Contains(err.Error(), "another month, of seed 1") || !strings.Contains(err.Error(), "without --again") {
		t.Errorf("of another seed: %v", err)
	}
	r.Rules = []string{"new_tol"}
	if err := r.validate(); err == nil || !strings.Contains(err.Error(), `no rule "new_tol"`) {
		t.Errorf("of a rule that there is not: %v", err)
	}
}

// Only the passes work that the rules in question wait for or go by.
func TestAwaited(t *testing.T) {
	for rule, want := range map[string][]string{"": nil, "wildcard_grant": {}, "new_audience": {"first_seen", "first_audience"}, "emitter_silent": {"verdict"}} {
		r := newRun(t, 2)
		if rule != "" {
			r.Rules = []string{rule}
		}
		if got, err := r.awaited(); err != nil || !slices.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("for %q: %q, want %q: %v", rule, got, want, err)
		}
	}
}
