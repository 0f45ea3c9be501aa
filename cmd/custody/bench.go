package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/deploy/bench"
	"github.com/custody-audit/custody/deploy/embedded"
)

func newBench(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure this program on this machine",
		Args:  cobra.NoArgs,
	}
	c.AddCommand(newBenchProcessor(), newBenchRules(), newBenchLoad(a), newBenchDashboards(a), newBenchTruth(a), newBenchScenario(a), newBenchBroker(), newBenchBare())
	return c
}

func newBenchProcessor() *cobra.Command {
	var cfg bench.Config
	var output *choice
	var partitions []int
	var stored []string
	c := &cobra.Command{
		Use:   "processor",
		Short: "Measure the processor beside a bare program and the OpenTelemetry Collector",
		Long: `Starts a broker and ClickHouse, fills topics with the same events, and lets the processor, a program that only fetches,
decodes and inserts, and the OpenTelemetry Collector store them in turns. docs/performance.md says what each figure is.
Where "ratio_to" is set, the target is of the ratio, else of the value. Beside other work the times are too long.

With several --partitions, or --stored, it measures instead how the cost of an event grows with them.`,
		Example: "  custody bench processor --events 2000000 --rounds 5 --output json\n  make bench ARGS=\"--cpuprofile .\"\n  custody bench processor --partitions 1,4,16,64 --stored 1M,10M",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if cfg.Self, err = os.Executable(); err != nil {
				return err
			}
			cfg.Progress, cfg.Partitions = cmd.ErrOrStderr(), partitions[0]
			sizes, err := rowCounts(stored)
			if err != nil {
				return err
			}
			var figures []bench.Figure
			if len(partitions) > 1 || len(sizes) > 0 {
				figures, err = bench.Growth(cmd.Context(), cfg, partitions, sizes)
			} else {
				figures, err = bench.Run(cmd.Context(), cfg)
			}
			if err != nil {
				return err
			}
			return writeFigures(cmd.OutOrStdout(), figures, output.value)
		},
	}
	f := c.Flags()
	f.Uint64Var(&cfg.Seed, "seed", 1, "of the events")
	f.IntVar(&cfg.Events, "events", 1_000_000, "events in a topic")
	f.IntVar(&cfg.Rounds, "rounds", 3, "turns of each contender; a figure is their median")
	f.IntSliceVar(&partitions, "partitions", []int{4}, "partitions of a topic; several: growth")
	f.StringSliceVar(&stored, "stored", nil, "rows that are stored before, ascending, as 1M,10M: growth")
	f.StringVar(&cfg.Otelcol, "otelcol", "", "the OpenTelemetry Collector that \"make bench\" builds; empty: it is left out")
	f.IntVar(&cfg.OTLPPerMessage, "otlp-per-message", 1, "log records in a Kafka message for the Collector; 1 is as custody.events has it")
	f.IntVar(&cfg.Rate, "rate", 20_000, "events a second for the time until they are stored; 0: not measured")
	f.DurationVar(&cfg.Duration, "duration", 30*time.Second, "how long they come at that rate")
	f.StringVar(&cfg.ProfileDir, "cpuprofile", "", "folder for a CPU profile of each turn of the processor")
	output = outputFlag(c, "table", "json")
	return c
}

