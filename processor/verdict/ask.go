package verdict

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// settings bound one query, so that the pass takes ClickHouse neither from the
// processor nor from those who ask.
var settings = clickhouse.Settings{
	"max_execution_time":    60,
	"timeout_overflow_mode": "throw",
	"max_memory_usage":      1 << 30,
	"max_ast_elements":      200_000, // the view of decisions is named in many places
	"max_threads":           2,
	"priority":              10, // behind those who ask
	"async_insert":          0,
}

func with(ctx context.Context, p clickhouse.Parameters, more ...clickhouse.QueryOption) context.Context {
	return clickhouse.Context(ctx, append(more, clickhouse.WithParameters(p), clickhouse.WithSettings(settings))...)
}
