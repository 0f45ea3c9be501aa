package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/collector"
)

func newRun(a *app) *cobra.Command {
	var sources, httpAddr, grpcAddr, telemetryAddr string
	c := &cobra.Command{
		Use:   "run",
		Short: "Run collector, processor, broker and ClickHouse in one process",
		Long:  "Runs a whole installation on one machine until it is stopped. Data stays in --data-dir and is there at the next start.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := a.logger()
			if err != nil {
				return err
			}
			registry, err := collector.LoadRegistry(sources)
			if err != nil {
				return err
			}
			l, err := startLocal(cmd.Context(), a.dataDir, registry, httpAddr, grpcAddr, telemetryAddr, logger)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "custody takes events at %s (OTLP gRPC at %s), %d sources. Stop with Ctrl-C.\n", l.url, grpcAddr, registry.Len())
			<-cmd.Context().Done()
			return l.close()
		},
	}
	c.Flags().StringVar(&sources, "sources", "sources.yaml", "file of the sources; \"custody source new\" makes an entry")
	c.Flags().StringVar(&httpAddr, "http", "127.0.0.1:4318", "address of the HTTP sources")
	c.Flags().StringVar(&grpcAddr, "grpc", "127.0.0.1:4317", "address of OTLP over gRPC")
	c.Flags().StringVar(&telemetryAddr, "telemetry", "127.0.0.1:9464", "address of /metrics for Prometheus; empty for none")
	return c
}
