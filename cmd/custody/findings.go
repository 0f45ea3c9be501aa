package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor/detect"
)

func newFindings(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "findings",
		Short: "See what the detections found",
	}
	c.AddCommand(newFindingsList(a), newFindingsShow(a))
	return c
}

func newFindingsList(a *app) *cobra.Command {
	var f detect.Filter
	var all bool
	var output *choice
	c := takes(&cobra.Command{
		Use:     "list",
		Short:   "List open findings, the severest first",
		Example: "  custody findings list --tenant acme --severity high\n  custody findings list --rule call_after_deny --all --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !all {
				f.Status = detect.Open
			}
			conn, err := a.conn(f.Tenant)
			if err != nil {
				return err
			}
			defer conn.Close()
			list, err := detect.List(cmd.Context(), conn, f)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(append([]*detect.Finding{}, list...))
			}
			return writeFindings(cmd.OutOrStdout(), list)
		},
	}, "clickhouse")
	c.Flags().StringVar(&f.Tenant, "tenant", "", "only this tenant")
	c.Flags().StringVar(&f.Rule, "rule", "", "only this rule; docs/detections.md describes them")
	c.Flags().StringVar((*string)(&f.AtLeast), "severity", string(detect.Severities[0]), "at least this severe: "+joinWords(detect.Severities))
	c.Flags().BoolVar(&all, "all", false, "also those that resolved by themselves")
	c.Flags().IntVar(&f.Limit, "limit", 100, "most findings, up to 10000")
	output = outputFlag(c, "table", "json")
	return c
}

func joinWords[T ~string](words []T) string {
	var out []string
	for _, w := range words {
		out = append(out, string(w))
	}
	return strings.Join(out, ", ")
}

func writeFindings(w io.Writer, list []*detect.Finding) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tSEVERITY\tTENANT\tRULE\tLAST SEEN\tSUMMARY")
	for _, f := range list {
		rule := f.Rule
		if f.Status != detect.Open {
			rule += " (" + f.Status + ")"
		}
		fmt.Fprintln(t, cells(fmt.Sprintf("%.12s", f.Key), f.Severity, f.Tenant, rule, f.LastSeen.UTC().Format("2006-01-02T15:04:05Z"), f.Summary))
	}
	return t.Flush()
}

func newFindingsShow(a *app) *cobra.Command {
	var tenant string
	var output *choice
	c := takes(&cobra.Command{
		Use:     "show KEY",
		Short:   "Show a finding: what it rests on, how far that goes, and what to do",
		Long:    "Shows a finding by its key; the first digits suffice. Each event id of the evidence can be given to \"custody chain\".",
		Example: "  custody findings show 3fa9c01b2d44",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := a.conn(tenant)
			if err != nil {
				return err
			}
			defer conn.Close()
			f, err := detect.Find(cmd.Context(), conn, tenant, args[0])
			if err != nil {
				return err
			}
			if output.value == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(f)
			}
			set, err := a.rules()
			if err != nil {
				return err
			}
			return writeFinding(cmd.OutOrStdout(), f, set)
		},
	}, "clickhouse", "detect.rules")
	c.Flags().StringVar(&tenant, "tenant", "", "only of this tenant")
	output = outputFlag(c, "text", "json")
	return c
}

// writeFinding tells a finding to a person, with the words of its rule if this
// installation still has it.
func writeFinding(w io.Writer, f *detect.Finding, set *detect.Set) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\n%s\n\n", f.Title, f.Summary)
	for _, line := range [][2]string{
		{"key", f.Key}, {"tenant", f.Tenant}, {"rule", fmt.Sprintf("%s, version %d", f.Rule, f.RuleVersion)}, {"severity", f.Severity}, {"status", f.Status},
		{"on behalf of", f.Subject}, {"actor", f.Actor}, {"server", f.Server}, {"tool", f.Tool}, {"token", f.TokenRef}, {"task", f.TaskID}, {"trace", f.TraceID},
		{"seen", f.FirstSeen.UTC().Format("2006-01-02T15:04:05.000Z") + " to " + f.LastSeen.UTC().Format("2006-01-02T15:04:05.000Z")},
		{"coverage", f.Coverage + ": " + f.CoverageNote}, {"sources", strings.Join(f.CoverageSources, ", ")},
	} {
		if line[1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", line[0], line[1])
		}
	}
	fmt.Fprintf(t, "\nEvidence, oldest first:\n")
	for _, id := range f.Evidence {
		fmt.Fprintf(t, "  %s\n", id)
	}
	if r := set.Rule(f.Rule); r != nil {
		fmt.Fprintf(t, "\nWhat it means:\n%s\nHow to respond:\n%s\nWhen it may be wrong:\n%s", r.Means, r.Respond, r.FalsePositives)
	}
	return t.Flush()
}
