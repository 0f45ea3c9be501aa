package processor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/processor"
	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/topic"
)

// partitions of custody.events in embeddedtest.Start.
const partitions = 2

// pipeline is a real broker and a real ClickHouse with topics and tables.
type pipeline struct {
	*testing.T
	*embeddedtest.Servers
	admin  driver.Conn
	client *kafka.Client
	began  time.Time
	sealer processor.Sealer // of processors in this process; nil for none
}

func newPipeline(t *testing.T) *pipeline {
	t.Helper()
	s := embeddedtest.Start(t)
	return &pipeline{T: t, Servers: s, admin: s.ClickHouse.Conn(embedded.Admin), client: s.Kafka.Client(), began: time.Now()}
}

// job says what a processor of a test works on; it is also handed to processes.
type job struct {
	Broker, Events, DeadLetter, Group string
	ClickHouse, Password              string

	registry processor.Registry // in this process only
}

// job returns the pipeline's, with ClickHouse behind addr.
func (p *pipeline) job(addr string) job {
	return job{Broker: p.Kafka.Addr, Events: p.Kafka.Topic(topic.Events), DeadLetter: p.Kafka.Topic(topic.DeadLetter), Group: p.Kafka.Group(), ClickHouse: addr, Password: p.ClickHouse.Password(embedded.Writer)}
}

func (j job) run(ctx context.Context, sealer processor.Sealer, level slog.Level) error {
	conn, err := embeddedtest.Open(j.ClickHouse, embedded.Writer, j.Password, embeddedtest.Database)
	if err != nil {
		return err
	}
	defer conn.Close()
	p, err := processor.New(processor.Config{
		Kafka: dial.Kafka{Brokers: []string{j.Broker}}, Topic: j.Events, DeadLetter: j.DeadLetter, Group: j.Group, ClickHouse: conn,
		Dial:         embeddedtest.Dialer(j.ClickHouse, embedded.Writer, j.Password, embeddedtest.Database),
		BlockRecords: 97, BlockWait: 20 * time.Millisecond, SessionTimeout: 3 * time.Second, InsertTimeout: 3 * time.Second,
		Sealer: sealer, Registry: j.registry, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	})
	if err != nil {
		return err
	}
	return p.Run(ctx)
}

// start runs a processor in this process until the returned function is called.
func (p *pipeline) start() (stop func()) {
	ctx, cancel := context.WithCancel(p.Context())
	done := make(chan error, 1)
	go func() { done <- p.job(p.ClickHouse.Addr()).run(ctx, p.sealer, slog.LevelError+1) }()
	return func() {
		p.Helper()
		cancel()
		if err := <-done; err != nil {
			p.Error(err)
		}
	}
}

// count returns the answer of a query that counts. It goes on through restarts.
func (p *pipeline) count(sql string) (n int) {
	p.Helper()
	embeddedtest.Eventually(p, 2*time.Minute, sql, func(ctx context.Context) error {
		var got int64
		err := p.admin.QueryRow(ctx, "SELECT toInt64(("+sql+"))").Scan(&got)
		n = int(got)
		return err
	})
	return n
}

func (p *pipeline) records() int { p.Helper(); return p.count("SELECT count() FROM records") }

// drain waits until the processors have committed the end of the log, with no
// intent open.
func (p *pipeline) drain() {
	p.Helper()
	embeddedtest.Eventually(p, 4*time.Minute, "the log is processed", p.drained)
}

var errBehind = errors.New("the processors are behind")

