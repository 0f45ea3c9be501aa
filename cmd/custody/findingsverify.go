package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor/worklist"
)

func newFindingsVerify(a *app) *cobra.Command {
	var tenant string
	var last, grace time.Duration
	var output *choice
	c := takes(&cobra.Command{
		Use:   "verify",
		Short: "Hold the history of findings against the events of the log",
		Long: `Compares what the history says people did about findings with the events that are the evidence of it, and names what is missing
on either side or differs; then it ends with exit status 1. Whether the events are those that were sealed, "custody reconcile" says.`,
		Example: "  custody findings verify --tenant acme --last 2160h",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := a.conn(tenant)
			if err != nil {
				return err
			}
			defer conn.Close()
			now := time.Now()
			list, err := worklist.Verify(cmd.Context(), conn, tenant, now.Add(-last), now.Add(-grace))
			if err != nil {
				return err
			}
			err = output.print(cmd.OutOrStdout(), append([]*worklist.Difference{}, list...), func(w io.Writer) error { return writeDifferences(w, list) })
			if err == nil && len(list) > 0 {
				err = fmt.Errorf("history and log differ in %d acts", len(list))
			}
			return err
		},
	}, "clickhouse")
	c.Flags().StringVar(&tenant, "tenant", "", "only this tenant")
	c.Flags().DurationVar(&last, "last", 720*time.Hour, "acts of this long ago and since; not longer than events are kept")
	c.Flags().DurationVar(&grace, "grace", time.Minute, "but not the newest: their events may not be stored yet")
	output = outputFlag(c, "table", "json")
	return c
}

func writeDifferences(w io.Writer, list []*worklist.Difference) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "history and log say the same")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WHAT\tTIME\tTENANT\tFINDING\tACTION\tACTOR\tEVENT")
	for _, d := range list {
		fmt.Fprintln(t, cells(d.Kind, second(d.Time), d.Tenant, fmt.Sprintf("%.12s", d.Key), d.Action, d.Actor, d.EventID.String()))
	}
	return t.Flush()
}
