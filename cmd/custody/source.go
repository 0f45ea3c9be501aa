package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/schemas/event"
)

func newSource(a *app) *cobra.Command {
	c := &cobra.Command{Use: "source", Short: "Manage the sources of a collector"}
	c.AddCommand(newSourceAdd(a), newSourceList(a), newSourceTest(a))
	return c
}

func newSourceAdd(a *app) *cobra.Command {
	var src collector.Source
	c := takes(&cobra.Command{
		Use:   "add ID",
		Short: "Add a source with a fresh key; prints the key, once",
		Long: `Adds a source to the sources file and prints its bearer key on stdout. The file holds the key's hash only: a key that
is lost is replaced. A running collector reads the file at its next start.`,
		Example: `  custody source add payments-mcp --tenant acme --server payments-mcp
  custody source add acme-opa --tenant acme --type opa`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var key string
			src.ID = args[0]
			key, src.KeySHA256 = collector.NewKey()
			file := a.config.Collector.Sources
			if err := collector.AddSource(file, src); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "source %s of tenant %s is in %s; its key, shown only now:\n", src.ID, src.Tenant, file)
			_, err := fmt.Fprintln(cmd.OutOrStdout(), key)
			return err
		},
	}, "collector.sources")
	c.Flags().StringVar(&src.Tenant, "tenant", "", "tenant that its events belong to")
	c.Flags().StringVar(&src.Type, "type", "", strings.Join(collector.Types, ", ")+"; empty for all")
	c.Flags().StringSliceVar(&src.Servers, "server", nil, "id of an MCP server that it may report for; none: any")
	_ = c.MarkFlagRequired("tenant") // the flag exists
	return c
}

func newSourceList(a *app) *cobra.Command {
	var output *choice
	c := takes(&cobra.Command{
		Use:   "list",
		Short: "List the sources",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sources, err := collector.ReadSources(a.config.Collector.Sources)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(sources)
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "ID\tTENANT\tTYPE\tSERVERS")
			for _, s := range sources {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", s.ID, s.Tenant, cmp.Or(s.Type, "all"), cmp.Or(strings.Join(s.Servers, ","), "any"))
			}
			return t.Flush()
		},
	}, "collector.sources")
	output = outputFlag(c, "table", "json")
	return c
}

func newTokenRef() *cobra.Command {
	return &cobra.Command{
		Use:   "token-ref < TOKEN",
		Short: "Compute the reference of a token read from stdin",
		Long:  "Reads a token from stdin, so that it is in no shell history, and prints the reference under which events know it.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
			token := strings.TrimSpace(line)
			if token == "" {
				return errors.Join(errors.New("want a token on stdin"), err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), event.TokenRef(token))
			return err
		},
	}
}
