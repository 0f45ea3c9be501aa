package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor/detect"
)

func newRuleBacktest(a *app) *cobra.Command {
	var from, to string
	var output *choice
	c := takes(&cobra.Command{
		Use:   "backtest RULE",
		Short: "Show what a rule would have found in what was stored",
		Long: `Judges the records that were stored from --from on and before --to by one rule, also a disabled one, with the parameters in
force, and shows what it would have found. Live findings are neither changed nor shown. It reads as whoever asks, step by step,
and says on stderr how far it is. A rule that judges in every round, whatever came, is asked once.`,
		Example: "  custody rule backtest deny_burst --from 720h --detect-rules rules/\n  custody rule backtest scope_widening --from 2026-11-01T00:00:00Z --to 2026-11-08T00:00:00Z --output json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			begin, err1 := moment("--from", from)
			end, err2 := moment("--to", to)
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			if end.IsZero() {
				end = time.Now()
			}
			if from == "" || !begin.Before(end) {
				return errors.New("want --from, before --to")
			}
			if err := a.config.local(""); err != nil {
				return err
			}
			conn, err := a.config.ClickHouse.asker(a.config.ClickHouse.Database)
			if err != nil {
				return err
			}
			defer conn.Close()
			engine, err := a.trial(args[0], conn)
			if err != nil {
				return err
			}
			told := time.Now()
			list, err := engine.Backtest(cmd.Context(), args[0], begin, end, func(reached time.Time, findings int) {
				if time.Since(told) > 2*time.Second {
					told = time.Now()
					fmt.Fprintf(cmd.ErrOrStderr(), "stored until %s (%.0f %%): %d findings\n", reached.UTC().Format(time.RFC3339), 100*reached.Sub(begin).Seconds()/end.Sub(begin).Seconds(), findings)
				}
			})
			if err != nil {
				return err
			}
			if output.value == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			return writeFindings(cmd.OutOrStdout(), list)
		},
	}, "clickhouse", "detect.rules")
	c.Flags().StringVar(&from, "from", "", "stored since this time (RFC 3339), or so long ago, as 24h; required")
	c.Flags().StringVar(&to, "to", "", "stored before this time, or so long ago; empty: now")
	output = outputFlag(c, "table", "json")
	return c
}

// trial is an engine of one rule, within what a reader may use.
func (a *app) trial(id string, conn *asker) (*detect.Engine, error) {
	set, r, err := a.rule(id)
	if err != nil {
		return nil, err
	}
	rules := []*detect.Rule{r}
	return detect.New(detect.Config{ClickHouse: conn, Sessions: conn.sessions, Rules: rules, Parameters: set.Parameters(rules), Limits: detect.Limits{MemoryBytes: 1_000_000_000}, Logger: a.logger})
}
