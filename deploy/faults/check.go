package faults

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/topic"
)

// check compares Kafka, ClickHouse and what was acknowledged. It reads by rules
// of its own; that it can fail is shown by TestCheck.
func (r *run) check(ctx context.Context) error {
	ends, err := r.bounds(ctx, eventsTopic, r.all())
	if err != nil {
		return err
	}
	commits, err := r.committed(ctx)
	if err != nil {
		return err
	}
	r.result.RootOK = true
	malformed := map[topic.Origin]bool{}
	for p, acknowledged := range r.acknowledged() {
		c := checker{run: r, partition: p, acknowledged: acknowledged, first: map[string][32]byte{}, malformed: malformed}
		if err := c.partitionIs(ctx, ends[p].FirstOffset, ends[p].LastOffset); err != nil {
			return err
		}
		if err := c.tree(ctx, commits.of[p]); err != nil {
			return err
		}
	}
	if err := r.buried(ctx, malformed); err != nil {
		return err
	}
	if err := r.rollups(ctx); err != nil || r.result.OK() {
		return err
	}
	return r.detached(ctx)
}

// detached tells of parts that ClickHouse put aside, which explains what is lost.
func (r *run) detached(ctx context.Context) error {
	var text string
	err := one(ctx, r.admin, "SELECT arrayStringConcat(groupArray(concat(table, '/', name, ' ', ifNull(reason, ''))), ', ') FROM system.detached_parts WHERE database = currentDatabase()", &text)
	if err == nil && text != "" {
		r.result.Problems = append(r.result.Problems, "ClickHouse put aside: "+text)
	}
	return err
}

// acknowledged returns by partition and offset what the broker said it has.
func (r *run) acknowledged() []map[int64][32]byte {
	out := make([]map[int64][32]byte, r.partitions)
	for i := range out {
		out[i] = map[int64][32]byte{}
	}
	for _, a := range r.producer.acknowledged {
		if _, twice := out[a.partition][a.offset]; twice {
			r.result.problem("the broker acknowledged offset %d of partition %d twice", a.offset, a.partition)
		}
		out[a.partition][a.offset] = a.sum
	}
	return out
}

// checker goes through one partition.
type checker struct {
	*run
	partition    int
	acknowledged map[int64][32]byte
	first        map[string][32]byte   // by event id, the content that came first
	malformed    map[topic.Origin]bool // what must be among the dead letters
	leaves       hashes
	epoch        string

	reader event.Reader
}

// row is what ClickHouse has of a record.
type row struct {
	offset       uint64
	epoch, state string
	raw          string
	leaf         string
}

// chunk is how many offsets are compared at a time.
const chunk = 20_000

// partitionIs compares the log with the rows.
func (c *checker) partitionIs(ctx context.Context, first, end int64) error {
	if first != 0 {
		c.result.problem("the log of partition %d begins at %d", c.partition, first)
	}
	for from := first; from < end; from += chunk {
		to := min(from+chunk, end)
		rows, err := c.rows(ctx, from, to)
		if err != nil {
			return err
		}
		err = c.read(ctx, eventsTopic, c.partition, from, to, func(offset int64, value []byte, _ []kafka.Header) error {
			return c.record(offset, value, rows[offset])
		})
		if err != nil {
			return err
		}
	}
	for offset := range c.acknowledged { // record takes away what it finds
		c.result.Lost++
		c.result.problem("partition %d: offset %d was acknowledged and is not in Kafka", c.partition, offset)
	}
	var beyond uint64
	if err := c.admin.QueryRow(ctx, "SELECT count() FROM records WHERE partition = ? AND (offset < ? OR offset >= ? OR topic != ?)",
		uint32(c.partition), uint64(first), uint64(end), eventsTopic).Scan(&beyond); err != nil {
		return fmt.Errorf("count rows of no record: %w", err)
	}
	if beyond > 0 {
		c.result.problem("partition %d: %d rows are of no record in Kafka", c.partition, beyond)
	}
	return nil
}

