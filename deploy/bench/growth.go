package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Growth measures what an event costs with few and many partitions, and with few
// and many events that are stored already, since the processor asks ClickHouse
// which ids of a block it has.
//
// It takes the numbers of partitions, and those of rows that are stored before,
// ascending; the latter with the partitions of cfg.
func Growth(ctx context.Context, cfg Config, partitions, stored []int) (_ []Figure, err error) {
	r, err := start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	var figures []Figure
	if len(partitions) > 1 { // one says how many there are beside the stored rows
		if figures, err = r.across(ctx, partitions); err != nil {
			return nil, err
		}
	}
	if len(stored) > 0 {
		more, err := r.beside(ctx, stored)
		return append(figures, more...), err
	}
	return figures, nil
}

// across lets the processor store the same events from topics of so many partitions.
func (r *runner) across(ctx context.Context, partitions []int) ([]Figure, error) {
	var figures []Figure
	for _, n := range partitions {
		prefix := fmt.Sprintf("p%d.", n)
		if err := r.fill(ctx, r.w, custodyTopic(prefix), n, 0, uint64(r.cfg.Events), canonical); err != nil {
			return nil, err
		}
		got, err := r.turn(ctx, r.custody(prefix))
		if err != nil {
			return nil, err
		}
		r.say("%d partitions: %s", n, got)
		figures = append(figures, grown(fmt.Sprintf("partitions=%d", n), got)...)
	}
	return figures, nil
}

// grown are the figures of one size.
func grown(size string, s *sample) []Figure {
	plain := func(name string, value float64, unit string) Figure {
		return Figure{Name: name + "/" + size, Value: round(value), Unit: unit}
	}
	return []Figure{
		plain("processor_cpu", cpuPerEvent(s), "us/event"),
		plain("clickhouse_cpu", s.perEvent(s.clickhouse), "us/event"),
		plain("end_to_end", s.rate, "events/s"),
		plain("rss", float64(s.rss)/(1<<20), "MiB"),
	}
}

// beside lets the processor store the next events of the workload each time that
// so many are there.
func (r *runner) beside(ctx context.Context, sizes []int) ([]Figure, error) {
	c := r.custody("")
	if err := errors.Join(r.empty(ctx, c.database), c.prepare(ctx)); err != nil {
		return nil, err
	}
	var figures []Figure
	for i, size := range append([]int{0}, sizes...) {
		if err := r.pad(ctx, size); err != nil {
			return nil, err
		}
		prefix := fmt.Sprintf("s%d.", i)
		from := uint64(i * r.cfg.Events)
		if err := r.fill(ctx, r.w, custodyTopic(prefix), r.cfg.Partitions, from, from+uint64(r.cfg.Events), canonical); err != nil {
			return nil, err
		}
		c := r.custody(prefix)
		r.run++
		got, err := r.measure(ctx, c, r.run, r.cfg.Events)
		if err != nil {
			return nil, err
		}
		r.say("%d stored before: %s", size, got)
		figures = append(figures, grown(fmt.Sprintf("stored=%d", size), got)...)
	}
	return figures, r.drop(ctx, c.database)
}

// pad copies the rows of the first turn until there are so many: each copy has
// ids and times of its own, directly before what is there, as if events had come
// at the workload's rate all the time. The bytes of raw are left out: nothing
// that is measured reads them.
func (r *runner) pad(ctx context.Context, size int) error {
	c := r.custody("")
	there, err := r.rows(ctx, c)
	if err != nil {
		return err
	}
	copies := (size - there) / r.cfg.Events
	if copies <= 0 {
		return nil
	}
	began := time.Now()
	first := r.padded + 1
	r.padded += copies
	span := time.Duration(r.cfg.Events) * r.w.Step
	sql := fmt.Sprintf(padSQL, first, first+copies, span.Microseconds(), r.cfg.Events)
	if err := r.admin.Exec(ctx, sql); err != nil {
		return fmt.Errorf("copy rows: %w", err)
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	there, err = r.rows(ctx, c)
	r.say("%d rows, after %.0f s of copying and merging", there, time.Since(began).Seconds())
	return err
}

// padSQL takes the first and last number of a copy, the microseconds between two
// copies and the events of one. An id begins with its time in milliseconds.
const padSQL = `
INSERT INTO custody.records
SELECT * EXCEPT (k, back, ms, rest) REPLACE (
	'copied' AS epoch, offset + k * %[4]d AS offset, back AS time, observed_time - toIntervalMicrosecond(k * %[3]d) AS observed_time, '' AS raw,
	toUUID(substring(ms, 1, 8) || '-' || substring(ms, 9, 4) || '-8' || substring(rest, 1, 3) || '-8' || substring(rest, 4, 3) || '-' || substring(rest, 7, 12)) AS id)
FROM (
	SELECT *, k, time - toIntervalMicrosecond(k * %[3]d) AS back, lpad(lower(hex(toUInt64(toUnixTimestamp64Milli(back)))), 12, '0') AS ms, lower(hex(sipHash128(id, k))) AS rest
	FROM custody.records ARRAY JOIN range(%[1]d, %[2]d) AS k
	WHERE epoch != 'copied' AND time < (SELECT min(time) FROM custody.records WHERE epoch != 'copied') + toIntervalMicrosecond(%[3]d)
)
SETTINGS async_insert = 0, insert_deduplicate = 0, max_partitions_per_insert_block = 0, max_memory_usage = 0, max_threads = 2, max_insert_threads = 2, min_insert_block_size_rows = 1000000, min_insert_block_size_bytes = 0`
