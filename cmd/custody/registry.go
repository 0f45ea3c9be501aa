package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor/enrich"
)

func newRegistry(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "registry",
		Short: "Manage what is registered: principals, servers and tools with their owners",
		Long: `A registry says of each tenant's principals, servers and tools who owns them, how sensitive they are, and what they need.
Processors store with each event what was registered then. It stands in files that processors read (processor.registry), or,
where that is not set, in tables that "custody registry import" writes. docs/operate.md describes the files.`,
	}
	c.AddCommand(newRegistryCheck(a), newRegistryImport(a), newRegistryList(a), newRegistryShow(a))
	return c
}

func newRegistryList(a *app) *cobra.Command {
	var tenant string
	var output *choice
	c := takes(&cobra.Command{
		Use:   "list",
		Short: "List the versions that were in force, the newest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := a.conn(tenant)
			if err != nil {
				return err
			}
			defer conn.Close()
			list, err := enrich.Versions(cmd.Context(), conn, tenant)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(append([]enrich.Version{}, list...))
			}
			return writeVersions(cmd.OutOrStdout(), list)
		},
	}, "clickhouse")
	c.Flags().StringVar(&tenant, "tenant", "", "only this tenant")
	output = outputFlag(c, "table", "json")
	return c
}

func writeVersions(w io.Writer, list []enrich.Version) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SINCE\tTENANT\tVERSION\tFROM\tPRINCIPALS\tSERVERS\tTOOLS")
	for _, v := range list {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\n", v.Since.UTC().Format("2006-01-02T15:04:05.000Z"), v.Tenant, cmp.Or(v.Version, "none"), v.Origin, v.Principals, v.Servers, v.Tools)
	}
	return t.Flush()
}
