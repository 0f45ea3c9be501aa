package scenario

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// writer stores events as the processor does, with facts from the registry, as if
// each had been stored at the end of the minute in which it came.
type writer struct {
	conn     *ch.Client
	registry *enrich.Snapshot
	rng      *rand.Rand
	late     float64 // share of events that come hours late
	end      time.Time
	waiting  map[int64][]arrival // by the hour in which they come
	hour     int64               // that is stored next
	block    *table.Block
	stored   *proto.ColDateTime64
	raw      bool // keep the bytes of events, which no rule reads and which are most of a row
	facts    table.Facts
	offset   int64
	events   int
	delayed  int
}

// arrival is an event on its way.
type arrival struct {
	*event.Event
	at        time.Time // when it comes
	state     table.State
	partition int
}

// blockRows is how many rows are inserted at once.
const blockRows = 150_000

func newWriter(conn *ch.Client, registry *enrich.Snapshot, seed uint64, late float64, end time.Time) *writer {
	return &writer{
		conn: conn, registry: registry, rng: rand.New(rand.NewPCG(seed, 0x1a7e)), late: late, end: end, waiting: map[int64][]arrival{}, block: table.NewBlock(),
		stored: new(proto.ColDateTime64).WithPrecision(proto.PrecisionMicro).WithLocation(time.UTC),
	}
}

// send sends an event on its way: most come within two seconds, some hours later.
func (w *writer) send(e *event.Event, state table.State, partition int) {
	took := 20*time.Millisecond + time.Duration(w.rng.ExpFloat64()*float64(300*time.Millisecond))
	if w.rng.Float64() < w.late {
		took = 10*time.Minute + time.Duration(w.rng.ExpFloat64()*float64(3*time.Hour))
	}
	at := e.Time.Go().Add(min(took, 30*time.Hour))
	if !at.Before(w.end) {
		at = e.Time.Go()
	} else if took > 10*time.Minute {
		w.delayed++
	}
	hour := max(at.Truncate(time.Hour).Unix(), w.hour) // a clock that is behind may say the hour before
	w.waiting[hour] = append(w.waiting[hour], arrival{e, at, state, partition})
}

// arrive stores what comes in an hour, in the order in which it comes.
func (w *writer) arrive(ctx context.Context, hour time.Time) error {
	list := w.waiting[hour.Unix()]
	delete(w.waiting, hour.Unix())
	w.hour = hour.Add(time.Hour).Unix()
	slices.SortFunc(list, func(a, b arrival) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.ID, b.ID), cmp.Compare(a.partition, b.partition))
	})
	for _, a := range list {
		w.add(a)
	}
	if w.block.Rows() < blockRows {
		return nil
	}
	return w.flush(ctx)
}

func (w *writer) add(a arrival) {
	a.ObservedTime = event.TimeOf(a.at)
	w.registry.Facts(a.Event, &w.facts)
	r := &table.Record{Position: table.Position{Topic: "custody.events", Epoch: "e", Partition: a.partition, Offset: w.offset}, LogTime: a.at, State: a.state,
		ContentHash: a.ContentHash(), Event: a.Event, Facts: &w.facts}
	if w.raw {
		r.Raw = a.Canonical()
		r.LeafHash = tlog.RecordHash(r.Raw)
	}
	w.block.Add(r)
	stored := a.at.Truncate(time.Minute).Add(time.Minute)
	if stored.After(w.end) {
		stored = w.end
	}
	w.stored.Append(stored)
	w.offset++
	w.events++
}

func (w *writer) flush(ctx context.Context) error {
	if w.block.Rows() == 0 {
		return nil
	}
	_, columns := w.block.Insert("records")
	columns = append(columns, proto.InputColumn{Name: "stored_time", Data: w.stored})
	err := w.conn.Do(ctx, ch.Query{Body: columns.Into("records"), Input: columns, Settings: []ch.Setting{ch.SettingInt("async_insert", 0), ch.SettingInt("max_partitions_per_insert_block", 0)}})
	if err != nil {
		return fmt.Errorf("store %d events: %w", w.block.Rows(), err)
	}
	w.block.Reset()
	w.stored.Reset()
	return nil
}
