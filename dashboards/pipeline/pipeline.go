// Package pipeline is the dashboard of the pipeline itself: whether events come
// in, get through and are all there.
//
// Rates, lag and delays are the services' own metrics, from Prometheus; what is
// stored is asked of ClickHouse. Seal and witness have no panel until there are
// checkpoints.
package pipeline

import (
	"embed"

	"github.com/grafana/grafana-foundation-sdk/go/units"

	"github.com/custody-audit/custody/dashboards/board"
)

//go:embed *.sql
var files embed.FS

// New builds the dashboard.
func New() *board.Board {
	b := board.New("pipeline", "Custody: Pipeline health", "Whether events come in, get through and are all there.", files)
	b.Choose("tenant")
	b.Row("The way in")
	b.Add(accepted(b), refused(b), spooled(b), spoolSize(b))
	b.Row("The way through")
	b.Add(lag(b), delay(b), processed(b), insertDuration(b), interruptions(b), lost(b))
	b.Row("What is stored")
	b.Add(records(b).Span(board.Full), sources(b), problems(b), partitions(b), deleted(b))
	return b
}

func accepted(b *board.Board) board.Panel {
	return b.Metric("Events accepted", units.EventsPerSecond, board.Header{
		Question:   "How many events does each source deliver?",
		Row:        "one source.",
		Units:      "events per second that are durable and were acknowledged; a re-delivery counts again.",
		NotCovered: "events that a source never sent.",
		Empty:      "No collector reports to this Prometheus.",
	}, board.Series{Legend: "{{custody_source}}", Expr: `sum by (custody_source) (rate(custody_collector_events_accepted_total[$__rate_interval]))`})
}

func refused(b *board.Board) board.Panel {
	return b.Metric("Events refused", units.EventsPerSecond, board.Header{
		Question:   "Which source is told that its events were not taken?",
		Row:        "one source: rejected (with the reason: no event, or a claim to be somebody else), throttled (over its quota), unavailable (could not be made durable).",
		Units:      "events per second.",
		NotCovered: "whether the source sent them again. Requests with an unknown key belong to no source.",
		Empty:      "No event was refused since the collectors started.",
	},
		board.Series{Legend: "{{custody_source}} rejected {{reason}}", Expr: `sum by (custody_source, reason) (rate(custody_collector_events_rejected_total[$__rate_interval]))`},
		board.Series{Legend: "{{custody_source}} throttled", Expr: `sum by (custody_source) (rate(custody_collector_events_throttled_total[$__rate_interval]))`},
		board.Series{Legend: "{{custody_source}} unavailable", Expr: `sum by (custody_source) (rate(custody_collector_events_unavailable_total[$__rate_interval]))`})
}

func spooled(b *board.Board) board.Panel {
	return b.Metric("Kafka away", units.EventsPerSecond, board.Header{
		Question:   "Is Kafka away, and what happens to events meanwhile?",
		Row:        "one thing that happens: kept in the spool, replayed from it, refused because it is full, damaged (acknowledged and lost), or a write to Kafka tried again.",
		Units:      "events per second; for retries, writes per second.",
		NotCovered: "why: the collector's log says so.",
		Empty:      "Kafka was never away since the collectors started.",
	},
		board.Series{Legend: "kept", Expr: `sum(rate(custody_collector_spool_kept_total[$__rate_interval]))`},
		board.Series{Legend: "replayed", Expr: `sum(rate(custody_collector_spool_replayed_total[$__rate_interval]))`},
		board.Series{Legend: "refused", Expr: `sum(rate(custody_collector_spool_refused_total[$__rate_interval]))`},
		board.Series{Legend: "damaged", Expr: `sum(rate(custody_collector_spool_damaged_total[$__rate_interval]))`},
		board.Series{Legend: "retries", Expr: `sum(rate(custody_collector_kafka_retries_total[$__rate_interval]))`})
}

func spoolSize(b *board.Board) board.Panel {
	return b.Metric("Spool", units.BytesIEC, board.Header{
		Question:   "How much waits in the spools?",
		Row:        "one collector.",
		Units:      "bytes; the bound is the setting collector.spool.max_bytes.",
		NotCovered: "how full the disk is.",
		Empty:      "No collector reports to this Prometheus.",
	}, board.Series{Legend: "{{instance}}", Expr: `custody_collector_spool_size_bytes`})
}

