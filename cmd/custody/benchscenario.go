package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/deploy/scenario"
)

func newBenchScenario(a *app) *cobra.Command {
	cfg := scenario.Config{}
	var again bool
	var output *choice
	c := &cobra.Command{
		Use:   "scenario",
		Short: "Measure what the detections find, miss and tell in vain",
		Long: `Stores a month of events in an empty ClickHouse: identities with rhythms of their own, whose traffic keeps to every rule, some of
it late, and among it incidents of every kind. What is an incident is known to this command only. Then the passes and the rules run
over all of it, and what they found is held against the incidents: precision is the share of findings that are right, recall the
share of incidents that their rule found. docs/detections.md has figures of seed 2; seed 1 is for tuning. How far it is, and
what each pass and rule took, is said on stderr. What is stored stays in the data folder: --again judges it anew, and --rules only by some.`,
		Example: "  custody bench scenario --seed 1 --identities 200 --events 200000 --incidents 10 --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Progress, cfg.Logger, cfg.Dir = cmd.ErrOrStderr(), a.logger, filepath.Join(a.config.DataDir, "scenario")
			if !again {
				if err := os.RemoveAll(cfg.Dir); err != nil {
					return fmt.Errorf("empty the data folder: %w", err)
				}
			}
			result, err := scenario.Run(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return writeScenario(cmd.OutOrStdout(), result, output.value)
		},
	}
	f := c.Flags()
	f.Uint64Var(&cfg.Seed, "seed", 1, "of all that happens")
	f.IntVar(&cfg.Identities, "identities", 5000, "that work all the time")
	f.IntVar(&cfg.Events, "events", 20_000_000, "that they make, about")
	f.IntVar(&cfg.Days, "days", 30, "over which the events lie")
	f.IntVar(&cfg.Incidents, "incidents", 40, "of each kind")
	f.Float64Var(&cfg.Late, "late", 0.02, "share of the events that come hours after their time")
	f.IntVar(&cfg.Copies, "copies", 0, "of the month, which further tenants have too once the passes have taken it in: a large store in minutes; scores are of the first")
	f.BoolVar(&cfg.Raw, "raw", false, "keep the bytes of events too: then \"custody run\" serves the folder, as \"clickhouse\" in a data folder, for chains and reviews")
	f.BoolVar(&again, "again", false, "judge what the run before stored, if it was with the same seed and numbers")
	f.StringSliceVar(&cfg.Rules, "rules", nil, "that judge, with the passes they wait for; empty: all")
	f.IntVar(&cfg.Wrong, "wrong", 3, "missed incidents and false findings of each rule to tell of")
	output = outputFlag(c, "table", "json", "markdown")
	return c
}

func writeScenario(w io.Writer, r *scenario.Result, output string) error {
	switch output {
	case "json":
		return json.NewEncoder(w).Encode(r)
	case "markdown":
		return scenarioMarkdown(w, r)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RULE\tINCIDENTS\tFOUND\tFINDINGS\tFALSE\tPRECISION\tRECALL\tSECONDS\tCPU SECONDS")
	for _, rule := range slices.Sorted(maps.Keys(r.ByRule)) {
		s := r.ByRule[rule]
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%.3f\t%.3f\t%.1f\t%.1f\n", rule, s.Incidents, s.Found, s.Findings, s.False, s.Precision, s.Recall, s.Seconds, s.CPUSeconds)
	}
	fmt.Fprintf(t, "all\t%d\t%d\t%d\t%d\t%.3f\t%.3f\t%.1f\t%.1f\n", r.Incidents, r.Found, r.Findings, r.False, r.Precision, r.Recall, r.Judging.Seconds, r.Judging.CPUSeconds)
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d events of %d identities in %d days, %d late; %.4f false findings for an identity and week; not exercised: %s\n",
		r.Events, r.Identities, r.Days, r.Late, r.FalsePerIdentityWeek, strings.Join(r.Unexercised, ", "))
	return err
}

// scenarioMarkdown writes what docs/detections.md has of the figures.
func scenarioMarkdown(w io.Writer, r *scenario.Result) error {
	var sb strings.Builder
	fmt.Fprintf(&sb, "Measured with seed %d: %d identities, %d events in %d days, %d of them late, %d incidents. Precision **%.3f**, recall **%.3f**, %.4f false\n",
		r.Seed, r.Identities, r.Events, r.Days, r.Late, r.Incidents, r.Precision, r.Recall, r.FalsePerIdentityWeek)
	fmt.Fprintf(&sb, "findings for an identity and week. Storing took %.0f s, the passes %.0f s, the rules %.0f s, beside other work on two cores; of\nClickHouse's CPU time %.0f s, %.0f s and %.0f s.\n",
		r.Store.Seconds, r.Passes.Seconds, r.Judging.Seconds, r.Store.CPUSeconds, r.Passes.CPUSeconds, r.Judging.CPUSeconds)
	fmt.Fprintf(&sb, "Not exercised, as what they read is not in records: %s.\n", strings.Join(r.Unexercised, ", "))
	sb.WriteString("\n| rule | incidents | found | missed | findings | false | precision | recall | false for an identity and week |\n|---|---|---|---|---|---|---|---|---|\n")
	row := func(rule string, s *scenario.Score) {
		weekly := float64(s.False) / float64(r.Identities) / (float64(r.Days) / 7)
		fmt.Fprintf(&sb, "| %s | %d | %d | %d | %d | %d | %.3f | %.3f | %.5f |\n", rule, s.Incidents, s.Found, s.Missed, s.Findings, s.False, s.Precision, s.Recall, weekly)
	}
	for _, rule := range slices.Sorted(maps.Keys(r.ByRule)) {
		if s := r.ByRule[rule]; !slices.Contains(r.Unexercised, rule) {
			row(rule, s)
		}
	}
	row("all", &scenario.Score{Incidents: r.Incidents, Found: r.Found, Missed: r.Incidents - r.Found, Findings: r.Findings, False: r.False, Precision: r.Precision, Recall: r.Recall})
	_, err := io.WriteString(w, sb.String())
	return err
}
