package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/registry"
)

func newSource(a *app) *cobra.Command {
	c := &cobra.Command{Use: "source", Short: "Manage the sources of a collector"}
	c.AddCommand(newSourceAdd(a), newSourceList(a), newSourceRotate(a), newSourceDisable(a), newSourceTest(a))
	return c
}

func newSourceList(a *app) *cobra.Command {
	var output *choice
	c := takes(&cobra.Command{
		Use:   "list",
		Short: "List the sources",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sources, err := registry.ReadSources(a.config.Collector.Sources)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(sources)
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "ID\tTENANT\tTYPE\tSERVERS\tSHOWS\tSTATE")
			for _, s := range sources {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, s.Tenant, cmp.Or(s.Type, "all"), cmp.Or(strings.Join(s.Servers, ","), "any"), shows(&s), enabled(&s))
			}
			return t.Flush()
		},
	}, "collector.sources")
	output = outputFlag(c, "table", "json")
	return c
}

// shows says how a source is recognised.
func shows(s *collector.Source) string {
	var ways []string
	for _, way := range []struct {
		name string
		used bool
	}{
		{"key", s.KeySHA256 != ""}, {"previous key", s.PreviousKeySHA256 != ""}, {"certificate", s.Certificate != nil},
		{"oidc", s.OIDC != nil}, {"webhook", s.Webhook != nil},
	} {
		if way.used {
			ways = append(ways, way.name)
		}
	}
	return strings.Join(ways, ",")
}

func enabled(s *collector.Source) string {
	if s.Disabled {
		return "disabled"
	}
	return "enabled"
}

// sources reads the configured sources file.
func (a *app) sources() (*registry.Registry, error) {
	return registry.New(registry.Config{File: a.config.Collector.Sources, Types: types(), Logger: a.logger})
}