func newBenchLoad(a *app) *cobra.Command {
	var cfg bench.LoadConfig
	var sizes []string
	var output *choice
	c := &cobra.Command{
		Use:   "load",
		Short: "Fill a ClickHouse with delegations and time questions on it",
		Long: `Starts ClickHouse on a folder, makes tasks of a hundred events with five exchanges each, and copies them inside ClickHouse, spread over
the days, until there are so many. At each size it asks for events by id, chains and pages of a search as an analyst, at random places.
What is in the folder stays there and is used again; 100 million events take some 30 GB, and an hour on two cores.`,
		Example: "  custody bench load --events 10M,100M --data-dir /var/tmp/load --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if cfg.Sizes, err = rowCounts(sizes); err != nil {
				return err
			}
			cfg.Progress, cfg.Dir = cmd.ErrOrStderr(), filepath.Join(a.config.DataDir, "load")
			figures, err := bench.Load(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return writeFigures(cmd.OutOrStdout(), figures, output.value)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&sizes, "events", []string{"1M"}, "events that are stored when questions are timed, ascending, as 10M,100M")
	f.IntVar(&cfg.Base, "base", 500_000, "events that are made one by one; the others are copies of them")
	f.IntVar(&cfg.Days, "days", 30, "over which they lie")
	f.IntVar(&cfg.Asked, "asked", 100, "how often each question is asked")
	f.Uint64Var(&cfg.Seed, "seed", 1, "of the events")
	output = outputFlag(c, "table", "json")
	return c
}

// rowCounts reads numbers that may end in k or M.
func rowCounts(texts []string) ([]int, error) {
	var out []int
	for _, text := range texts {
		digits, factor := strings.TrimSuffix(text, "k"), 1000
		if digits == text {
			digits, factor = strings.TrimSuffix(text, "M"), 1_000_000
		}
		if digits == text {
			factor = 1
		}
		n, err := strconv.Atoi(digits)
		if err != nil || n <= 0 || len(out) > 0 && n*factor <= out[len(out)-1] {
			return nil, fmt.Errorf("%s: want ascending numbers as 500k or 10M", text)
		}
		out = append(out, n*factor)
	}
	return out, nil
}

func writeFigures(w io.Writer, figures []bench.Figure, output string) error {
	if output == "json" {
		lines := json.NewEncoder(w)
		for _, f := range figures {
			if err := lines.Encode(f); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tVALUE\tUNIT\tRATIO\tTO\tTARGET")
	for _, f := range figures {
		rat, to, target := "", "", ""
		if f.RatioTo != nil {
			rat, to = fmt.Sprintf("%.2f", *f.Ratio), *f.RatioTo
		}
		if f.Target != nil {
			target = fmt.Sprint(*f.Target)
		}
		fmt.Fprintf(t, "%s\t%.2f\t%s\t%s\t%s\t%s\n", f.Name, f.Value, f.Unit, rat, to, target)
	}
	return t.Flush()
}

func newBenchBroker() *cobra.Command {
	var cfg embedded.BrokerConfig
	c := &cobra.Command{
		Use: "broker", Short: "The broker of a benchmark, until standard input ends", Args: cobra.NoArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return bench.RunBroker(cfg, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	c.Flags().StringVar(&cfg.Dir, "dir", "", "data folder")
	c.Flags().StringVar(&cfg.Advertise, "advertise", "", "address that clients are told to connect to; empty: where it listens")
	return c
}

func newBenchBare() *cobra.Command {
	var cfg bench.BareConfig
	var passwordFile string
	c := &cobra.Command{
		Use: "bare", Short: "Fetch, decode and insert a topic, and nothing else", Args: cobra.NoArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := os.ReadFile(filepath.Clean(passwordFile))
			if err != nil {
				return err
			}
			cfg.Password = strings.TrimSpace(string(b))
			return bench.RunBare(cmd.Context(), cfg)
		},
	}
	f := c.Flags()
	f.StringVar(&cfg.Broker, "broker", "", "bootstrap address")
	f.StringVar(&cfg.Topic, "topic", "", "topic of canonical events")
	f.StringVar(&cfg.ClickHouse, "clickhouse", "", "address of the native protocol")
	f.StringVar(&cfg.User, "user", "", "user of ClickHouse")
	f.StringVar(&passwordFile, "password-file", "", "file with the user's password")
	f.StringVar(&cfg.Database, "database", "", "database with the table records")
	f.IntVar(&cfg.Batch, "batch", 50_000, "rows of an insert")
	return c
}
