package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/schemas/event"
)

func newSource() *cobra.Command {
	c := &cobra.Command{Use: "source", Short: "Manage the sources of a collector"}
	var src collector.Source
	add := &cobra.Command{
		Use:   "new",
		Short: "Make a key for a source; prints the key once, and the entry for the sources file",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, hash := collector.NewKey()
			src.KeySHA256 = hash
			if _, err := collector.NewRegistry([]collector.Source{src}); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "The key, shown only now: %s\nThe entry for the list \"sources\" of the sources file:\n", key)
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "- {id: %s, tenant: %s, type: %q, key_sha256: %s}\n", src.ID, src.Tenant, src.Type, hash)
			return err
		},
	}
	add.Flags().StringVar(&src.ID, "id", "", "id of the source")
	add.Flags().StringVar(&src.Tenant, "tenant", "", "tenant that its events belong to")
	add.Flags().StringVar(&src.Type, "type", "", "native, opa or otlp; empty for all")
	c.AddCommand(add)
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
