package alert

import (
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/alerting"
)

const (
	hour = 3600
	day  = 24 * hour
)

// all are the rules. Those whose rows are what is wrong are well without a row;
// where a figure should be there, its absence is told.
func all() []*Rule {
	return []*Rule{
		{
			Name: "tamper_found", Title: "Tamper found", Severity: "critical",
			Summary: "Stored records differ from what was sealed: {{ $labels.kind }}, of {{ $labels.whose }}.",
			For:     "0s", Range: 26 * hour, NoData: alerting.RuleNoDataStateOK, Board: "pipeline", Panel: "Partitions",
		},
		{
			Name: "critical_findings", Title: "Critical findings", Severity: "critical",
			Summary: "{{ $labels.rule }} found something critical in {{ $labels.tenant }}, and nobody has acted on it.",
			For:     "0s", Range: day, NoData: alerting.RuleNoDataStateOK, Board: "findings", Panel: "What waits",
		},
		{
			Name: "log_gap", Title: "Gap in the log", Severity: "critical",
			Summary: "Records of partition {{ $labels.partition }} of {{ $labels.topic }} left Kafka before they were read.",
			For:     "0s", Range: day, NoData: alerting.RuleNoDataStateOK, Board: "pipeline", Panel: "Gaps in the log",
		},
		{
			Name: "seal_stale", Title: "Seal stale", Severity: "high",
			Summary: "Records of partition {{ $labels.partition }} of {{ $labels.topic }} wait for a checkpoint for more than 15 minutes.",
			Above:   900, For: "5m", Range: hour, NoData: alerting.RuleNoDataStateOK, Board: "pipeline", Panel: "Partitions",
		},
		{
			Name: "witness_stale", Title: "Witness stale", Severity: "high",
			Summary: "No witness has cosigned partition {{ $labels.partition }} of {{ $labels.topic }} for an hour of checkpoints.",
			Above:   hour, For: "15m", Range: day, NoData: alerting.RuleNoDataStateOK, Board: "pipeline", Panel: "Partitions",
		},
		{
			Name: "source_silent", Title: "Source silent", Severity: "high",
			Summary: "{{ $labels.source }} of {{ $labels.tenant }} is silent for more than an hour, and usually is not.",
			Above:   hour, For: "5m", Range: 3 * day, NoData: alerting.RuleNoDataStateOK, Board: "pipeline", Panel: "Sources",
		},
		{
			Name: "lag", Title: "Lag", Severity: "high",
			Summary: "Partition {{ $labels.custody_partition }} is more than 100,000 records behind for 10 minutes.",
			Expr:    `max by (custody_partition) (custody_processor_lag)`,
			Above:   100_000, For: "10m", Range: 600, NoData: alerting.RuleNoDataStateNoData, Board: "pipeline", Panel: "Lag",
		},
		{
			Name: "spool_filling", Title: "Spool over 80 %", Severity: "high",
			Summary: "The spool of {{ $labels.instance }} is more than 80 % full: Kafka is away, and sources will be refused.",
			Expr:    `max by (instance) (custody_collector_spool_size_bytes / (custody_collector_spool_limit_bytes > 0))`,
			Above:   0.8, For: "2m", Range: 600, NoData: alerting.RuleNoDataStateOK, Board: "pipeline", Panel: "Spool",
		},
		{
			Name: "dead_letters", Title: "Dead-letter rate", Severity: "medium",
			Summary: "More than one record in a thousand is no event, for 10 minutes.",
			Expr:    `sum(rate(custody_processor_records_total{custody_state="malformed"}[10m])) / sum(rate(custody_processor_records_total[10m]))`,
			Above:   0.001, For: "10m", Range: 600, NoData: alerting.RuleNoDataStateOK, Board: "pipeline", Panel: "Records stored",
		},
		{
			Name: "retention_fails", Title: "Retention fails", Severity: "medium",
			Summary: "Records whose time is over are not deleted: {{ $values.A.Value }} passes failed within three hours.",
			Expr:    `sum(increase(custody_retain_errors_total[3h]))`,
			Above:   1, For: "1h", Range: 600, NoData: alerting.RuleNoDataStateOK, Board: "pipeline", Panel: "Deleted by the rules",
		},
	}
}

// Anchor is the fragment by which a heading of a Markdown page is linked to.
func Anchor(heading string) string {
	keep := func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-':
			return r
		case r == ' ':
			return '-'
		}
		return -1
	}
	return strings.Map(keep, strings.ToLower(heading))
}
