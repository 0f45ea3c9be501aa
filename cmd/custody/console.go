package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

func newConsole(a *app) *cobra.Command {
	c := &cobra.Command{Use: "console", Short: "The web console", Args: cobra.NoArgs}
	c.AddCommand(newConsoleLink(a))
	return c
}

func newConsoleLink(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "link",
		Short: "Print a link that logs one browser in to the console of the installation in --data-dir",
		Long: `Prints a link to the console of the installation that runs on this machine with the same --data-dir. It works once, for
a quarter of an hour; who opens it is an admin of that installation until it stops, for eight hours at most.`,
		Example: "  custody console link",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.apiClient()
			if err != nil {
				return err
			}
			var link struct {
				Path string `json:"path"`
			}
			if err := c.do(cmd.Context(), http.MethodPost, "/login-links", "", struct{}{}, &link); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), c.url+link.Path)
			return nil
		},
	}
}
