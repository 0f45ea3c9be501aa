package detect

import (
	"errors"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Limits bound one query of a rule, so that no rule takes ClickHouse from the
// processor or from those who ask.
type Limits struct {
	// Time of one query; 0 is 20 s.
	Time time.Duration
	// MemoryBytes of one query; 0 is 1 GiB.
	MemoryBytes int64
	// Rows that one query may read; 0 is 200 million.
	Rows int64
	// Results that one query may answer with; 0 is 50,000.
	Results int64
}

func (l *Limits) setDefaults() {
	def(&l.Time, 20*time.Second)
	def(&l.MemoryBytes, 1<<30)
	def(&l.Rows, 200_000_000)
	def(&l.Results, 50_000)
}

func (l *Limits) settings() clickhouse.Settings {
	return clickhouse.Settings{
		"max_execution_time":    l.Time.Seconds(),
		"timeout_overflow_mode": "throw",
		"max_memory_usage":      l.MemoryBytes,
		"max_rows_to_read":      l.Rows,
		"read_overflow_mode":    "throw",
		"max_result_rows":       l.Results,
		"result_overflow_mode":  "throw",
		"max_ast_elements":      200_000, // the view of decisions is named in many places
		"join_algorithm":        "hash",  // joins of rules are small against few; spilling would hide one that is not
		"use_query_cache":       0,
		"final":                 0,
		"max_threads":           2,
		"priority":              10, // behind those who ask
	}
}

// What ClickHouse answers when a limit is met, as in its ErrorCodes.cpp.
const (
	tooManyRows        = 158
	timeoutExceeded    = 159
	memoryLimit        = 241
	tooManyRowsOrBytes = 396
)

// exceeded tells that a query met a limit and may succeed with less to judge.
func exceeded(err error) bool {
	var e *clickhouse.Exception
	return errors.As(err, &e) && slices.Contains([]int32{tooManyRows, timeoutExceeded, memoryLimit, tooManyRowsOrBytes}, e.Code)
}
