package detect_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/parts"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// numbered is an event of a run of a source, with a number of its own counter.
func numbered(run string, n int64, late time.Duration) *event.Event {
	e := story.Named("deploy-call")
	e.Source.EventID, e.Source.Sequence = fmt.Sprintf("%s-%d", run, n), n
	e.Time = event.TimeOf(e.Time.Go().Add(late))
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	return e
}

// sequences returns what the rules about numbers say, after they have judged.
func (b *bench) sequences() (out []string) {
	b.Helper()
	b.once()
	for _, f := range b.findings(detect.Filter{Limit: 1000}) {
		if strings.HasPrefix(f.Rule, "sequence_") {
			out = append(out, fmt.Sprintf("%s %s %s: %s, %d events", f.SubjectKey[1], strings.TrimPrefix(f.Rule, "sequence_"), f.Status, f.Summary, len(f.Evidence)))
		}
	}
	slices.Sort(out)
	return out
}

// A number that is missing opens a finding, its arrival resolves it; what is
// missing later opens it again. Each run begins at 1.
func TestSequenceGap(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *detect.Config) { c.Visible = time.Nanosecond })
	for _, step := range []struct {
		come []int64
		want string
	}{
		{[]int64{1, 2}, ""},
		{[]int64{4}, "a gap open: acme-deploy-mcp left out 1 number: 3, 2 events"},
		{[]int64{5}, "a gap open: acme-deploy-mcp left out 1 number: 3, 2 events"},
		{[]int64{9, 12}, "a gap open: acme-deploy-mcp left out 6 numbers: 3 to 10-11, 4 events"},
		{[]int64{6, 7, 8}, "a gap open: acme-deploy-mcp left out 3 numbers: 3 and 10-11, 4 events"},
		{[]int64{11, 3}, "a gap open: acme-deploy-mcp left out 1 number: 10, 2 events"},
		{[]int64{10}, "a gap auto_resolved: acme-deploy-mcp left out no number; what was missing came later, 2 events"},
		{[]int64{14}, "a gap open: acme-deploy-mcp left out 1 number: 13, 2 events"},
	} {
		for _, n := range step.come {
			b.store(numbered("a", n, time.Duration(n)*time.Second))
		}
		b.store(numbered("b", step.come[0]/4+1, 0)) // 1, 2, 3 and 4 of another run
		if got := strings.Join(b.sequences(), "\n"); got != step.want {
			t.Errorf("%v came:\n%s\nwant\n%s", step.come, got, step.want)
		}
	}
}

// One number with two events is a replay, in a run only; a re-delivery is none.
func TestSequenceReplay(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *detect.Config) { c.Visible = time.Nanosecond })
	b.store(numbered("a", 1, 0), numbered("a", 2, time.Second), numbered("b", 1, time.Minute))
	b.store(numbered("a", 2, time.Second))
	if got := b.sequences(); got != nil {
		t.Errorf("a re-delivery: %q", got)
	}
	b.store(numbered("a", 2, 2*time.Second))
	want := "a replay open: acme-deploy-mcp sent 2 events under number 2, 2 events"
	if got := b.sequences(); !slices.Equal(got, []string{want}) {
		t.Errorf("%q, want %q", got, want)
	}
	b.store(numbered("a", 1, 3*time.Second), numbered("a", 3, 0))
	want = "a replay open: acme-deploy-mcp sent 2 events under number 1 and more under others, 4 events"
	if got := b.sequences(); !slices.Equal(got, []string{want}) {
		t.Errorf("%q, want %q", got, want)
	}
}

// The same source and run of another tenant fills no gap and replays nothing.
func TestSequencesOfTwoTenants(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for _, n := range []int64{1, 2} {
		e := numbered("a", n, time.Minute)
		move(e, neighbour)
		b.store(e)
	}
	b.store(numbered("a", 1, 0), numbered("a", 3, 0))
	want := "a gap open: acme-deploy-mcp left out 1 number: 2, 2 events"
	if got := b.sequences(); !slices.Equal(got, []string{want}) {
		t.Errorf("%q, want %q", got, want)
	}
}

// fill stores numbers of run "long" as the processor's view does; which is a
// condition on the column number, stored an expression.
func (b *bench) fill(from, n int, which, stored string) {
	b.Helper()
	b.store(numbered(fmt.Sprint("run", b.offset), 1, 0)) // the engine looks from the first new record on
	err := b.clickhouse.Conn(embedded.Admin).Exec(b.Context(), fmt.Sprintf(`
		INSERT INTO source_sequences (tenant, source_id, run, sequence, event_id, time, stored_time, epoch, partition, offset, log_time)
		SELECT 'acme', 'sts', 'long', number, generateUUIDv4(), now64(6) AS t, %s AS stored, 'e', 0, number, stored FROM numbers(%d, %d) WHERE %s`, stored, from, n, which))
	if err != nil {
		b.Fatal(err)
	}
}

