package main

import (
	"fmt"
	"io"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor/retain"
)

func newHold(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "hold",
		Short: "Keep records from being deleted, whatever retention says",
	}
	c.AddCommand(newHoldPlace(a), newHoldRelease(a), newHoldList(a))
	return c
}

func newHoldPlace(a *app) *cobra.Command {
	var subject, server, from, to string
	return newKeepingAct(a, keepingAct{
		use: "place", short: "Keep records from being deleted", path: "/holds",
		long:    "It holds at once, also what is about to be deleted.",
		example: "  custody hold place --tenant acme --subject alice@acme.example --from 2026-10-01 --reason 'matter 2026-17'",
		flags: func(c *cobra.Command) {
			c.Flags().StringVar(&subject, "subject", "", "only records that name this one as subject, actor or in the chain")
			c.Flags().StringVar(&server, "server", "", "only records of this server")
			c.Flags().StringVar(&from, "from", "", "only records of no earlier day or time (RFC 3339), by their own time or the log's")
			c.Flags().StringVar(&to, "to", "", "only records of an earlier one")
		},
		body: func([]string) (map[string]any, error) {
			body := map[string]any{"subject": subject, "server": server}
			for name, text := range map[string]string{"from": from, "to": to} {
				if text == "" {
					continue
				}
				at, err := beginning("--"+name, text)
				if err != nil {
					return nil, err
				}
				body[name] = at
			}
			return body, nil
		},
	})
}

func newHoldRelease(a *app) *cobra.Command {
	return newKeepingAct(a, keepingAct{
		use: "release HOLD", short: "End a hold", args: cobra.ExactArgs(1),
		long:    "What it kept goes with the next pass, when its time is over.",
		example: "  custody hold release 3fa9c01b-2d44-4a1e-9d53-0f4c52a7c6a1 --tenant acme --reason 'matter 2026-17 is closed'",
		body:    func([]string) (map[string]any, error) { return map[string]any{}, nil },
		of:      func(args []string) string { return "/holds/" + url.PathEscape(args[0]) + "/release" },
	})
}

func newHoldList(a *app) *cobra.Command {
	var tenant string
	var output *choice
	c := takes(&cobra.Command{
		Use: "list", Short: "List holds that are in force", Args: cobra.NoArgs, Example: "  custody hold list --tenant acme",
		RunE: func(cmd *cobra.Command, _ []string) error {
			states, err := a.retention(cmd, tenant)
			if err != nil {
				return err
			}
			list := []*retain.Act{}
			for _, s := range states {
				list = append(list, s.Holds...)
			}
			return output.print(cmd.OutOrStdout(), list, func(w io.Writer) error { return writeHolds(w, states) })
		},
	}, "clickhouse")
	c.Flags().StringVar(&tenant, "tenant", "", "only of this tenant")
	output = outputFlag(c, "table", "json")
	return c
}

func writeHolds(w io.Writer, states []*retain.State) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "HOLD\tTENANT\tSUBJECT\tSERVER\tFROM\tTO\tPLACED\tBY\tREASON")
	at := func(x time.Time) string {
		if x.IsZero() {
			return ""
		}
		return second(x)
	}
	for _, s := range states {
		for _, h := range s.Holds {
			fmt.Fprintln(t, cells(h.ID.String(), s.Tenant, h.Subject, h.Server, at(h.From), at(h.To), second(h.Time), h.ActorSub, h.Reason))
		}
	}
	return t.Flush()
}
