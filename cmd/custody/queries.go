package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/evidence/query"
)

// saved is the file of saved filters.
func (a *app) saved() query.SavedFile {
	if a.config.Search.Queries != "" {
		return query.SavedFile{Path: a.config.Search.Queries}
	}
	return query.SavedFile{Path: filepath.Join(a.config.DataDir, "queries.yaml")}
}

// filter reads a filter in which @NAME stands for a saved one.
func (a *app) filter(text string) (*query.Filter, error) { return a.saved().Parse(text, time.Now()) }

func newQueries(a *app) *cobra.Command {
	c := &cobra.Command{Use: "queries", Short: "Manage saved filters; @NAME stands for one in search and export"}
	c.AddCommand(newQueriesSave(a), newQueriesList(a), newQueriesRemove(a))
	return c
}

func newQueriesSave(a *app) *cobra.Command {
	var description string
	c := takes(&cobra.Command{
		Use: "save NAME FILTER", Short: "Save a filter, or replace the one of the same name",
		Example: "  custody queries save denied-deploys 'tool:deploy* outcome:denied' --description 'deployments that policy refused'\n  custody search '@denied-deploys last:7d'",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.saved().Save(query.Saved{Name: args[0], Filter: strings.Join(args[1:], " "), Description: description})
		},
	}, "search")
	c.Flags().StringVar(&description, "description", "", "what it is for")
	return c
}

func newQueriesList(a *app) *cobra.Command {
	var output *choice
	c := takes(&cobra.Command{
		Use: "list", Short: "List saved filters", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.saved().List()
			if err != nil {
				return err
			}
			if output.value == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(all)
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "NAME\tFILTER\tDESCRIPTION")
			for _, s := range all {
				fmt.Fprintln(t, cells(s.Name, s.Filter, s.Description))
			}
			return t.Flush()
		},
	}, "search")
	output = outputFlag(c, "table", "json")
	return c
}

func newQueriesRemove(a *app) *cobra.Command {
	return takes(&cobra.Command{
		Use: "remove NAME", Short: "Remove a saved filter", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.saved().Remove(args[0]) },
	}, "search")
}
