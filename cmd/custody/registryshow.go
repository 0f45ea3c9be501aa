package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
)

func newRegistryShow(a *app) *cobra.Command {
	var tenant, at, version string
	var output *choice
	c := takes(&cobra.Command{
		Use:   "show",
		Short: "Show what is registered, or was at a time",
		Long: `Shows the registry of a tenant, or of all, as it is in force, as it was at a time, or in the version that an event has
(registry_version). As JSON it is a registry file.`,
		Example: "  custody registry show --tenant acme --at 2026-10-05T09:00:00Z\n  custody registry show --tenant acme --output json >acme.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			when := time.Now()
			if at != "" {
				var err error
				if when, err = time.Parse(time.RFC3339, at); err != nil {
					return fmt.Errorf("--at %q: want an RFC 3339 time such as 2026-10-05T09:00:00Z", at)
				}
			}
			if version != "" && (tenant == "" || at != "") {
				return fmt.Errorf("--version %q: want --tenant with it, and not --at", version)
			}
			conn, err := a.conn(tenant)
			if err != nil {
				return err
			}
			defer conn.Close()
			versions := []enrich.Version{{Tenant: tenant, Version: version}}
			if version == "" {
				if versions, err = enrich.InForce(cmd.Context(), conn, tenant, when); err != nil {
					return err
				}
			}
			return showRegistries(cmd, conn, versions, when, output.value)
		},
	}, "clickhouse")
	c.Flags().StringVar(&tenant, "tenant", "", "only this tenant")
	c.Flags().StringVar(&at, "at", "", "as it was at this time; empty: now")
	c.Flags().StringVar(&version, "version", "", "in this version")
	output = outputFlag(c, "text", "json")
	return c
}

func showRegistries(cmd *cobra.Command, conn driver.Conn, versions []enrich.Version, at time.Time, output string) error {
	registries := map[string]*enrich.Registry{}
	for _, v := range versions {
		if v.Version == "" {
			continue
		}
		r, err := enrich.Stored(cmd.Context(), conn, v.Tenant, v.Version)
		if err != nil {
			return err
		}
		registries[v.Tenant] = r
	}
	if output == "json" {
		e := json.NewEncoder(cmd.OutOrStdout())
		e.SetIndent("", "  ")
		return e.Encode(map[string]any{"tenants": registries})
	}
	for _, v := range versions {
		since := ""
		if !v.Since.IsZero() {
			since = ", since " + v.Since.UTC().Format("2006-01-02T15:04:05.000Z") + ", from " + v.Origin
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: version %s%s\n", v.Tenant, cmp.Or(v.Version, "none"), since)
		if r := registries[v.Tenant]; r != nil {
			if err := writeRegistry(cmd.OutOrStdout(), r, event.TimeOf(at)); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeRegistry writes a registry with the states at a time.
func writeRegistry(w io.Writer, r *enrich.Registry, at event.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nPRINCIPAL\tISSUER\tTYPE\tOWNER\tTEAM\tSTATE")
	for _, p := range r.Principals {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Sub, p.Iss, p.Type, p.Owner, p.Team, enrich.StateAt(p.Lifecycle, at))
	}
	fmt.Fprintln(t, "\nSERVER\tURIS\tSENSITIVITY\tOWNER\tTEAM\tSTATE")
	for _, s := range r.Servers {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, strings.Join(s.URIs, " "), s.Sensitivity, s.Owner, s.Team, enrich.StateAt(s.Lifecycle, at))
	}
	fmt.Fprintln(t, "\nTOOL\tSERVER\tSENSITIVITY\tOWNER\tSCOPES\tDESTRUCTIVE")
	for _, x := range r.Tools {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%v\n", x.Name, x.Server, x.Sensitivity, x.Owner, strings.Join(x.Scopes, " "), x.Destructive)
	}
	fmt.Fprintln(t)
	return t.Flush()
}
