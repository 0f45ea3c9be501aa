package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/table"
)

// store reads what is to be reconciled.
type store struct{ conn driver.Conn }

// key names a partition's epoch, which is a tree but for its base.
func key(topic, epoch string, partition int) string {
	return fmt.Sprintf("%s/%s/%d", topic, epoch, partition)
}

// read fills windows with the rows and nodes that are stored.
func (s *store) read(ctx context.Context, windows []*window, explains func(context.Context, []uuid.UUID) (map[uuid.UUID]bool, error)) error {
	by := map[string][]*window{}
	for _, w := range windows {
		k := key(w.tree.Topic, w.tree.Epoch, w.tree.Partition)
		by[k] = append(by[k], w)
	}
	if err := s.rows(ctx, windows, by); err != nil {
		return err
	}
	if err := s.left(ctx, windows, by, explains); err != nil {
		return err
	}
	return s.nodes(ctx, windows, by)
}

// where is the condition of the windows' parts of a column, with its parameters.
func where(windows []*window, column string, bound func(w *window) (from, to uint64)) (string, clickhouse.Parameters) {
	p := clickhouse.Parameters{}
	var or []string
	for i, w := range windows {
		from, to := bound(w)
		p[fmt.Sprintf("t%d", i)], p[fmt.Sprintf("e%d", i)] = w.tree.Topic, w.tree.Epoch
		or = append(or, fmt.Sprintf("(topic = {t%[1]d:String} AND epoch = {e%[1]d:String} AND partition = %[2]d AND %[3]s >= %[4]d AND %[3]s < %[5]d)",
			i, w.tree.Partition, column, from, to))
	}
	return strings.Join(or, " OR "), p
}

