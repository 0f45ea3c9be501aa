package processor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// store writes blocks of records. Everything it does for one block may be done
// again, by another process too.
type store struct {
	conn    driver.Conn
	dial    func(context.Context) (*ch.Client, error)
	idle    chan *ch.Client
	timeout time.Duration
	cluster string // empty: one server
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
		SELECT replaceRegexpOne(t.name, '_view$', ''), replaceRegexpAll(t.as_select, '\\brecords_local\\b', 'records'), c.names
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

// do runs a query on a connection of its own, which is kept for the next when
// all went well.
func (s *store) do(ctx context.Context, q ch.Query) error {
	var c *ch.Client
	select {
	case c = <-s.idle:
	default:
	}
	if c == nil || c.IsClosed() {
		var err error
		if c, err = s.dial(ctx); err != nil {
			return fmt.Errorf("connect to clickhouse: %w", err)
		}
	}
	if err := c.Do(ctx, q); err != nil {
		c.Close()
		return err
	}
	select {
	case s.idle <- c:
	default:
		c.Close()
	}
	return nil
}

// close closes what is idle.
func (s *store) close() {
	for {
		select {
		case c := <-s.idle:
			c.Close()
		default:
			return
		}
	}
}

// insert sends rows under token. An error says nothing about the outcome. The
// call is not interrupted when ctx ends: a known outcome is worth more than a
// quick stop.
func (s *store) insert(ctx context.Context, token string, rows *table.Block) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	statement, columns := rows.Insert("records")
	if err := s.do(ctx, ch.Query{
		Body: statement, QueryID: token, Input: columns,
		Settings: []ch.Setting{
			{Key: "insert_deduplication_token", Value: token},
			ch.SettingInt("insert_deduplicate", 1),
			ch.SettingInt("deduplicate_blocks_in_dependent_materialized_views", 1),
			ch.SettingInt("async_insert", 0),
			ch.SettingInt("max_partitions_per_insert_block", 0), // the log's clock decides about partitions; a block must never be refused for good
			ch.SettingInt("materialized_views_ignore_errors", 0),
			ch.SettingInt("materialize_skip_indexes_on_insert", 0),     // merges build them; parts that were not merged are small
			ch.SettingInt("receive_timeout", int(s.timeout.Seconds())), // a writer that hangs within its rows must not hold the block from its successor
		},
	}); err != nil {
		return fmt.Errorf("insert %d records: %w", rows.Rows(), err)
	}
	return nil
}

// settle makes a block whole of which some rows may be stored: it waits for an
// insert that may still run, inserts what is missing under the same token, and
// completes the views. It returns the number of records that were missing.
func (s *store) settle(ctx context.Context, b *block, missing func(stored map[uint64]bool) (*table.Block, error)) (int, error) {
	if err := s.awaitInsert(ctx, b.token()); err != nil {
		return 0, err
	}
	stored, err := s.stored(ctx, b)
	if err != nil {
		return 0, err
	}
	n := b.rows.Rows() - len(stored)
	if n > 0 {
		rows, err := missing(stored)
		if err != nil {
			return 0, err
		}
		if err := s.insert(ctx, b.token(), rows); err != nil {
			return 0, err
		}
	}
	for _, v := range s.views {
		if err := s.complete(ctx, v, b); err != nil {
			return 0, err
		}
	}
	return n, s.noteCompleted(ctx, b)
}

