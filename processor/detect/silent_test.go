package detect_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/schemas/event"
)

// Sources that report every six hours for ten days and end a while before now: only
// who was silent for longer than twice its longest pause is told of, and who is
// heard of again no more. Who is new, or rare, is not judged.
func TestSilentEmitter(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	now := time.Now().UTC()
	said := func(source string, ago time.Duration) *event.Event {
		return changed("triage-call", func(e *event.Event) {
			e.Source.ID, e.Time = source, event.TimeOf(now.Add(-ago))
			e.Source.EventID = fmt.Sprint(source, ago)
		})
	}
	var events []*event.Event
	report := func(source string, from, to, every time.Duration) {
		for ago := from; ago >= to; ago -= every {
			events = append(events, said(source, ago))
		}
	}
	const day = 24 * time.Hour
	report("ended", 10*day+13*time.Hour, 13*time.Hour, 6*time.Hour)
	report("pausing", 10*day+11*time.Hour, 11*time.Hour, 6*time.Hour)
	report("steady", 10*day, 10*time.Minute, 6*time.Hour)
	report("new", 6*day, 13*time.Hour, 6*time.Hour)
	report("rare", 10*day+13*time.Hour, 13*time.Hour, 24*time.Hour)
	b.store(events...)
	silent := func() []*detect.Finding {
		return b.findings(detect.Filter{Rule: "emitter_silent", Status: detect.Open})
	}
	if _, err := b.engine.Once(t.Context()); err != nil { // without the passes, which once runs before
		t.Fatal(err)
	}
	if f := silent(); len(f) != 0 {
		t.Fatalf("before anything was taken in: %s", f[0].Summary)
	}
	b.takeIn()
	b.once()
	f := silent()
	if len(f) != 1 || !strings.HasPrefix(f[0].Summary, "ended has not been heard of since ") || !strings.HasSuffix(f[0].Summary, " in the 10 days before it never paused for longer than 6 hours") || len(f[0].Evidence) != 1 {
		for _, x := range f {
			t.Errorf("%s [%s] %v", x.Summary, x.CoverageNote, x.Evidence)
		}
		t.Fatalf("%d findings", len(f))
	}
	if want := "heard of in 41 hours; of 4 other sources of the tenant 2 were heard of later"; f[0].CoverageNote != want {
		t.Errorf("%q, want %q", f[0].CoverageNote, want)
	}
	if r := b.once(); r != (detect.Result{}) {
		t.Errorf("judging again changed %+v", r)
	}
	b.store(said("ended", time.Minute))
	b.takeIn()
	if r := b.once(); r.AutoResolved != 1 || len(silent()) != 0 {
		t.Errorf("heard of again changed %+v", r)
	}
}
