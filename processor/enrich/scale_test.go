package enrich_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/schemas/event"
)

func TestScaleTmp(t *testing.T) {
	if os.Getenv("SCALE") == "" {
		t.Skip()
	}
	b := newBench(t)
	admin := b.clickhouse.Conn(embedded.Admin)
	if g := os.Getenv("GRAN"); g != "" {
		for _, s := range []string{"DROP TABLE token_lineage_states", "CREATE TABLE token_lineage_states (tenant LowCardinality(String), ref String, parent_ref String, other_parent_ref String, issued_time DateTime64(6,'UTC'), root_ref String, root_iss LowCardinality(String), root_sub String, root_type LowCardinality(String), root_basis Enum8('unknown' = 0, 'claim' = 1, 'delegated' = 2, 'issued' = 3), depth UInt8, state Enum8('complete' = 1, 'pending' = 2, 'cycle' = 3, 'too_deep' = 4), computed_time DateTime64(6,'UTC') DEFAULT now64(6), version UInt64, PROJECTION by_parent (SELECT tenant, parent_ref, ref ORDER BY (tenant, parent_ref, ref))) ENGINE=ReplacingMergeTree(version) ORDER BY (tenant, ref) SETTINGS deduplicate_merge_projection_mode='rebuild', " + g} {
			if err := admin.Exec(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	n := 8_000_000
	began := time.Now()
	for i := 0; i < n; i += 1_000_000 {
		err := admin.Exec(t.Context(), fmt.Sprintf(`INSERT INTO token_lineage_states (tenant, ref, parent_ref, issued_time, root_ref, root_sub, root_basis, depth, state, version)
			SELECT concat('t', toString(number %% 10)), concat('sha256:', base64URLEncode(SHA256(toString(number)))), if(number %% 4 = 0, '', concat('sha256:', base64URLEncode(SHA256(toString(number - 1))))), now64(6),
			concat('sha256:', base64URLEncode(SHA256(toString(number - number %% 4)))), 'alice', 'issued', number %% 4, 'complete', 1 FROM numbers(%d, 1000000)`, i))
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("filled in %s", time.Since(began))
	b.conn, admin = admin, b.conn
	t.Log(b.lines("SELECT concat(table, ' parts ', toString(count()), ' bytes/row ', toString(sum(bytes_on_disk)/sum(rows)), ' marks ', toString(sum(marks)), ' pkmem ', formatReadableSize(sum(primary_key_bytes_in_memory))) FROM system.parts WHERE active AND database='custody' AND table='token_lineage_states' GROUP BY table"))
	b.conn, admin = admin, b.conn
	for round := range 3 {
		var events []*event.Event
		at := event.TimeOf(time.Now())
		for i := range 20_000 {
			k := (i*499 + round) % n
			parent := b.ref(k)
			e := &event.Event{Kind: event.TokenExchange, Type: event.TypeTokenExchange, Outcome: event.Success, SchemaVersion: event.SchemaVersion, Tenant: fmt.Sprintf("t%d", k%10), Time: at, ObservedTime: at,
				Source: event.Source{ID: "s", Type: "native", EventID: fmt.Sprint(round, "-", i)}, Subject: event.Party{Sub: "alice"},
				Exchange: event.Exchange{SubjectTokenRef: parent, IssuedTokenRef: event.TokenRef(fmt.Sprint("new", round, "-", i))}}
			e.ID = event.NewID(e.Tenant, "s", e.Source.EventID, at)
			events = append(events, e)
		}
		b.store(events...)
		e := b.engine()
		began, used := time.Now(), b.cpu()
		b.once(e)
		t.Logf("round %d: %s, engine cpu %.2f s", round, time.Since(began), b.cpu()-used)
		began, used = time.Now(), b.cpu()
		b.once(e)
		t.Logf("again: %s, engine cpu %.2f s", time.Since(began), b.cpu()-used)
	}
}

func (b *bench) ref(k int) string {
	return event.TokenRef(fmt.Sprint(k))
}

func (b *bench) cpu() float64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.clickhouse.PID()))
	if err != nil {
		b.Fatal(err)
	}
	f := strings.Fields(string(raw))
	u, _ := strconv.Atoi(f[13])
	k, _ := strconv.Atoi(f[14])
	return float64(u+k) / 100
}
