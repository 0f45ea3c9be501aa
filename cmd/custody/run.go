package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/evidence/api"
)

func newRun(a *app) *cobra.Command {
	return takes(&cobra.Command{
		Use:   "run",
		Short: "Run collector, processor, seal, detections, API, broker and ClickHouse in one process",
		Long: `Runs a whole installation on one machine until it is stopped. Data stays in --data-dir and is there at the next
start. The broker is one node without replication: for development and small installations.`,
		Example: "  custody source add payments-mcp --tenant acme\n  custody run",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sources, err := a.sources()
			if err != nil {
				return err
			}
			l, err := startLocal(cmd.Context(), *a.config, sources, a.logger)
			if err != nil {
				return err
			}
			if l.api != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "the API is at %s%s; a key for this machine is in %s\n", l.api.url, api.Prefix, endpointFile(a.config.DataDir))
			}
			if link := l.api.link(); link != "" && !onTerminal(os.Stderr) {
				fmt.Fprintln(cmd.ErrOrStderr(), "\"custody console link\" gives a link to the console") // a link that works does not belong in a log
			} else if link != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "the console, for a quarter of an hour and one browser (\"custody console link\" gives another link):\n%s\n", link)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "custody takes events at %s (OTLP gRPC at %s), %d sources. Stop with Ctrl-C.\n",
				l.collector.url, l.collector.grpcAddr, sources.Len())
			return errors.Join(l.wait(cmd.Context()), l.close())
		},
	}, "collector", "processor", "seal", "reconcile", "retention", "detect", "notify", "serve", "telemetry")
}
