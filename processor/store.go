package processor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// store writes blocks of records. Everything it does for one block may be done
// again, by another process too.
type store struct {
	conn    driver.Conn
	timeout time.Duration
	views   []view
}

// view is a materialised view of records whose rows carry the record's position.
type view struct {
	target  string
	columns string
	query   string
}

// prepare checks the schema and learns the views.
func (s *store) prepare(ctx context.Context) error {
	status, err := table.Check(ctx, s.conn)
	if err != nil {
		return err
	}
	for _, m := range status {
		if m.Problem != "" {
			return fmt.Errorf("schema: %s: %s", m.Migration, m.Problem)
		}
	}
	const query = `
		SELECT replaceRegexpOne(t.name, '_view$', ''), t.as_select, c.names
		FROM system.tables AS t
		INNER JOIN (
			SELECT table, arrayStringConcat(groupArray(name), ', ') AS names
			FROM (SELECT table, name FROM system.columns WHERE database = currentDatabase() ORDER BY table, position)
			GROUP BY table
		) AS c ON c.table = t.name
		WHERE t.database = currentDatabase() AND t.engine = 'MaterializedView' ORDER BY t.name`
	rows, err := s.conn.Query(ctx, query)
	if err != nil {
		return fmt.Errorf("list views: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var v view
		if err := rows.Scan(&v.target, &v.query, &v.columns); err != nil {
			return fmt.Errorf("list views: %w", err)
		}
		s.views = append(s.views, v)
	}
	return rows.Err()
}

// insert sends the records as one block under token. An error says nothing
// about the outcome. The call is not interrupted when ctx ends: a known outcome
// is worth more than a quick stop.
func (s *store) insert(ctx context.Context, token string, records []*table.Record) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	ctx = clickhouse.Context(ctx, clickhouse.WithQueryID(token), clickhouse.WithSettings(clickhouse.Settings{
		"insert_deduplication_token":                         token,
		"insert_deduplicate":                                 1,
		"deduplicate_blocks_in_dependent_materialized_views": 1,
		"async_insert":                                       0,
		"max_partitions_per_insert_block":                    0, // the log's clock decides about partitions; a block must never be refused for good
		"materialized_views_ignore_errors":                   0,
		"receive_timeout":                                    s.timeout.Seconds(), // a writer that hangs within its rows must not hold the block from its successor
	}))
	batch, err := s.conn.PrepareBatch(ctx, table.InsertRecords)
	if err != nil {
		return fmt.Errorf("begin insert: %w", err)
	}
	defer batch.Close()
	values := make([]any, 0, 128)
	for _, r := range records {
		values = r.Values(values[:0])
		if err := batch.Append(values...); err != nil {
			return fmt.Errorf("encode record at offset %d: %w", r.Offset, err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert %d records: %w", len(records), err)
	}
	return nil
}

// settle makes a block whole of which some rows may be stored: it waits for an
// insert that may still run, inserts what is missing under the same token, and
// completes the views. It returns the number of records that were missing.
func (s *store) settle(ctx context.Context, b *block) (int, error) {
	if err := s.awaitInsert(ctx, b.token()); err != nil {
		return 0, err
	}
	present, err := s.present(ctx, b)
	if err != nil {
		return 0, err
	}
	var missing []*table.Record
	for _, r := range b.records {
		if !present[uint64(r.Offset)] {
			missing = append(missing, r)
		}
	}
	if len(missing) > 0 {
		if err := s.insert(ctx, b.token(), missing); err != nil {
			return 0, err
		}
	}
	for _, v := range s.views {
		if err := s.complete(ctx, v, b); err != nil {
			return 0, err
		}
	}
	return len(missing), nil
}

// awaitInsert returns when no insert of the block runs: its writer may have
// died after it had sent everything, or hang before. ClickHouse gives the latter
// up after s.timeout.
func (s *store) awaitInsert(ctx context.Context, token string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*s.timeout)
	defer cancel()
	for {
		var running uint64
		if err := s.conn.QueryRow(ctx, "SELECT count() FROM system.processes WHERE query_id = ?", token).Scan(&running); err != nil {
			return fmt.Errorf("look for a running insert: %w", err)
		}
		if running == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("an insert of block %s is still running: %w", token, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *store) present(ctx context.Context, b *block) (map[uint64]bool, error) {
	rows, err := s.conn.Query(ctx, "SELECT offset FROM records WHERE epoch = ? AND partition = ? AND offset >= ? AND offset < ?",
		b.epoch, uint32(b.partition), uint64(b.start), uint64(b.end()))
	if err != nil {
		return nil, fmt.Errorf("ask for stored offsets: %w", err)
	}
	defer rows.Close()
	present := map[uint64]bool{}
	for rows.Next() {
		var offset uint64
		if err := rows.Scan(&offset); err != nil {
			return nil, fmt.Errorf("ask for stored offsets: %w", err)
		}
		present[offset] = true
	}
	return present, rows.Err()
}

// complete inserts the rows of a view that the block's records should have
// made. The view's own query says which, so the two cannot differ.
func (s *store) complete(ctx context.Context, v view, b *block) error {
	block := "epoch = {epoch:String} AND partition = {partition:UInt32} AND offset >= {start:UInt64} AND offset < {end:UInt64}"
	query := "INSERT INTO " + v.target + " (" + v.columns + ") SELECT " + v.columns + " FROM (" + v.query + ") WHERE " + block +
		" AND offset NOT IN (SELECT offset FROM " + v.target + " WHERE " + block + ")"
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{
		"epoch": b.epoch, "partition": fmt.Sprint(b.partition), "start": fmt.Sprint(b.start), "end": fmt.Sprint(b.end()),
	}), clickhouse.WithSettings(clickhouse.Settings{"async_insert": 0, "insert_deduplicate": 0}))
	if err := s.conn.Exec(ctx, query); err != nil {
		return fmt.Errorf("complete %s: %w", v.target, err)
	}
	return nil
}

// seen returns the ids of the block's events that are stored already, by an
// earlier record, with the hash of their content. An id tells its time, so only
// the hours concerned are read.
func (s *store) seen(ctx context.Context, b *block) (map[string][32]byte, error) {
	ids, hours := lookup(b)
	seen := make(map[string][32]byte)
	if len(ids) == 0 {
		return seen, nil
	}
	rows, err := s.conn.Query(ctx, "SELECT toString(id), content_hash FROM records WHERE state = 'stored' AND toStartOfHour(time) IN (SELECT toDateTime(arrayJoin({hours:Array(UInt32)}), 'UTC'))"+
		" AND id IN (SELECT toUUID(arrayJoin({ids:Array(String)}))) AND NOT (epoch = {epoch:String} AND partition = {partition:UInt32} AND offset >= {start:UInt64})",
		clickhouse.Named("ids", ids), clickhouse.Named("hours", hours), clickhouse.Named("epoch", b.epoch),
		clickhouse.Named("partition", fmt.Sprint(b.partition)), clickhouse.Named("start", fmt.Sprint(b.start)))
	if err != nil {
		return nil, fmt.Errorf("look for duplicates: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, hash string
		if err := rows.Scan(&id, &hash); err != nil {
			return nil, fmt.Errorf("look for duplicates: %w", err)
		}
		seen[id] = [32]byte([]byte(hash))
	}
	return seen, rows.Err()
}

// lookup returns the ids of a block and the hours they lie in, as query parameters.
func lookup(b *block) (ids, hours string) {
	var list []string
	in := map[int64]bool{}
	for _, r := range b.records {
		if r.State == table.Malformed {
			continue
		}
		list = append(list, "'"+r.Event.ID+"'") // a UUID, by Validate
		in[hour(r.Event.Time)] = true
	}
	if len(list) == 0 {
		return "", ""
	}
	var hourList []string
	for h := range in {
		hourList = append(hourList, fmt.Sprint(h))
	}
	return "[" + strings.Join(list, ",") + "]", "[" + strings.Join(hourList, ",") + "]"
}

func hour(t event.Time) int64 { return int64(t) / 3_600_000_000 * 3600 }
