package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/event"
)

func newBlast(a *app) *cobra.Command {
	var flags startFlags
	var output *choice
	c := takes(&cobra.Command{
		Use:   "blast START",
		Short: "Show what a token, an agent or a chain touched, and which of its tokens would have to be revoked",
		Long: `START is ` + query.StartForms + `.
Counts the calls made with the tokens of the start and with all that were derived from them, and lists the tokens that are still
valid. A principal's are those that name it, as subject, as actor or further back in the act claim.`,
		Example: "  custody blast --token-stdin < token.txt\n  custody blast principal:planner --last 7d --output json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := askFrom(a, cmd, args, &flags, func(r *query.Reader, start string, o query.ChainOptions) (*query.Blast, error) {
				return r.BlastRadius(cmd.Context(), start, o)
			})
			if err != nil {
				return err
			}
			if output.value == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(found)
			}
			return writeBlast(cmd.OutOrStdout(), found)
		},
	}, "clickhouse", "collector.redact")
	flags.add(c, "30d", "follow a token into other tenants")
	output = outputFlag(c, "table", "json")
	return c
}

func writeBlast(w io.Writer, b *query.Blast) error {
	fmt.Fprintf(w, "%s\n%d calls (%d ran, %d denied), %d exchanges, %d decisions, %d tokens followed, %s to %s\n", event.Visible(b.Start, ""),
		b.Calls, b.Ran, b.Denied, b.Exchanges, b.Decisions, b.Tokens, stamp(b.First), stamp(b.Last))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, part := range []struct {
		title string
		list  []query.Touched
		name  func(query.Touched) string
	}{
		{"TENANT", b.Tenants, func(t query.Touched) string { return t.Tenant }},
		{"SENSITIVITY", b.Sensitivities, func(t query.Touched) string { return t.Sensitivity }},
		{"SERVER", b.Servers, func(t query.Touched) string { return t.Server }},
		{"TOOL", b.Tools, toolName},
		{"RESOURCE", b.Resources, func(t query.Touched) string { return t.Resource }},
		{"HOLDER", b.Holders, func(t query.Touched) string { return t.Holder }},
	} {
		if len(part.list) == 0 {
			continue
		}
		fmt.Fprintf(t, "\n%s\tCALLS\tRAN\tDENIED\tSENSITIVITY\tOWNER\tFIRST\tLAST\n", part.title)
		for _, x := range part.list {
			fmt.Fprintln(t, cells(part.name(x), fmt.Sprint(x.Calls), fmt.Sprint(x.Ran), fmt.Sprint(x.Denied), x.Sensitivity, x.Owner, stamp(x.First), stamp(x.Last)))
		}
	}
	fmt.Fprintf(t, "\nSTILL VALID\tISSUER\tHOLDER\tFOR\tAUDIENCE\tEXPIRES\tLAST USED\n")
	for _, x := range b.Live {
		fmt.Fprintln(t, cells(x.TokenRef, x.Issuer, x.Holder.Sub, x.Subject.Sub, strings.Join(x.Audience, " "), expires(x), stamp(x.LastUsed)))
	}
	if len(b.Live) == 0 {
		fmt.Fprintln(t, "none")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, cut := range b.Cut {
		fmt.Fprintln(w, "cut:", cut)
	}
	return nil
}

func toolName(t query.Touched) string {
	name := t.Server + "/" + t.Tool
	if t.Destructive {
		name += " (destructive)"
	}
	return name
}

func expires(t query.LiveToken) string {
	switch {
	case t.Static:
		return "never"
	case t.ExpiresAt == 0:
		return "not known"
	}
	return stamp(t.ExpiresAt)
}

func stamp(t event.Time) string {
	if t == 0 {
		return "-"
	}
	return t.Go().Format(time.RFC3339)
}