// rows computes the leaf hashes from the records' bytes, which ClickHouse does
// where they are.
func (s *store) rows(ctx context.Context, windows []*window, by map[string][]*window) error {
	condition, p := where(windows, "offset", func(w *window) (uint64, uint64) { return w.tree.Base + w.from, w.tree.Base + w.to })
	rows, err := s.conn.Query(clickhouse.Context(ctx, clickhouse.WithParameters(p)), `SELECT topic, epoch, partition, offset, computed, leaf_hash
		FROM (SELECT topic, epoch, partition, offset, leaf_hash, SHA256(concat(char(0), raw)) AS computed FROM records WHERE `+condition+`)`)
	if err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	defer rows.Close()
	var topic, epoch, computed, beside string
	var partition uint32
	var offset uint64
	for rows.Next() {
		if err := rows.Scan(&topic, &epoch, &partition, &offset, &computed, &beside); err != nil {
			return fmt.Errorf("read records: %w", err)
		}
		r := row{hash: seal.Hash([]byte(computed))}
		if beside != computed {
			h := seal.Hash([]byte(beside))
			r.beside = &h
		}
		for _, w := range by[key(topic, epoch, int(partition))] {
			w.add(offset, r)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	return nil
}

// left reads what signed records of deletions left. It is read after the rows, and
// stored before they are deleted: so what is missing there is here.
func (s *store) left(ctx context.Context, windows []*window, by map[string][]*window, explains func(context.Context, []uuid.UUID) (map[uuid.UUID]bool, error)) error {
	condition, p := where(windows, "offset", func(w *window) (uint64, uint64) { return w.tree.Base + w.from, w.tree.Base + w.to })
	rows, err := s.conn.Query(clickhouse.Context(ctx, clickhouse.WithParameters(p)), "SELECT topic, epoch, partition, groupArray(offset), groupArray(leaf_hash), record FROM retained_leaves WHERE "+condition+" GROUP BY topic, epoch, partition, record")
	if err != nil {
		return fmt.Errorf("read retained leaves: %w", err)
	}
	defer rows.Close()
	type run struct {
		key     string
		offsets []uint64
		leaves  []string
	}
	of := map[uuid.UUID]run{}
	for rows.Next() {
		var topic, epoch string
		var partition uint32
		var record uuid.UUID
		var x run
		if err := rows.Scan(&topic, &epoch, &partition, &x.offsets, &x.leaves, &record); err != nil {
			return fmt.Errorf("read retained leaves: %w", err)
		}
		x.key = key(topic, epoch, int(partition))
		of[record] = x
	}
	if err := rows.Err(); err != nil || len(of) == 0 {
		return err
	}
	signed, err := explains(ctx, slices.Collect(maps.Keys(of)))
	if err != nil {
		return err
	}
	for record, x := range of {
		for i := range x.offsets {
			for _, w := range by[x.key] {
				if signed[record] { // what nobody signed explains nothing
					w.left(x.offsets[i], seal.Hash([]byte(x.leaves[i])))
				}
			}
		}
	}
	return nil
}

func (s *store) nodes(ctx context.Context, windows []*window, by map[string][]*window) error {
	condition, p := where(windows, "index", func(w *window) (uint64, uint64) { return w.from / groupSize, (w.to + groupSize - 1) / groupSize })
	rows, err := s.conn.Query(clickhouse.Context(ctx, clickhouse.WithParameters(p)), fmt.Sprintf(`SELECT topic, epoch, partition, index, groupUniqArray(hash)
		FROM tree_nodes WHERE level = %d AND (%s) GROUP BY topic, epoch, partition, index`, seal.MinStoredLevel, condition))
	if err != nil {
		return fmt.Errorf("read nodes: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var topic, epoch string
		var partition uint32
		var index uint64
		var hashes []string
		if err := rows.Scan(&topic, &epoch, &partition, &index, &hashes); err != nil {
			return fmt.Errorf("read nodes: %w", err)
		}
		var list []seal.Hash
		for _, h := range hashes {
			list = append(list, seal.Hash([]byte(h)))
		}
		for _, w := range by[key(topic, epoch, int(partition))] {
			w.stored(index, list)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read nodes: %w", err)
	}
	return nil
}

// newest gives the largest stored checkpoint of each tree.
func (s *store) newest(ctx context.Context, mark func(t seal.Tree, where string, signed []byte)) error {
	rows, err := s.conn.Query(ctx, "SELECT topic, epoch, partition, base, argMax(note, (size, signatures)) FROM checkpoints GROUP BY topic, epoch, partition, base")
	if err != nil {
		return fmt.Errorf("read checkpoints: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var t seal.Tree
		var partition uint32
		var note string
		if err := rows.Scan(&t.Topic, &t.Epoch, &partition, &t.Base, &note); err != nil {
			return fmt.Errorf("read checkpoints: %w", err)
		}
		t.Partition = int(partition)
		mark(t, "in ClickHouse", []byte(note))
	}
	return rows.Err()
}

// maxMarks bounds the checkpoints that a range is searched by.
const maxMarks = 2000

// between returns signed checkpoints of a tree with sizes between two, evenly
// thinned. Those that do not verify are left out.
func (s *store) between(ctx context.Context, ring *seal.Keyring, t seal.Tree, after, before uint64) ([]seal.Checkpoint, error) {
	p := parameters(t, after, before)
	p["most"] = fmt.Sprint(maxMarks)
	rows, err := s.conn.Query(clickhouse.Context(ctx, clickhouse.WithParameters(p)), `WITH (
			SELECT greatest(intDiv(uniqExact(size), {most:UInt64}), 1) FROM checkpoints WHERE `+ofTree+` AND base = {base:UInt64} AND size > {from:UInt64} AND size < {to:UInt64}
		) AS every
		SELECT argMax(note, signatures) FROM checkpoints
		WHERE `+ofTree+` AND base = {base:UInt64} AND size > {from:UInt64} AND size < {to:UInt64} AND cityHash64(size) % every = 0
		GROUP BY size ORDER BY size`)
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	defer rows.Close()
	var out []seal.Checkpoint
	for rows.Next() {
		var note string
		if err := rows.Scan(&note); err != nil {
			return nil, fmt.Errorf("read checkpoints: %w", err)
		}
		if c, of, err := ring.OpenCheckpoint([]byte(note)); err == nil && of == t && c.Size > after && c.Size < before {
			out = append(out, c)
		}
	}
	return out, rows.Err()
}

const ofTree = "topic = {topic:String} AND epoch = {epoch:String} AND partition = {partition:UInt32}"

func parameters(t seal.Tree, from, to uint64) clickhouse.Parameters {
	return clickhouse.Parameters{"topic": t.Topic, "epoch": t.Epoch, "partition": fmt.Sprint(t.Partition), "base": fmt.Sprint(t.Base), "from": fmt.Sprint(from), "to": fmt.Sprint(to)}
}

// beside counts the nodes that are over leaves of a range only, and the
// checkpoints that end in it.
func (s *store) beside(ctx context.Context, t seal.Tree, from, to uint64) (nodes, checkpoints uint64, err error) {
	err = s.conn.QueryRow(clickhouse.Context(ctx, clickhouse.WithParameters(parameters(t, from, to))), fmt.Sprintf(`SELECT
		(SELECT count() FROM tree_nodes WHERE `+ofTree+` AND level = %[1]d AND index * %[2]d >= {from:UInt64} AND index * %[2]d < {to:UInt64}),
		(SELECT count() FROM checkpoints WHERE `+ofTree+` AND size > {from:UInt64} AND size <= {to:UInt64})`, seal.MinStoredLevel, groupSize)).Scan(&nodes, &checkpoints)
	if err != nil {
		return 0, 0, fmt.Errorf("look for what is left of a range: %w", err)
	}
	return nodes, checkpoints, nil
}

// extent is what there is of an epoch of a partition.
type extent struct {
	topic, epoch string
	partition    int
	first, last  uint64
}

func (s *store) ranges(ctx context.Context) ([]extent, error) {
	rows, err := s.conn.Query(ctx, "SELECT topic, epoch, partition, min(offset), max(offset) FROM records GROUP BY topic, epoch, partition ORDER BY topic, epoch, partition")
	if err != nil {
		return nil, fmt.Errorf("look for records of no tree: %w", err)
	}
	defer rows.Close()
	var out []extent
	for rows.Next() {
		var e extent
		var partition uint32
		if err := rows.Scan(&e.topic, &e.epoch, &partition, &e.first, &e.last); err != nil {
			return nil, fmt.Errorf("look for records of no tree: %w", err)
		}
		e.partition = int(partition)
		out = append(out, e)
	}
	return out, rows.Err()
}

// below returns the last offset before a tree.
func (s *store) below(ctx context.Context, t seal.Tree) (last uint64, err error) {
	err = s.conn.QueryRow(clickhouse.Context(ctx, clickhouse.WithParameters(parameters(t, 0, 0))), "SELECT max(offset) FROM records WHERE "+ofTree+" AND offset < {base:UInt64}").Scan(&last)
	if err != nil {
		return 0, fmt.Errorf("look for records before the tree: %w", err)
	}
	return last, nil
}

// beyond returns the first offset from an end on, and whether a row there is
// older than a time, or claims to be of the future.
func (s *store) beyond(ctx context.Context, t seal.Tree, end uint64, grace time.Duration) (first uint64, old bool, err error) {
	p := parameters(t, end, 0)
	p["grace"] = fmt.Sprint(int(grace.Seconds()))
	err = s.conn.QueryRow(clickhouse.Context(ctx, clickhouse.WithParameters(p)), `SELECT if(count() = 0, toUInt64(-1), min(offset)),
			countIf(stored_time < now64(6, 'UTC') - toIntervalSecond({grace:UInt32}) OR stored_time > now64(6, 'UTC') + toIntervalMinute(1)) > 0
		FROM records WHERE `+ofTree+` AND offset >= {from:UInt64}`).Scan(&first, &old)
	if err != nil {
		return 0, false, fmt.Errorf("look for records beyond the checkpoint: %w", err)
	}
	return first, old, nil
}

// hidden finds rows that are marked as repetitions of what is not there, and was not
// deleted by policy either, as a signed record says.
func (s *store) hidden(ctx context.Context, signed map[uuid.UUID]bool) ([]Discrepancy, error) {
	var ids []string
	for id, ok := range signed {
		if ok {
			ids = append(ids, id.String())
		}
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"records": table.Words(ids)}))
	const repeated = "state IN ('duplicate', 'conflict')"
	rows, err := s.conn.Query(ctx, `SELECT topic, epoch, partition, offset, toString(state) FROM records
		WHERE `+repeated+` AND (tenant, id) NOT IN (
			SELECT tenant, id FROM records WHERE state = 'stored' AND (tenant, id) IN (SELECT tenant, id FROM records WHERE `+repeated+`))
			AND (tenant, id) NOT IN (SELECT tenant, id FROM retained_leaves WHERE record IN {records:Array(UUID)})
		ORDER BY topic, epoch, partition, offset LIMIT 10000`)
	if err != nil {
		return nil, fmt.Errorf("look for hidden records: %w", err)
	}
	defer rows.Close()
	var out []Discrepancy
	for rows.Next() {
		var t seal.Tree
		var partition uint32
		var offset uint64
		var state string
		if err := rows.Scan(&t.Topic, &t.Epoch, &partition, &offset, &state); err != nil {
			return nil, fmt.Errorf("look for hidden records: %w", err)
		}
		t.Partition = int(partition)
		out = append(out, discrepancy(Hidden, t, offset, offset+1, "marked "+state+", and nothing is stored that it repeats"))
	}
	return out, rows.Err()
}

// ended writes down that a cycle came to its end, so that people see that there is
// one: nothing found and nothing looked at are not the same.
func (s *store) ended(ctx context.Context, began time.Time, full bool, rep *Report) error {
	return table.Insert(ctx, s.conn, "reconciliations (began, ended, full, trees, records, discrepancies)", func(add func(...any) error) error {
		return add(began, time.Now(), full, uint32(rep.Trees), rep.Records, uint64(len(rep.Discrepancies)))
	})
}