// awaitInsert returns when no insert of the block runs: its writer may have
// died after it had sent everything, or hang before. ClickHouse gives the latter
// up after s.timeout.
func (s *store) awaitInsert(ctx context.Context, token string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*s.timeout)
	defer cancel()
	for {
		var running uint64
		if err := s.running(ctx, token).Scan(&running); err != nil {
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

// running counts the inserts of a block. In a cluster the server that was asked hands
// the block on, and may be gone before the shard has it.
func (s *store) running(ctx context.Context, token string) driver.Row {
	if s.cluster == "" {
		return s.conn.QueryRow(ctx, "SELECT count() FROM system.processes WHERE query_id = ?", token)
	}
	return s.conn.QueryRow(ctx, "SELECT count() FROM clusterAllReplicas(?, system.processes) WHERE initial_query_id = ? SETTINGS skip_unavailable_shards = 1", s.cluster, token)
}

// stored returns which of the block's offsets are stored.
func (s *store) stored(ctx context.Context, b *block) (map[uint64]bool, error) {
	rows, err := s.conn.Query(ctx, "SELECT DISTINCT offset FROM records WHERE epoch = ? AND partition = ? AND offset >= ? AND offset < ?",
		b.epoch, uint32(b.partition), uint64(b.start), uint64(b.end()))
	if err != nil {
		return nil, fmt.Errorf("ask for stored offsets: %w", err)
	}
	defer rows.Close()
	stored := map[uint64]bool{}
	for rows.Next() {
		var offset uint64
		if err := rows.Scan(&offset); err != nil {
			return nil, fmt.Errorf("ask for stored offsets: %w", err)
		}
		stored[offset] = true
	}
	return stored, rows.Err()
}

// complete inserts the rows of a view that the block's records should have
// made. The view's own query says which, so the two cannot differ.
func (s *store) complete(ctx context.Context, v view, b *block) error {
	query := "INSERT INTO " + v.target + " (" + v.columns + ") SELECT " + v.columns + " FROM (" + v.query + ") WHERE " + ofBlock +
		" AND offset NOT IN (SELECT offset FROM " + v.target + " WHERE " + ofBlock + ")"
	if err := s.conn.Exec(withBlock(ctx, b), query); err != nil {
		return fmt.Errorf("complete %s: %w", v.target, err)
	}
	return nil
}

// noteCompleted tells those who have seen the block's records that the views may have
// rows of them which they have not seen.
func (s *store) noteCompleted(ctx context.Context, b *block) error {
	const query = "INSERT INTO completed_blocks (stored_time) SELECT min(stored_time) FROM records WHERE " + ofBlock + " HAVING count() > 0"
	if err := s.conn.Exec(withBlock(ctx, b), query); err != nil {
		return fmt.Errorf("note that a block is complete: %w", err)
	}
	return nil
}

// ofBlock holds of the rows of a block, whose position is in the parameters of withBlock.
const ofBlock = "epoch = {epoch:String} AND partition = {partition:UInt32} AND offset >= {start:UInt64} AND offset < {end:UInt64}"

func withBlock(ctx context.Context, b *block) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{
		"epoch": b.epoch, "partition": fmt.Sprint(b.partition), "start": fmt.Sprint(b.start), "end": fmt.Sprint(b.end()),
	}), clickhouse.WithSettings(clickhouse.Settings{"async_insert": 0, "insert_deduplicate": 0}))
}

