package detect_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// numbered is an event of a run of a source, with a number of its own counter.
func numbered(run string, n int64, late time.Duration) *event.Event {
	e := story.Named("deploy-call")
	e.Source.EventID, e.Source.Sequence = fmt.Sprintf("%s-%d", run, n), n
	e.Time = event.TimeOf(e.Time.Go().Add(late))
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	return e
}

// A number that is missing opens a finding, its arrival resolves it, and a number
// that comes with another event opens it again. A new run begins at 1.
func TestSequences(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *detect.Config) { c.Visible = time.Nanosecond })
	gaps := func(status, says string) {
		t.Helper()
		b.once()
		list := b.findings(detect.Filter{Rule: "sequence_gap"})
		if status == "" && len(list) == 0 {
			return
		}
		if len(list) != 1 || list[0].Status != status || !strings.Contains(list[0].Summary, says) {
			t.Fatalf("%d findings, want one that is %s and says %s: %+v", len(list), status, says, list)
		}
	}
	b.store(numbered("a", 1, 0), numbered("a", 2, 0))
	gaps("", "")
	b.store(numbered("a", 4, 0), numbered("b", 1, 0), numbered("b", 2, 0))
	gaps(detect.Open, "numbered its events to 4 and 1 is missing")
	b.store(numbered("a", 3, 0))
	gaps(detect.AutoResolved, "left out none of its 4 numbers")
	b.store(numbered("a", 4, time.Second))
	gaps(detect.Open, "sent 5 events under 4 numbers")
}
