package query

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Log names one incarnation of a partition's log.
type Log struct {
	Topic     string
	Epoch     string
	Partition int
}

// Extent is how many events there are in a log, and from where to where, To exclusive.
type Extent struct{ Count, From, To uint64 }

// Extents returns where the events lie that pass the filter.
func (r *Reader) Extents(ctx context.Context, f *Filter) (map[Log]Extent, error) {
	out := map[Log]Extent{}
	err := r.rows(ctx, "SELECT topic, epoch, partition, count(), min(offset), max(offset) + 1 FROM events WHERE "+f.narrowed()+" GROUP BY topic, epoch, partition",
		maps.Clone(f.values), func(rows driver.Rows) error {
			var l Log
			var partition uint32
			var e Extent
			if err := rows.Scan(&l.Topic, &l.Epoch, &partition, &e.Count, &e.From, &e.To); err != nil {
				return err
			}
			l.Partition = int(partition)
			out[l] = e
			return nil
		})
	return out, err
}

// EachOf calls visit with the exact bytes of the events of one log that pass the
// filter, from an offset to another, to exclusive, in the log's order. raw is
// visit's to keep.
func (r *Reader) EachOf(ctx context.Context, f *Filter, l Log, from, to uint64, visit func(offset uint64, raw []byte) error) error {
	p := maps.Clone(f.values)
	p["topic"], p["epoch"], p["partition"] = l.Topic, l.Epoch, strconv.Itoa(l.Partition)
	p["from"], p["to"] = strconv.FormatUint(from, 10), strconv.FormatUint(to, 10)
	return r.rows(ctx, "SELECT offset, raw FROM events WHERE "+f.narrowed()+` AND topic = {topic:String} AND epoch = {epoch:String} AND partition = {partition:UInt32}
		AND offset >= {from:UInt64} AND offset < {to:UInt64} ORDER BY offset`, p, func(rows driver.Rows) error {
		var offset uint64
		var raw string
		if err := rows.Scan(&offset, &raw); err != nil {
			return fmt.Errorf("event of the log: %w", err)
		}
		return visit(offset, []byte(raw))
	})
}

// narrowed is the condition of the filter and of the reader's tenant.
func (f *Filter) narrowed() string {
	return strings.Join(append([]string{tenant}, f.where...), " AND ")
}