func (p *pipeline) drained(ctx context.Context) error {
	name := p.Kafka.Topic(topic.Events)
	var ask []kafka.OffsetRequest
	var all []int
	for i := range partitions {
		ask, all = append(ask, kafka.LastOffsetOf(i)), append(all, i)
	}
	ends, err := p.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{name: ask}})
	if err != nil {
		return err
	}
	committed, err := p.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: p.Kafka.Group(), Topics: map[string][]int{name: all}})
	if err = errors.Join(err, orError(committed)); err != nil {
		return err
	}
	end := map[int]int64{}
	for _, o := range ends.Topics[name] {
		if o.Error != nil {
			return o.Error
		}
		end[o.Partition] = o.LastOffset
	}
	for _, c := range committed.Topics[name] {
		if c.Error != nil || max(c.CommittedOffset, 0) != end[c.Partition] || strings.Contains(c.Metadata, " end=") {
			return fmt.Errorf("%w: partition %d ends at %d, committed is %d %q %v", errBehind, c.Partition, end[c.Partition], c.CommittedOffset, c.Metadata, c.Error)
		}
	}
	return nil
}

func orError(r *kafka.OffsetFetchResponse) error {
	if r == nil {
		return nil
	}
	return r.Error
}

// verify checks the promise: what was acknowledged is stored, none twice, and
// nothing else is.
func (p *pipeline) verify(acknowledged []string) {
	p.Helper()
	p.drain()
	var stored []string
	rows, err := p.admin.Query(p.Context(), "SELECT toString(id) FROM events")
	if err != nil {
		p.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			p.Fatal(err)
		}
		stored = append(stored, id)
	}
	if err := rows.Err(); err != nil {
		p.Fatal(err)
	}
	want := slices.Sorted(slices.Values(acknowledged))
	slices.Sort(stored)
	if !slices.Equal(want, stored) {
		p.Errorf("%d events acknowledged, %d stored of which %d different; %d lost, %d never acknowledged",
			len(want), len(stored), len(slices.Compact(slices.Clone(stored))), len(minus(want, stored)), len(minus(stored, want)))
	}
	p.consistent()
	p.Logf("%d acknowledged = %d stored; %d records in %d inserts, %.1f s", len(want), len(stored), p.records(),
		p.count("SELECT uniqExact(partition, stored_time) FROM records"), time.Since(p.began).Seconds())
}

// minus returns what is in a and not in b; b is sorted.
func minus(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { _, found := slices.BinarySearch(b, s); return found })
}

// consistent checks what must hold after anything.
func (p *pipeline) consistent() {
	p.Helper()
	for _, c := range []struct{ name, sql string }{
		{"records twice", "SELECT count() - uniqExact(partition, offset) FROM records"},
		{"offsets left out", "SELECT sum(n) FROM (SELECT max(offset) + 1 - count() AS n FROM records GROUP BY partition)"},
		{"epochs per partition beyond one", "SELECT uniqExact(epoch, partition) - uniqExact(partition) FROM records"},
		{"token uses that differ from the records", "SELECT abs(toInt64((SELECT countIf(token_ref != '') + countIf(exchange_issued_token_ref != '') FROM records WHERE state = 'stored')) - toInt64((SELECT count() FROM token_use)))"},
		{"token uses twice", "SELECT count() - uniqExact(epoch, partition, offset, role) FROM token_use"},
		{"edges that differ from the records", "SELECT abs(toInt64((SELECT countIf(exchange_issued_token_ref != '' AND exchange_subject_token_ref != '') + countIf(exchange_issued_token_ref != '' AND exchange_actor_token_ref != '') FROM records WHERE state = 'stored')) - toInt64((SELECT count() FROM token_edges)))"},
		{"edges that differ between the two orders", "SELECT abs(toInt64((SELECT count() FROM token_edges)) - toInt64((SELECT count() FROM token_edges_by_parent)))"},
		{"edges twice", "SELECT count() - uniqExact(epoch, partition, offset, role) FROM token_edges"},
		{"numbers that differ from the records", "SELECT abs(toInt64((SELECT countIf(source_sequence > 0) FROM records WHERE state = 'stored')) - toInt64((SELECT count() FROM source_sequences)))"},
		{"numbers twice", "SELECT count() - uniqExact(epoch, partition, offset) FROM source_sequences"},
	} {
		if n := p.count(c.sql); n != 0 {
			p.Errorf("%s: %d", c.name, n)
		}
	}
}

func message(e *event.Event) kafka.Message { return topic.Message("", e, e.Canonical(), "") }
