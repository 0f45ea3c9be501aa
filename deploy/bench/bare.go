package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/process"
	"github.com/custody-audit/custody/processor/fetch"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// BareConfig says what the bare program copies where.
type BareConfig struct {
	Broker, Topic              string
	ClickHouse, User, Password string
	Database                   string
	Batch                      int // rows of an insert
}

// RunBare is the least that stores the same events in the same columns: it
// fetches, decodes and inserts each partition up to the end that it finds, and
// nothing else. What it has read when it is killed is lost or stored twice.
func RunBare(ctx context.Context, cfg BareConfig) error {
	transport := &kafka.Transport{ClientID: "custody-bare"}
	client := &kafka.Client{Addr: kafka.TCP(cfg.Broker), Timeout: 30 * time.Second, Transport: transport}
	ends, err := ends(ctx, client, cfg.Topic)
	if err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	for _, p := range ends {
		conn, err := ch.Dial(ctx, ch.Options{Address: cfg.ClickHouse, User: cfg.User, Password: cfg.Password, Database: cfg.Database})
		if err != nil {
			return err
		}
		defer conn.Close()
		log := fetch.Reader{Transport: transport, Addr: client.Addr, ClientID: "custody-bare", Topic: cfg.Topic, Partition: p.Partition, MaxBytes: 8 << 20, Wait: time.Second}
		b := &bare{cfg: cfg, log: log, conn: conn, partition: p.Partition, next: p.FirstOffset, end: p.LastOffset, rows: table.NewBlock()}
		all.Go(func() error { return b.copy(ctx) })
	}
	return all.Wait()
}

func ends(ctx context.Context, client *kafka.Client, topic string) ([]kafka.PartitionOffsets, error) {
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return nil, fmt.Errorf("ask for topic %s: %w", topic, err)
	}
	var ask []kafka.OffsetRequest
	for _, p := range meta.Topics[0].Partitions {
		ask = append(ask, kafka.FirstOffsetOf(p.ID), kafka.LastOffsetOf(p.ID))
	}
	res, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: ask}})
	if err != nil {
		return nil, fmt.Errorf("ask for offsets of %s: %w", topic, err)
	}
	return res.Topics[topic], nil
}

type bare struct {
	cfg       BareConfig
	conn      *ch.Client
	partition int
	next, end int64
	rows      *table.Block
	log       fetch.Reader
	chunk     fetch.Chunk
	reader    event.Reader
}

func (b *bare) copy(ctx context.Context) error {
	for b.next < b.end {
		if err := b.fetch(ctx); err != nil {
			return err
		}
		if b.rows.Rows() >= b.cfg.Batch || b.next == b.end {
			if err := b.insert(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bare) fetch(ctx context.Context) error {
	if err := b.log.Read(ctx, &b.chunk, b.next, b.end); err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	for i := range b.chunk.Records {
		r := &b.chunk.Records[i]
		raw := b.chunk.Value(r)
		e, ok := b.reader.Read(raw)
		if !ok {
			return fmt.Errorf("the record at offset %d is no canonical event", r.Offset)
		}
		b.rows.Add(&table.Record{Position: table.Position{Topic: b.cfg.Topic, Partition: b.partition, Offset: r.Offset}, LogTime: r.Time(), State: table.Stored, Raw: raw, Event: e})
		b.next = r.Offset + 1
	}
	return nil
}

func (b *bare) insert(ctx context.Context) error {
	statement, columns := b.rows.Insert("records")
	if err := b.conn.Do(ctx, ch.Query{Body: statement, Input: columns, Settings: []ch.Setting{ch.SettingInt("async_insert", 0)}}); err != nil {
		return fmt.Errorf("insert: %w", err)
	}
	b.rows.Reset()
	return nil
}

// plain creates records with the columns that Custody's has, its codecs,
// partitions, order and form of parts, and nothing else: no index, no window of
// deduplication, no view.
func (s *estate) plain(ctx context.Context, database string) error {
	const model = "bare_model"
	if err := errors.Join(s.empty(ctx, model), s.migrate(ctx, model)); err != nil {
		return err
	}
	var columns, partition, order string
	err := s.admin.QueryRow(ctx, `
		SELECT c.columns, t.partition_key, t.sorting_key FROM system.tables AS t, (
			SELECT arrayStringConcat(groupArray(name || ' ' || type || ' ' || default_kind || ' ' || default_expression || ' ' || compression_codec), ', ') AS columns
			FROM (SELECT * FROM system.columns WHERE database = ? AND table = 'records' ORDER BY position)
		) AS c WHERE t.database = ? AND t.name = 'records'`, model, model).Scan(&columns, &partition, &order)
	if err != nil {
		return fmt.Errorf("read the columns of records: %w", err)
	}
	// The parts are the server's own words for a table that it has.
	sql := "CREATE TABLE " + database + ".records (" + columns + ") ENGINE = MergeTree PARTITION BY " + partition + " ORDER BY (" + order + ")" +
		" SETTINGS min_bytes_for_wide_part = 134217728" // as in 0011_store_records_compact.sql
	if err := s.admin.Exec(ctx, sql); err != nil {
		return fmt.Errorf("create the plain table: %w", err)
	}
	return s.drop(ctx, model)
}

// bare is the bare program of this binary.
func (r *runner) bare(topic string) *contender {
	c := &contender{name: "bare", database: "bare", table: "records", exact: true}
	c.prepare = func(ctx context.Context) error { return r.plain(ctx, c.database) }
	c.command = func(int) (process.Command, error) {
		password, err := r.password(embedded.Admin)
		return process.Command{Path: r.cfg.Self, Args: []string{"bench", "bare", "--broker", r.kafkaAddr(), "--topic", topic,
			"--clickhouse", r.engine.Addr(), "--user", embedded.Admin, "--password-file", password, "--database", c.database}}, err
	}
	return c
}
