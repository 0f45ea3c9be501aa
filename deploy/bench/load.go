package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/ClickHouse/ch-go"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/workload"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// LoadConfig says how much is stored and asked.
type LoadConfig struct {
	// Dir is the data folder of ClickHouse. Required. What an earlier run of the
	// same Seed stored there is used again.
	Dir string
	// Sizes are the numbers of events at which questions are timed, ascending.
	Sizes []int
	// Base is how many events are made one by one; the others are copies with
	// ids, tokens, traces, tasks, decisions and times of their own.
	Base int
	// Days over which the events lie.
	Days int
	Seed uint64
	// Asked is how often each question is asked.
	Asked    int
	Progress io.Writer
}

// loaded is a ClickHouse full of lineages.
type loaded struct {
	*estate // without a broker
	cfg     LoadConfig
	w       workload.Lineage
	rng     *rand.Rand
	slots   int // of a copy each, all over the days
	copies  int // that are there, the base among them
}

// Load stores so many events and times questions on them.
func Load(ctx context.Context, cfg LoadConfig) (_ []Figure, err error) {
	l, err := newLoaded(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	var figures []Figure
	for _, size := range cfg.Sizes {
		if err := l.grow(ctx, size); err != nil {
			return nil, err
		}
		more, err := l.ask(ctx, fmt.Sprintf("stored=%s", short(size)))
		if err != nil {
			return nil, err
		}
		figures = append(figures, more...)
	}
	return figures, nil
}

// newLoaded starts ClickHouse on what an earlier run left.
func newLoaded(ctx context.Context, cfg LoadConfig) (*loaded, error) {
	if cfg.Dir == "" || len(cfg.Sizes) == 0 || cfg.Base < workload.LineageEvents || cfg.Days <= 0 || cfg.Asked <= 0 || cfg.Progress == nil {
		return nil, errors.New("load: Dir, Sizes, Base, Days, Asked and Progress are required")
	}
	largest := cfg.Sizes[len(cfg.Sizes)-1]
	slots := max(largest/cfg.Base, 1)
	if slots > 1<<12 {
		return nil, fmt.Errorf("load: %d events of %d are more than 4096 copies; make more one by one", largest, cfg.Base)
	}
	window := time.Duration(cfg.Days) * 24 * time.Hour / time.Duration(slots)
	tasks := cfg.Base / workload.LineageEvents
	l := &loaded{estate: &estate{}, cfg: cfg, slots: slots, rng: rand.New(rand.NewPCG(cfg.Seed, 7)),
		w: workload.Lineage{Seed: cfg.Seed, Base: time.Now().Add(-window).Truncate(time.Second), Step: window / time.Duration(tasks)}}
	if err := l.begin(ctx); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func short(n int) string {
	if n%1_000_000 == 0 {
		return fmt.Sprintf("%dM", n/1_000_000)
	}
	return fmt.Sprint(n)
}

func (l *loaded) say(format string, args ...any) { fmt.Fprintf(l.cfg.Progress, format+"\n", args...) }

func (l *loaded) begin(ctx context.Context) error {
	binary, err := embedded.EnsureEngine(ctx)
	if err != nil {
		return err
	}
	if l.engine, err = embedded.StartEngine(ctx, embedded.EngineConfig{Dir: l.cfg.Dir, Binary: binary, Logger: slog.Default()}); err != nil {
		return err
	}
	outside, err := l.open("")
	if err != nil {
		return err
	}
	defer outside.Close()
	if err := outside.Exec(ctx, "CREATE DATABASE IF NOT EXISTS custody ENGINE = Atomic"); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	if l.admin, err = l.open("custody"); err != nil {
		return err
	}
	if _, err := table.Migrate(ctx, l.admin); err != nil {
		return err
	}
	return l.resume(ctx)
}

// resume finds out what an earlier run left.
func (l *loaded) resume(ctx context.Context) error {
	var rows, copies uint64
	var first time.Time
	err := l.admin.QueryRow(ctx, "SELECT countIf(epoch = 'base'), uniqExact(epoch), minIf(time, epoch = 'base') FROM records").Scan(&rows, &copies, &first)
	if err != nil || rows == 0 {
		return err
	}
	if rows != uint64(l.cfg.Base) {
		return fmt.Errorf("%s holds %d events made one by one, not %d: remove it", l.cfg.Dir, rows, l.cfg.Base)
	}
	l.copies, l.w.Base = int(copies), first.UTC()
	return nil
}

// grow stores copies until there are so many events, and counts what they reach.
func (l *loaded) grow(ctx context.Context, size int) error {
	began := time.Now()
	grown, err := l.fill(ctx, size)
	if err != nil {
		return err
	}
	counted, err := l.count(ctx)
	if err != nil || !grown && counted == 0 {
		return err
	}
	l.say("%d events; merging, after %.0f s", size, time.Since(began).Seconds())
	return l.settle(ctx)
}

// fill stores copies until there are so many events; grown when some were missing.
func (l *loaded) fill(ctx context.Context, size int) (grown bool, err error) {
	began, before := time.Now(), l.copies
	if l.copies == 0 {
		if err := l.base(ctx); err != nil {
			return false, err
		}
		l.copies = 1
	}
	for ; l.copies*l.cfg.Base < size; l.copies++ {
		if err := l.copy(ctx, l.copies); err != nil {
			return false, err
		}
		if l.copies%10 == 0 {
			l.say("%d events, after %.0f s", (l.copies+1)*l.cfg.Base, time.Since(began).Seconds())
		}
	}
	return l.copies > before, nil
}

// count lets the pass that blast radii rest on take in what was stored since it last
// did, and says that all of it is settled: nothing is stored any more.
func (l *loaded) count(ctx context.Context) (counted int, err error) {
	conn, err := l.openAs(embedded.Detector, "custody")
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	rows, err := conn.Query(ctx, "SELECT DISTINCT toStartOfMinute(stored_time) AS minute FROM records WHERE stored_time >= (SELECT toStartOfMinute(max(changed_time)) FROM pass_progress WHERE pass = ?) ORDER BY minute", enrich.NameReach)
	if err != nil {
		return 0, fmt.Errorf("look for what is not counted: %w", err)
	}
	var minutes []time.Time
	for rows.Next() {
		var at time.Time
		if err := rows.Scan(&at); err != nil {
			return 0, err
		}
		minutes = append(minutes, at)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return 0, err
	}
	pass := enrich.Reach(conn)
	for _, at := range minutes {
		if err := pass.Take(ctx, at, at.Add(time.Minute)); err != nil {
			return counted, err
		}
		if counted++; counted%5 == 0 {
			l.say("counted by hour: what was stored until %s", at.Format(time.TimeOnly))
		}
	}
	over := time.Now().UTC().Truncate(24 * time.Hour).Add(24*time.Hour + enrich.Visible)
	if err := l.fold(ctx, pass, over, counted > 0); err != nil {
		return counted, err
	}
	return counted, conn.Exec(ctx, "INSERT INTO pass_progress (pass, watermark, changed_time) VALUES (?, ?, now64(6))", enrich.NameReach, over.Add(enrich.Visible))
}

// fold lets the pass add up the days, also the one on which all of it was stored: of a
// store that grew for a month the last day alone is not over.
func (l *loaded) fold(ctx context.Context, pass enrich.Pass, over time.Time, grown bool) error {
	var folded bool
	if err := l.admin.QueryRow(ctx, "SELECT count() > 0 FROM reach_days").Scan(&folded); err != nil || folded && !grown {
		return err
	}
	for _, sql := range []string{"ALTER TABLE pass_progress DELETE WHERE pass = '" + enrich.NameReachDays + "' SETTINGS mutations_sync = 1", "TRUNCATE TABLE reach_days"} { // from when it was smaller
		if err := l.admin.Exec(ctx, sql); err != nil {
			return fmt.Errorf("add up the days anew: %w", err)
		}
	}
	began := time.Now()
	if err := pass.Take(ctx, over, over); err != nil {
		return err
	}
	l.say("added up by day in %.0f s", time.Since(began).Seconds())
	return nil
}

// base makes the events that the others are copies of.
func (l *loaded) base(ctx context.Context) error {
	conn, err := ch.Dial(ctx, ch.Options{Address: l.engine.Addr(), User: embedded.Admin, Password: l.engine.Password(embedded.Admin), Database: "custody"})
	if err != nil {
		return err
	}
	defer conn.Close()
	block := table.NewBlock()
	insert := func() error {
		statement, columns := block.Insert("records")
		defer block.Reset()
		return conn.Do(ctx, ch.Query{Body: statement, Input: columns, Settings: []ch.Setting{ch.SettingInt("async_insert", 0)}})
	}
	var offset int64
	for task := range uint64(l.cfg.Base / workload.LineageEvents) {
		for _, e := range l.w.Task(task) {
			raw := e.Canonical()
			block.Add(&table.Record{Position: table.Position{Topic: "custody.events", Epoch: "base", Offset: offset}, LogTime: e.ObservedTime.Go(),
				State: table.Stored, Raw: raw, Event: e, ContentHash: e.ContentHash()})
			offset++
		}
		if block.Rows() >= 50_000 {
			if err := insert(); err != nil {
				return fmt.Errorf("store events: %w", err)
			}
		}
	}
	if block.Rows() == 0 {
		return nil
	}
	return insert()
}

// back is how long before the base the n-th copy lies: each prefix of the copies
// is spread over all days.
func (l *loaded) back(n int) time.Duration {
	step := l.slots*7/19 | 1
	for gcd(step, l.slots) != 1 {
		step += 2
	}
	return time.Duration(n*step%l.slots) * l.w.Step * time.Duration(l.cfg.Base/workload.LineageEvents)
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// label is what a copy puts into identifiers in place of three characters.
func label(n int) string { return fmt.Sprintf("%03x", n) }

func (l *loaded) copy(ctx context.Context, n int) error {
	back := l.back(n)
	if err := l.admin.Exec(ctx, fmt.Sprintf(copySQL, label(n), back.Microseconds())); err != nil {
		return fmt.Errorf("copy events: %w", err)
	}
	return nil
}

// copySQL copies the base inside ClickHouse. References, traces, tasks, decisions
// and ids become others in the columns and in the bytes; all times move back.
const copySQL = `
INSERT INTO records
WITH '%[1]s' AS mark, toIntervalMicrosecond(%[2]d) AS back, '%%Y-%%m-%%dT%%H:%%i:%%S.%%fZ' AS form,
	(x -> if(x = '', '', concat('sha256:', mark, substring(x, 11)))) AS other_ref,
	(x -> if(x = '', '', concat('opa', mark, substring(x, 4)))) AS other_decision,
	(x -> if(toUnixTimestamp64Micro(x) = 0, x, x - back)) AS earlier,
	((text, x) -> if(toUnixTimestamp64Micro(x) = 0, text, replaceAll(text, formatDateTime(x, form), formatDateTime(x - back, form)))) AS move
SELECT * EXCEPT (ms, new_id) REPLACE (
	mark AS epoch, log_time - back AS log_time, time - back AS time, observed_time - back AS observed_time, now64(6) AS stored_time,
	earlier(token_issued_at) AS token_issued_at, earlier(token_expires_at) AS token_expires_at, toUUID(new_id) AS id,
	other_ref(token_ref) AS token_ref, other_ref(exchange_subject_token_ref) AS exchange_subject_token_ref, other_ref(exchange_issued_token_ref) AS exchange_issued_token_ref,
	other_ref(tool_arguments_hash) AS tool_arguments_hash, concat(mark, substring(trace_id, 4)) AS trace_id, concat(task_id, '-', mark) AS task_id,
	other_decision(decision_id) AS decision_id, other_decision(correlation_decision_id) AS correlation_decision_id,
	replaceOne(replaceAll(replaceAll(replaceOne(replaceRegexpAll(move(move(move(raw, time), observed_time), token_expires_at),
		'"sha256:...', concat('"sha256:', mark)),
		toString(id), new_id), trace_id, concat(mark, substring(trace_id, 4))), '"opa-', concat('"opa', mark, '-')),
		concat('"', task_id, '"'), concat('"', task_id, '-', mark, '"')) AS raw)
FROM (
	SELECT *, lpad(lower(hex(toUInt64(toUnixTimestamp64Milli(time - back)))), 12, '0') AS ms,
		concat(substring(ms, 1, 8), '-', substring(ms, 9, 4), '-8', mark, substring(toString(id), 19)) AS new_id
	FROM records WHERE epoch = 'base'
)
SETTINGS prefer_column_name_to_alias = 1, async_insert = 0, insert_deduplicate = 0, max_partitions_per_insert_block = 0, max_memory_usage = 0, max_threads = 2, max_insert_threads = 2, min_insert_block_size_rows = 250000, min_insert_block_size_bytes = 0`

// pick returns the events of a task that is stored, as they are there.
func (l *loaded) pick() (number int, events []*event.Event) {
	return l.rng.IntN(l.copies), l.w.Task(l.rng.Uint64N(uint64(l.cfg.Base / workload.LineageEvents)))
}
