package detect_test

import (
	"slices"
	"testing"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/schemas/story"
)

// What the seal found is told to the tenants that it concerns, also when no
// record comes any more, and once.
func TestSealFindings(t *testing.T) {
	b := newBench(t, nil)
	b.store(story.Events()...)
	b.once()
	admin := b.clickhouse.Conn(embedded.Admin)
	for _, sql := range []string{
		`INSERT INTO seal_discrepancies (tenant, topic, epoch, partition, kind, first_offset, last_offset, detail, evidence)
			SELECT 'acme', 'custody.events', 'e', 0, 'edited', 3, 3, 'the bytes are others', [id] FROM records WHERE offset = 3`,
		`INSERT INTO seal_discrepancies (tenant, topic, epoch, partition, kind, first_offset, last_offset, detail) VALUES ('', 'custody.events', 'f', 7, 'deleted', 0, 9, 'gone')`,
		`INSERT INTO log_gaps (topic, epoch, partition, base, size, next_epoch, next_base, lost_from, lost_to, reason, time) VALUES
			('custody.events', 'e', 0, 0, 60, 'next', 500, 60, 500, 'retention_overrun', now64(3)), ('custody.events', 'other', 1, 0, 60, 'next', 500, 60, 500, 'topic_recreated', now64(3))`,
	} {
		if err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	first, second := b.once(), b.once()
	if first.Opened == 0 || second != (detect.Result{}) {
		t.Errorf("the first round %+v, the second %+v", first, second)
	}
	broken := b.findings(detect.Filter{Rule: "seal_broken"})
	if len(broken) != 1 || broken[0].Tenant != "acme" || len(broken[0].Evidence) != 1 || broken[0].Severity != "critical" ||
		broken[0].Summary != "partition 0 of custody.events, offset 3: edited: the bytes are others" {
		t.Errorf("found %+v", broken)
	}
	var told []string
	for _, f := range b.findings(detect.Filter{Rule: "log_gap"}) {
		told = append(told, f.Tenant)
		if f.Summary != "partition 0 of custody.events was closed at offset 60 (retention_overrun); 440 records from offset 60 on were never read; it goes on at 500" {
			t.Error(f.Summary)
		}
	}
	slices.Sort(told)
	if !slices.Equal(told, []string{"acme", "globex", "initech"}) {
		t.Errorf("told of the gap: %v", told)
	}
	// A record of the partition that was not known before.
	if err := admin.Exec(t.Context(), "INSERT INTO records (topic, epoch, partition, offset, tenant, state) VALUES ('custody.events', 'next', 1, 501, 'acme', 'stored')"); err != nil {
		t.Fatal(err)
	}
	b.once()
	if n := len(b.findings(detect.Filter{Rule: "log_gap"})); n != 4 {
		t.Errorf("%d gaps are told, want 4", n)
	}
}
