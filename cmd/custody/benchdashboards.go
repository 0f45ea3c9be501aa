package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/deploy/bench"
)

func newBenchDashboards(a *app) *cobra.Command {
	var cfg bench.LoadConfig
	var events string
	var output *choice
	c := &cobra.Command{
		Use:   "dashboards",
		Short: "Fill a ClickHouse with delegations and count what dashboards read of it",
		Long: `Stores events as "custody bench load" does, in the same folder, and with them findings, privileges, reviews, lineages and
checkpoints as so many events would have. Then it asks what every panel, variable, annotation and alert rule asks, as it stands when
one opens the dashboard, and counts the rows that ClickHouse reads. It fails when a query reads more than its budget, which is
dashboards/budget.txt for 10 million events and less in proportion for fewer. What is in the folder stays there and is used again.`,
		Example: "  custody bench dashboards --events 10M --data-dir /var/tmp/load --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if cfg.Sizes, err = rowCounts([]string{events}); err != nil {
				return err
			}
			cfg.Progress, cfg.Dir = cmd.ErrOrStderr(), filepath.Join(a.config.DataDir, "load")
			costs, err := bench.Dashboards(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return errors.Join(writeCosts(cmd.OutOrStdout(), costs, output.value), overBudget(costs))
		},
	}
	f := c.Flags()
	f.StringVar(&events, "events", "10M", "events that are stored when dashboards are asked, as 500k or 10M")
	f.IntVar(&cfg.Base, "base", 500_000, "events that are made one by one; the others are copies of them")
	f.IntVar(&cfg.Days, "days", 30, "over which they lie; budgets are of 30")
	f.IntVar(&cfg.Asked, "asked", 3, "how often each query is asked")
	f.Uint64Var(&cfg.Seed, "seed", 1, "of the events")
	output = outputFlag(c, "table", "json")
	return c
}

// overBudget names the queries that read too much.
func overBudget(costs []bench.PanelCost) error {
	var over []string
	for _, c := range costs {
		if c.Over() {
			over = append(over, fmt.Sprintf("%s reads %d rows of %d", c.Name, c.Read, c.Budget))
		}
	}
	if over == nil {
		return nil
	}
	return fmt.Errorf("over budget: %s: bound the query by time, or change dashboards/budget.txt", strings.Join(over, ", "))
}

func writeCosts(w io.Writer, costs []bench.PanelCost, output string) error {
	if output == "json" {
		lines := json.NewEncoder(w)
		for _, c := range costs {
			if err := lines.Encode(c); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "QUERY\tROWS READ\tBUDGET\tROWS\tMS")
	for _, c := range costs {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%.1f\n", c.Name, c.Read, c.Budget, c.Rows, c.Millis)
	}
	return t.Flush()
}
