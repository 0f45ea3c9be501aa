package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/deploy/faults"
)

func newFaults() *cobra.Command {
	var cfg faults.Config
	var output *choice
	var minutes float64
	c := &cobra.Command{
		Use:   "faults",
		Short: "Break an installation at random while events come, and check that nothing is lost or doubled",
		Long: `Starts a broker, ClickHouse and processors in a temporary folder, sends events, and meanwhile kills, pauses and cuts off what it
started. Then it compares what Kafka holds with what ClickHouse has. It ends with exit status 1 when something is wrong.
As root it also fills ClickHouse's disk, a file system in memory.`,
		Example: "  custody faults --minutes 25 --output json\n  make faults ARGS=\"--minutes 2 --seed 7\"",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if cfg.Self, err = os.Executable(); err != nil {
				return err
			}
			if minutes <= 0 {
				return errors.New("--minutes: want more than 0")
			}
			cfg.Duration, cfg.Progress = time.Duration(minutes*float64(time.Minute)), cmd.ErrOrStderr()
			result, err := faults.Run(cmd.Context(), cfg)
			if result == nil || err != nil {
				return err
			}
			if err := writeFaults(cmd.OutOrStdout(), result, output.value); err != nil {
				return err
			}
			if !result.OK() {
				return errors.New("the promise is broken")
			}
			return nil
		},
	}
	f := c.Flags()
	f.Float64Var(&minutes, "minutes", 25, "how long faults come")
	f.Uint64Var(&cfg.Seed, "seed", 1, "of the events and of the plan of faults")
	f.IntVar(&cfg.Rate, "rate", 800, "events a second, in the mean")
	f.IntVar(&cfg.Members, "members", 3, "processors")
	f.IntVar(&cfg.Partitions, "partitions", 4, "partitions of custody.events")
	f.StringSliceVar(&cfg.Kinds, "kinds", nil, "of faults: "+strings.Join(faults.AllKinds(), ", ")+"; empty: all")
	f.StringVar(&cfg.LogDir, "logs", "", "existing folder that keeps the processors' logs; empty: none")
	output = outputFlag(c, "table", "json")
	return c
}

func writeFaults(w io.Writer, r *faults.Result, output string) error {
	if output == "json" {
		return json.NewEncoder(w).Encode(r)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "faults\t%d\t%s\n", r.Faults, r.Line())
	fmt.Fprintf(t, "left out\t%d\t%s\n", len(r.LeftOut), strings.Join(r.LeftOut, ", "))
	fmt.Fprintf(t, "events\t%d\tacknowledged by Kafka; %v\n", r.Events, r.States)
	fmt.Fprintf(t, "lost\t%d\t\nduplicates\t%d\t\nwrong state\t%d\t\n", r.Lost, r.Duplicates, r.WrongState)
	fmt.Fprintf(t, "roll-ups equal\t%t\t%d views\nroots equal\t%t\t\n", r.RollupOK, r.Views, r.RootOK)
	fmt.Fprintf(t, "seconds\t%.0f\tseed %d\n", r.Seconds, r.Seed)
	for _, p := range r.Problems {
		fmt.Fprintf(t, "problem\t\t%s\n", p)
	}
	return t.Flush()
}