func (c *checker) rows(ctx context.Context, from, to int64) (map[int64][]row, error) {
	rows, err := c.admin.Query(ctx, "SELECT offset, epoch, toString(state), raw, hex(leaf_hash) FROM records WHERE partition = ? AND offset >= ? AND offset < ?",
		uint32(c.partition), uint64(from), uint64(to))
	if err != nil {
		return nil, fmt.Errorf("read records: %w", err)
	}
	defer rows.Close()
	out := make(map[int64][]row, to-from)
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.offset, &r.epoch, &r.state, &r.raw, &r.leaf); err != nil {
			return nil, fmt.Errorf("read records: %w", err)
		}
		out[int64(r.offset)] = append(out[int64(r.offset)], r)
	}
	return out, rows.Err()
}

// record compares one record of the log with its rows, which should be one.
func (c *checker) record(offset int64, value []byte, rows []row) error {
	if sum, ok := c.acknowledged[offset]; ok {
		if delete(c.acknowledged, offset); sum != sha256.Sum256(value) {
			c.result.Lost++
			c.result.problem("partition %d: offset %d has not the bytes that were acknowledged", c.partition, offset)
		}
	}
	leaf := tlog.RecordHash(value)
	if err := c.leaves.add(leaf); err != nil {
		return err
	}
	want := c.state(offset, value)
	if len(rows) == 0 {
		c.result.Lost++
		c.result.problem("partition %d: offset %d is not stored", c.partition, offset)
		return nil
	}
	if len(rows) > 1 {
		c.result.Duplicates += len(rows) - 1
		c.result.problem("partition %d: offset %d is stored %d times", c.partition, offset, len(rows))
	}
	for _, r := range rows {
		c.compare(offset, want, hex.EncodeToString(leaf[:]), value, r)
	}
	c.result.States[want]++
	return nil
}

func (c *checker) compare(offset int64, want, leaf string, value []byte, r row) {
	if r.raw != string(value) || !strings.EqualFold(r.leaf, leaf) {
		c.result.Lost++
		c.result.problem("partition %d: the row of offset %d has other bytes or another hash than Kafka", c.partition, offset)
	}
	if r.state != want {
		c.result.WrongState++
		c.result.problem("partition %d: the row of offset %d is %s, by the log it is %s", c.partition, offset, r.state, want)
	}
	if c.epoch == "" {
		c.epoch = r.epoch
	}
	if r.epoch != c.epoch {
		c.result.problem("partition %d: offset %d is of epoch %s, those before of %s", c.partition, offset, r.epoch, c.epoch)
	}
}

// state is what the log says of a record: who came first is stored, the same
// again is a duplicate, another content is in conflict. An event's key is its
// task's, so all of one id are in one partition.
func (c *checker) state(offset int64, value []byte) string {
	id, content, err := c.identify(value)
	if err != nil {
		c.malformed[topic.Origin{Topic: eventsTopic, Partition: c.partition, Offset: offset}] = true
		return "malformed"
	}
	switch first, seen := c.first[id]; {
	case !seen:
		c.first[id] = content
		return "stored"
	case first == content:
		return "duplicate"
	}
	return "conflict"
}

func (c *checker) identify(value []byte) (id string, content [32]byte, err error) {
	if e, ok := c.reader.Read(value); ok {
		return strings.Clone(e.ID), c.reader.ContentHash(), nil
	}
	e, _, err := event.DecodeLenient(value)
	if err == nil {
		err = e.Validate()
	}
	if err != nil {
		return "", content, err
	}
	return e.ID, e.ContentHash(), nil
}

// buried looks for the malformed records among the dead letters.
func (r *run) buried(ctx context.Context, want map[topic.Origin]bool) error {
	ends, err := r.bounds(ctx, deadLetterTopic, []int{0})
	if err != nil {
		return err
	}
	err = r.read(ctx, deadLetterTopic, 0, ends[0].FirstOffset, ends[0].LastOffset, func(_ int64, _ []byte, headers []kafka.Header) error {
		from, _, err := topic.Buried(headers)
		from.Reason = ""
		delete(want, from)
		return err
	})
	if err != nil {
		return err
	}
	for from := range want {
		r.result.Lost++
		r.result.problem("%s is malformed and not among the dead letters", from)
	}
	return nil
}

// one asks for a row.
func one(ctx context.Context, conn driver.Conn, query string, into ...any) error {
	return conn.QueryRow(ctx, query).Scan(into...)
}