// find returns which of the ids are stored as events, by a record that is not of
// the block or behind it, with the hash of their content. An id tells its time,
// so only the hours concerned are read.
func (s *store) find(ctx context.Context, b *block, doubtful map[uuid]bool) (map[uuid][32]byte, error) {
	found := map[uuid][32]byte{}
	if len(doubtful) == 0 {
		return found, nil
	}
	var ids []string
	for id := range doubtful {
		ids = append(ids, "'"+id.String()+"'")
	}
	hours := map[string]bool{}
	for _, e := range b.events {
		if doubtful[e.id] {
			hours[fmt.Sprint(int64(e.time)/3_600_000_000*3600)] = true
		}
	}
	rows, err := s.conn.Query(ctx, "SELECT id, content_hash FROM records WHERE state = 'stored' AND toStartOfHour(time) IN (SELECT toDateTime(arrayJoin({hours:Array(UInt32)}), 'UTC'))"+
		" AND id IN (SELECT toUUID(arrayJoin({ids:Array(String)}))) AND NOT (epoch = {epoch:String} AND partition = {partition:UInt32} AND offset >= {start:UInt64})",
		clickhouse.Named("ids", "["+strings.Join(ids, ",")+"]"), clickhouse.Named("hours", "["+join(hours)+"]"), clickhouse.Named("epoch", b.epoch),
		clickhouse.Named("partition", fmt.Sprint(b.partition)), clickhouse.Named("start", fmt.Sprint(b.start)))
	if err != nil {
		return nil, fmt.Errorf("look for duplicates: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id uuid
		var hash string
		if err := rows.Scan(&id, &hash); err != nil {
			return nil, fmt.Errorf("look for duplicates: %w", err)
		}
		found[id] = [32]byte([]byte(hash))
	}
	return found, rows.Err()
}

func join(set map[string]bool) string {
	list := make([]string, 0, len(set))
	for s := range set {
		list = append(list, s)
	}
	return strings.Join(list, ",")
}

// ids returns the ids stored within buckets of time, of each at most limit.
func (s *store) ids(ctx context.Context, buckets []int64, limit int) (map[int64][]uuid, error) {
	low, high, list := buckets[0], buckets[0], make([]string, len(buckets))
	for i, n := range buckets {
		low, high, list[i] = min(low, n), max(high, n), fmt.Sprint(n)
	}
	out := map[int64][]uuid{}
	var number proto.ColInt64
	var id proto.ColUUID
	err := s.do(ctx, ch.Query{
		Body: "SELECT intDiv(toUnixTimestamp64Micro(time), {width:Int64}) AS bucket, id FROM records WHERE state = 'stored'" +
			" AND toStartOfHour(time) >= toStartOfHour(fromUnixTimestamp64Micro({low:Int64}, 'UTC')) AND time >= fromUnixTimestamp64Micro({low:Int64}, 'UTC')" +
			" AND toStartOfHour(time) <= toStartOfHour(fromUnixTimestamp64Micro({high:Int64}, 'UTC')) AND time < fromUnixTimestamp64Micro({high:Int64}, 'UTC')" +
			" AND bucket IN (SELECT arrayJoin({buckets:Array(Int64)})) LIMIT {limit:UInt64} BY bucket",
		Parameters: ch.Parameters(map[string]any{
			"width": bucketWidth, "low": low * bucketWidth, "high": (high + 1) * bucketWidth, "limit": limit, "buckets": "[" + strings.Join(list, ",") + "]",
		}),
		Result: proto.Results{{Name: "bucket", Data: &number}, {Name: "id", Data: &id}},
		OnResult: func(context.Context, proto.Block) error {
			for i, n := range number {
				out[n] = append(out[n], id[i])
			}
			number.Reset()
			id.Reset()
			return nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("load the ids stored between %s and %s: %w", event.Time(low*bucketWidth), event.Time((high+1)*bucketWidth), err)
	}
	return out, nil
}

// newest returns a bucket of time after which no event is stored. It reads the
// last hours only; when they are empty, that the hour before them is over is enough.
func (s *store) newest(ctx context.Context) (int64, error) {
	var at int64
	err := s.conn.QueryRow(ctx, "SELECT toUnixTimestamp64Micro(greatest(max(time), toDateTime64(toStartOfHour(now('UTC')), 6, 'UTC')))"+
		" FROM records WHERE toStartOfHour(time) >= toStartOfHour(now('UTC'))").Scan(&at)
	if err != nil {
		return 0, fmt.Errorf("ask for the newest event: %w", err)
	}
	return bucketOf(event.Time(at)), nil
}

// sealed returns the tree of a partition that was signed last, its size and root;
// size 0 for none.
func (s *store) sealed(ctx context.Context, topic string, partition int) (t seal.Tree, size uint64, root seal.Hash, err error) {
	rows, err := s.conn.Query(ctx, "SELECT epoch, base, size, root FROM checkpoints WHERE topic = ? AND partition = ? ORDER BY time DESC, size DESC LIMIT 1", topic, uint32(partition))
	if err != nil {
		return t, 0, root, fmt.Errorf("ask for the partition's last checkpoint: %w", err)
	}
	defer rows.Close()
	t = seal.Tree{Topic: topic, Partition: partition}
	for rows.Next() {
		var hash string
		if err := rows.Scan(&t.Epoch, &t.Base, &size, &hash); err != nil {
			return t, 0, root, fmt.Errorf("ask for the partition's last checkpoint: %w", err)
		}
		copy(root[:], hash)
	}
	return t, size, root, rows.Err()
}
