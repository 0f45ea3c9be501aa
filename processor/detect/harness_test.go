package detect_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/processor/verdict"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the estate's authorization server warns there of what it refuses
	if text := os.Getenv(memberVariable); text != "" {
		if err := runMember(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// bench is a real ClickHouse and an engine on it.
type bench struct {
	testing.TB
	clickhouse *embeddedtest.ClickHouse
	writer     driver.Conn
	engine     *detect.Engine
	passes     *enrich.Engine
	offset     int64
	names      map[string]string // of the events stored, by id
	registry   *enrich.Snapshot  // that facts are from; nil: none
}

func newBench(t testing.TB, change func(*detect.Config)) *bench {
	t.Helper()
	b := &bench{TB: t, clickhouse: embeddedtest.StartClickHouse(t), names: map[string]string{}}
	b.writer = b.clickhouse.Conn(embedded.Writer)
	b.engine, b.passes = b.newEngine(change), b.newPasses()
	return b
}

// newPasses are those of the later enrichment that rules rest on.
func (b *bench) newPasses() *enrich.Engine {
	b.Helper()
	conn := b.clickhouse.Conn(embedded.Detector)
	v, err := verdict.New(verdict.Config{ClickHouse: conn, Sessions: b.clickhouse.Sessions(embedded.Detector)})
	if err != nil {
		b.Fatal(err)
	}
	e, err := enrich.NewEngine(enrich.EngineConfig{ClickHouse: conn, Logger: slog.New(slog.DiscardHandler), Passes: []enrich.Pass{{Name: "verdict", Take: v.Take}}})
	if err != nil {
		b.Fatal(err)
	}
	return e
}

func (b *bench) newEngine(change func(*detect.Config)) *detect.Engine {
	b.Helper()
	cfg := detect.Config{ClickHouse: b.clickhouse.Conn(embedded.Detector), Sessions: b.clickhouse.Sessions(embedded.Detector), Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	e, err := detect.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// store puts events where the processor does.
func (b *bench) store(events ...*event.Event) {
	b.Helper()
	var records []*table.Record
	for _, e := range events {
		r := &table.Record{
			Position: table.Position{Topic: "custody.events", Epoch: "e", Offset: b.offset}, LogTime: e.ObservedTime.Go(),
			State: table.Stored, Raw: e.Canonical(), ContentHash: e.ContentHash(), Event: e, Facts: &table.Facts{},
		}
		b.registry.Facts(e, r.Facts)
		if b.names[e.ID] != "" {
			r.State = table.Duplicate
		}
		b.names[e.ID] = e.Source.EventID
		b.offset++
		records = append(records, r)
	}
	b.clickhouse.Store(b.TB, records...)
}

// once takes in what is stored, runs the rules and returns what changed.
func (b *bench) once() detect.Result {
	b.Helper()
	if err := b.passes.Once(b.Context()); err != nil {
		b.Fatal(err)
	}
	r, err := b.engine.Once(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func (b *bench) findings(f detect.Filter) []*detect.Finding {
	b.Helper()
	list, err := detect.List(b.Context(), b.writer, f)
	if err != nil {
		b.Fatal(err)
	}
	return list
}

func (b *bench) count(ctx context.Context, sql string) (n uint64) {
	b.Helper()
	if err := b.writer.QueryRow(ctx, sql).Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}

// told is a finding in the names of the story.
type told struct {
	Rule, Tenant, Status string
	Evidence             []string
}

func (b *bench) told(f detect.Filter) []told {
	b.Helper()
	var out []told
	for _, x := range b.findings(f) {
		out = append(out, told{x.Rule, x.Tenant, x.Status, b.named(x.Evidence)})
	}
	return inOrder(out)
}

// inOrder sorts by rule and evidence.
func inOrder(list []told) []told {
	slices.SortFunc(list, func(a, b told) int {
		return cmp.Or(cmp.Compare(a.Rule, b.Rule), slices.Compare(a.Evidence, b.Evidence))
	})
	return list
}

// named are the names that the story gives its events.
func (b *bench) named(ids []uuid.UUID) (names []string) {
	for _, id := range ids {
		names = append(names, cmp.Or(b.names[id.String()], id.String()))
	}
	return names
}

// without is the story without the events of these names.
func without(names ...string) []*event.Event {
	return slices.DeleteFunc(story.Events(), func(e *event.Event) bool { return slices.Contains(names, e.Source.EventID) })
}
