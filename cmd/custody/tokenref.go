package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/schemas/event"
)

func newTokenRef() *cobra.Command {
	return &cobra.Command{
		Use:   "token-ref < TOKEN",
		Short: "Compute the reference of a token read from stdin",
		Long:  "Reads a token from stdin, so that it is in no shell history, and prints the reference under which events know it.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			token, err := tokenFrom(cmd.InOrStdin())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), event.TokenRef(token))
			return err
		},
	}
}
