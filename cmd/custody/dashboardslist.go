package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/dashboards"
)

func newDashboardsList() *cobra.Command {
	var output *choice
	c := &cobra.Command{
		Use:   "list",
		Short: "List the dashboards, with how much each shows",
		Long: `Lists the dashboards of this release: how many panels each has, with how many queries, variables, and links to other dashboards.
What every panel shows is in docs/reference/dashboards.md.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			built, err := dashboards.Build()
			if err != nil {
				return err
			}
			var list []dashboards.Stats
			for _, b := range built {
				list = append(list, b.Stats())
			}
			return output.print(cmd.OutOrStdout(), list, func(w io.Writer) error { return writeDashboards(w, list) })
		},
	}
	output = outputFlag(c, "table", "json")
	return c
}

func writeDashboards(w io.Writer, list []dashboards.Stats) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DASHBOARD\tTITLE\tPANELS\tQUERIES\tVARIABLES\tLINKS")
	all := dashboards.Stats{Title: "all"}
	for _, s := range list {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\n", s.Name, s.Title, s.Panels, s.Queries, s.Variables, s.Links)
		all.Panels, all.Queries, all.Variables, all.Links = all.Panels+s.Panels, all.Queries+s.Queries, all.Variables+s.Variables, all.Links+s.Links
	}
	fmt.Fprintf(t, "\t%s\t%d\t%d\t%d\t%d\n", all.Title, all.Panels, all.Queries, all.Variables, all.Links)
	return t.Flush()
}
