package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/deploy/bench"
)

func newBenchRules() *cobra.Command {
	var cfg bench.Config
	var output *choice
	c := &cobra.Command{
		Use:   "rules",
		Short: "Measure what the detections take while events come",
		Long: `Starts a broker and ClickHouse and lets the processor store events that come at a steady rate, three times: alone, beside "custody
detect" without a rule, which does the passes that rules rest on, and beside it with all rules. What the second and the third take more,
in that program and in ClickHouse, is the cost of passes and rules, in cores. A turn lasts until all that came is taken in.`,
		Example: "  custody bench rules --rate 20000 --duration 5m --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if cfg.Self, err = os.Executable(); err != nil {
				return err
			}
			cfg.Progress = cmd.ErrOrStderr()
			figures, err := bench.Rules(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return writeFigures(cmd.OutOrStdout(), figures, output.value)
		},
	}
	f := c.Flags()
	f.Uint64Var(&cfg.Seed, "seed", 1, "of the events")
	f.IntVar(&cfg.Partitions, "partitions", 4, "partitions of the topic")
	f.IntVar(&cfg.Rate, "rate", 20_000, "events a second")
	f.DurationVar(&cfg.Duration, "duration", 5*time.Minute, "how long they come, each time")
	f.BoolVar(&cfg.CatchUp, "catch-up", true, "wait until passes and rules have taken in all of it: without, what they let rest for two minutes is not in the figures")
	output = outputFlag(c, "table", "json")
	return c
}
