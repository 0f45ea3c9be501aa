package bench

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/process"
)

//go:embed otelcol.yaml
var otelConfig []byte

// otelcol is the OpenTelemetry Collector on a topic of OTLP log records; it
// creates its own table.
func (r *runner) otelcol(name, topic string) *contender {
	c := &contender{name: name, database: "otel", table: "otel_logs"}
	c.prepare = func(context.Context) error { return nil }
	c.command = func(run int) (process.Command, error) {
		config := filepath.Join(r.dir, "otelcol.yaml")
		if err := os.WriteFile(config, otelConfig, 0o600); err != nil {
			return process.Command{}, err
		}
		return process.Command{Path: r.cfg.Otelcol, Args: []string{"--config", "file:" + config}, Env: []string{
			"BENCH_KAFKA=" + r.kafkaAddr(), "BENCH_TOPIC=" + topic, fmt.Sprintf("BENCH_GROUP=%s-%d", topic, run),
			"BENCH_CLICKHOUSE=" + r.engine.Addr(), "BENCH_DATABASE=" + c.database,
			"BENCH_USER=" + embedded.Admin, "BENCH_PASSWORD=" + r.engine.Password(embedded.Admin),
		}}, nil
	}
	return c
}