// Gaps across the blocks in which numbers are counted, of whole blocks, and of numbers as high as there are.
func TestSequenceBlocks(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *detect.Config) { c.Visible = time.Nanosecond })
	for _, step := range []struct {
		from, n int
		which   string
		want    string
	}{
		{1, 200_000, "number NOT IN (65535, 65536, 65537)", "long gap open: sts left out 3 numbers: 65535-65537, 2 events"},
		{65536, 1, "1", "long gap open: sts left out 2 numbers: 65535 and 65537, 3 events"},
		{65535, 3, "number != 65536", "long gap auto_resolved: sts left out no number; what was missing came later, 3 events"},
		{500_001, 1, "1", "long gap open: sts left out 300000 numbers: 200001-500000, 2 events"},
		{1<<63 - 1, 1, "1", "long gap open: sts left out 9223372036854575805 numbers: 200001-500000 and 500002-9223372036854775806, 3 events"},
	} {
		b.fill(step.from, step.n, step.which, "t")
		if got := strings.Join(b.sequences(), "\n"); got != step.want {
			t.Errorf("%d more from %d came:\n%s\nwant\n%s", step.n, step.from, got, step.want)
		}
	}
}

// judge asks the rule about what was stored in the last hours and returns how many
// answers it gives and how many rows it reads.
func (b *bench) judge(rule string, delay time.Duration) (answers int, read uint64) {
	b.Helper()
	rules, err := detect.Builtin()
	if err != nil {
		b.Fatal(err)
	}
	ctx := clickhouse.Context(b.Context(), clickhouse.WithProgress(func(p *clickhouse.Progress) { read += p.Rows }),
		clickhouse.WithSettings(clickhouse.Settings{"max_threads": 2}),
		clickhouse.WithParameters(clickhouse.Parameters{
			"from": table.Micro(time.Now().Add(-4 * time.Hour)), "to": table.Micro(time.Now().Add(-delay)), "delay_ms": fmt.Sprint(delay.Milliseconds()),
		}))
	q, err := parts.Parse(rules[slices.IndexFunc(rules, func(r *detect.Rule) bool { return r.ID == rule })].SQL)
	if err != nil {
		b.Fatal(err)
	}
	if err := q.Ask(ctx, b.clickhouse.Sessions(embedded.Detector), func(rows *sql.Rows) error {
		for rows.Next() {
			answers++
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	return answers, read
}

// A higher number that came within the rule's delay makes no gap yet: those
// below may still be under way.
func TestSequenceWaitsForWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.fill(1, 2, "1", "t - INTERVAL 3 HOUR")
	b.fill(4, 1, "1", "t - INTERVAL 30 MINUTE")
	if n, _ := b.judge("sequence_gap", time.Hour); n != 0 {
		t.Error("4 came half an hour ago, and the rule waits an hour for 3")
	}
	if n, _ := b.judge("sequence_gap", 10*time.Minute); n != 1 {
		t.Errorf("3 did not come in ten minutes: %d gaps", n)
	}
}

// A long run that goes on is judged from its bitmaps, not from its rows.
func TestSequenceReadsLittle(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.fill(1, 1_000_000, "1", "t - INTERVAL 1 DAY")
	b.fill(1_000_001, 10, "number != 1000004", "t")
	for _, rule := range []string{"sequence_gap", "sequence_replay"} {
		if _, read := b.judge(rule, 0); read > 50_000 {
			t.Errorf("%s read %d rows of a run of a million", rule, read)
		}
	}
}

// BenchmarkSequence judges a run of 5 M numbers, which came in blocks of 50,000
// over twenty days, with a gap and a replay at its end.
func BenchmarkSequence(b *testing.B) {
	x := newBench(b, nil)
	for i := range 100 {
		x.fill(1+i*50_000, 50_000, fmt.Sprintf("number NOT IN (17, %d)", 5_000_000-5), fmt.Sprintf("t - INTERVAL %d HOUR", (99-i)*5))
	}
	x.fill(4_999_990, 1, "1", "t")
	for _, rule := range []string{"sequence_gap", "sequence_replay"} {
		b.Run(rule, func(b *testing.B) {
			var read uint64
			for b.Loop() {
				n, rows := x.judge(rule, 0)
				if n != 1 {
					b.Fatalf("%d answers", n)
				}
				read = rows
			}
			b.ReportMetric(float64(read), "rows/op")
		})
	}
}
