package detect_test

import (
	"context"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/schemas/story"
)

// only keeps one rule.
func only(t testing.TB, id string) func(*detect.Config) {
	t.Helper()
	rules, err := detect.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		if r.ID == id {
			return func(c *detect.Config) { c.Rules = []*detect.Rule{r} }
		}
	}
	t.Fatalf("no rule %s", id)
	return nil
}

// exec does what no part of the pipeline may.
func (b *bench) exec(sql string) {
	b.Helper()
	if err := b.clickhouse.Conn(embedded.Admin).Exec(b.Context(), sql); err != nil {
		b.Fatal(err)
	}
}

// A record that becomes visible after its stored time was judged is judged too, and once.
func TestVisibleLate(t *testing.T) {
	t.Parallel()
	b := newBench(t, only(t, "static_credential"))
	b.store(without()...)
	b.once()
	if r := b.once(); r != (detect.Result{}) {
		t.Fatalf("nothing new changed %+v", r)
	}
	b.exec(`INSERT INTO records SELECT * REPLACE (generateUUIDv7() AS id, offset + 1000 AS offset, time + INTERVAL 1 SECOND AS time, now64(6) - INTERVAL 60 SECOND AS stored_time)
		FROM records WHERE source_event_id = 'salaries-august-call'`)
	if r := b.once(); r != (detect.Result{Updated: 1}) {
		t.Errorf("a record that was stored before the last round and is visible since changed %+v", r)
	}
	if r := b.once(); r != (detect.Result{}) {
		t.Errorf("nothing new changed %+v", r)
	}
}

// Rows of a view that were missing when its records were judged count when the processor
// has completed them.
func TestCompletedLate(t *testing.T) {
	t.Parallel()
	b := newBench(t, only(t, "token_passthrough"))
	b.store(without()...)
	b.exec("CREATE TABLE kept AS event_keys")
	b.exec("INSERT INTO kept SELECT * FROM event_keys")
	b.exec("TRUNCATE TABLE event_keys")
	if r := b.once(); r != (detect.Result{}) {
		t.Fatalf("without the keys it found %+v", r)
	}
	b.exec("INSERT INTO event_keys SELECT * FROM kept")
	b.exec("INSERT INTO completed_blocks (stored_time) SELECT min(stored_time) FROM records")
	if r := b.once(); r.Opened == 0 {
		t.Errorf("after the block was completed it found %+v", r)
	}
}

// Between two rounds prompt rules judge what comes, and the others do not.
func TestPrompt(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *detect.Config) { c.Interval, c.Prompt = time.Hour, 100*time.Millisecond })
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.engine.Run(ctx) }()
	for b.count(t.Context(), "SELECT count() FROM rule_progress") == 0 { // the first round is over
		time.Sleep(50 * time.Millisecond)
	}
	stored := time.Now()
	b.store(story.Events()...)
	for len(b.findings(detect.Filter{Rule: "static_credential"})) == 0 {
		if time.Since(stored) > time.Minute {
			t.Fatal("a prompt rule found nothing")
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("found after %s", time.Since(stored))
	if got := b.findings(detect.Filter{Rule: "call_after_deny"}); len(got) != 0 {
		t.Errorf("a rule of rounds found %v", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
