package verdict_test

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/processor/verdict"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the estate's authorization server warns there of what it refuses
	os.Exit(m.Run())
}

// bench is a real ClickHouse, and an engine with the pass on it.
type bench struct {
	testing.TB
	clickhouse *embeddedtest.ClickHouse
	conn       driver.Conn
	engine     *enrich.Engine
	offset     int64
	names      map[string]string // of the events stored, by id
}

func newBench(t testing.TB) *bench {
	t.Helper()
	c := embeddedtest.StartClickHouse(t)
	b := &bench{TB: t, clickhouse: c, conn: c.Conn(embedded.Detector), names: map[string]string{}}
	b.engine = b.newEngine()
	return b
}

// newEngine is one that was just started and remembers nothing but its progress.
func (b *bench) newEngine() *enrich.Engine { return b.newEngineOf(verdict.Config{}) }

func (b *bench) newEngineOf(cfg verdict.Config) *enrich.Engine {
	b.Helper()
	cfg.ClickHouse, cfg.Sessions = b.conn, b.clickhouse.Sessions(embedded.Detector)
	p, err := verdict.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	e, err := enrich.NewEngine(enrich.EngineConfig{ClickHouse: b.conn, Passes: []enrich.Pass{{Name: "verdict", Take: p.Take}}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	return e
}

func (b *bench) once() {
	b.Helper()
	if err := b.engine.Once(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// store puts events where the processor does.
func (b *bench) store(events ...*event.Event) {
	b.Helper()
	var records []*table.Record
	for _, e := range events {
		r := &table.Record{
			Position: table.Position{Topic: "custody.events", Epoch: "e", Offset: b.offset}, LogTime: e.ObservedTime.Go(),
			State: table.Stored, Raw: e.Canonical(), ContentHash: e.ContentHash(), Event: e,
		}
		if b.names[e.ID] != "" {
			r.State = table.Duplicate
		}
		b.names[e.ID] = e.Source.EventID
		b.offset++
		records = append(records, r)
	}
	b.clickhouse.Store(b.TB, records...)
}

// empty forgets everything stored and computed.
func (b *bench) empty(tables ...string) {
	b.Helper()
	if tables == nil {
		tables = append([]string{"records", "event_keys", "source_sequences"}, table.Computed...)
		clear(b.names)
	}
	for _, t := range tables {
		if err := b.clickhouse.Conn(embedded.Admin).Exec(b.Context(), "TRUNCATE TABLE "+t); err != nil {
			b.Fatal(err)
		}
	}
}

func (b *bench) count(sql string) (n uint64) {
	b.Helper()
	if err := b.conn.QueryRow(b.Context(), sql).Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}

// verdicts are all, oldest call first.
func (b *bench) verdicts() (out []*query.Verdict) {
	b.Helper()
	r, err := query.New(query.Config{ClickHouse: b.conn})
	if err != nil {
		b.Fatal(err)
	}
	for after := ""; ; {
		page, err := r.Verdicts(b.Context(), query.VerdictFilter{}, 5000, after)
		if err != nil {
			b.Fatal(err)
		}
		out = append(out, page.Verdicts...)
		if after = page.Next; after == "" {
			break
		}
	}
	slices.SortFunc(out, func(x, y *query.Verdict) int {
		return cmp.Or(x.Time.Compare(y.Time), cmp.Compare(x.ID.String(), y.ID.String()))
	})
	return out
}

// told are the verdicts in the names of the story, by tenant: "call: decision by
// decision's name (join), token, exchange".
func (b *bench) told() map[string][]string {
	b.Helper()
	out := map[string][]string{}
	for _, v := range b.verdicts() {
		by := "-"
		if v.DecidedBy != nil {
			by = fmt.Sprintf("%s (%s)", b.names[v.DecidedBy.Event.String()], v.DecidedBy.Join)
		}
		out[v.Tenant] = append(out[v.Tenant], fmt.Sprintf("%s: %s by %s, %s, %s", b.names[v.ID.String()], v.Decision, by, v.TokenIs, v.Exchange))
	}
	return out
}

// without is the story without the events of these names.
func without(names ...string) []*event.Event {
	return slices.DeleteFunc(story.Events(), func(e *event.Event) bool { return slices.Contains(names, e.Source.EventID) })
}

// move puts an event into another tenant's books.
func move(e *event.Event, tenant string) {
	e.Tenant = tenant
	e.ID = event.NewID(tenant, e.Source.ID, e.Source.EventID, e.Time)
}