func lag(b *board.Board) board.Panel {
	return b.Metric("Lag", units.Short, board.Header{
		Question:   "How far are the processors behind?",
		Row:        "one partition.",
		Units:      "records in the log that are not read yet.",
		NotCovered: "partitions that no processor has: their lag is not reported at all.",
		Empty:      "No processor reports to this Prometheus.",
	}, board.Series{Legend: "partition {{custody_partition}}", Expr: `max by (custody_partition) (custody_processor_lag)`})
}

func delay(b *board.Board) board.Panel {
	return b.Metric("Time until stored", units.Seconds, board.Header{
		Question:   "How long until an event can be found?",
		Row:        "one quantile over all partitions.",
		Units:      "seconds from the collector's receipt to the store, of the oldest event of each block.",
		NotCovered: "the time from the source to the collector: see the sources below.",
		Empty:      "No block was stored since the processors started.",
	}, quantiles("custody_processor_delay_seconds_bucket")...)
}

func processed(b *board.Board) board.Panel {
	return b.Metric("Records stored", units.CountsPerSecond, board.Header{
		Question:   "What do the processors make of the records?",
		Row:        "one state: stored, duplicate, conflict, malformed.",
		Units:      "records per second.",
		NotCovered: "records that are not read yet: see the lag.",
		Empty:      "No record was stored since the processors started.",
	}, board.Series{Legend: "{{custody_state}}", Expr: `sum by (custody_state) (rate(custody_processor_records_total[$__rate_interval]))`})
}

func insertDuration(b *board.Board) board.Panel {
	return b.Metric("Time of an insert", units.Seconds, board.Header{
		Question:   "How long does ClickHouse take for a block?",
		Row:        "one quantile over all partitions.",
		Units:      "seconds.",
		NotCovered: "inserts that did not end: they are interruptions.",
		Empty:      "No block was stored since the processors started.",
	}, quantiles("custody_processor_insert_duration_seconds_bucket")...)
}

func interruptions(b *board.Board) board.Panel {
	return b.Metric("Interruptions", units.Short, board.Header{
		Question:   "Do partitions begin again, and is the outcome of inserts unknown?",
		Row:        "errors (a partition began again at its committed offset), or recovered (a block was checked and completed).",
		Units:      "times within the interval.",
		NotCovered: "why: the processor's log says so.",
		Empty:      "Nothing was interrupted since the processors started.",
	},
		board.Series{Legend: "errors", Expr: `sum(increase(custody_processor_errors_total[$__rate_interval]))`},
		board.Series{Legend: "recovered", Expr: `sum(increase(custody_processor_blocks_recovered_total[$__rate_interval]))`})
}

func lost(b *board.Board) board.Panel {
	return b.Metric("Gaps in the log", units.Short, board.Header{
		Question:   "Did records leave Kafka before they were read?",
		Row:        "gaps, or the records lost in them.",
		Units:      "times and records, since the processors started.",
		NotCovered: "records deleted from ClickHouse: see the partitions below.",
		Empty:      "No record was lost since the processors started.",
	},
		board.Series{Legend: "gaps", Expr: `sum(custody_processor_log_gaps_total)`},
		board.Series{Legend: "records", Expr: `sum(custody_processor_log_lost_total)`})
}

func deleted(b *board.Board) board.Panel {
	return b.Metric("Deleted by the rules", units.Short, board.Header{
		Question:   "Are records deleted whose time is over?",
		Row:        "deleted (signed records of it stay), held (kept by holds at the last pass), or errors (passes that failed and are repeated).",
		Units:      "records within the interval, records, and passes within the interval.",
		NotCovered: "which records: their signed records are events of type custody.expired. What Kafka and backups keep.",
		Empty:      "Nobody who deletes reports to this Prometheus.",
	},
		board.Series{Legend: "deleted", Expr: `sum(increase(custody_retain_deleted_total[$__rate_interval]))`},
		board.Series{Legend: "held", Expr: `max(custody_retain_held)`},
		board.Series{Legend: "errors", Expr: `sum(increase(custody_retain_errors_total[$__rate_interval]))`})
}

func quantiles(buckets string) []board.Series {
	expr := func(q string) string {
		return `histogram_quantile(` + q + `, sum by (le) (rate(` + buckets + `[$__rate_interval])))`
	}
	return []board.Series{{Legend: "p50", Expr: expr("0.5")}, {Legend: "p99", Expr: expr("0.99")}}
}
