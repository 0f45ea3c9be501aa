package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/worklist"
)

// findingAnswer is a finding as --output json shows it, and as the API does.
type findingAnswer struct {
	*worklist.Finding
	History []*worklist.Entry `json:"history"`
}

func newFindingsShow(a *app) *cobra.Command {
	var tenant string
	var output *choice
	c := takes(&cobra.Command{
		Use:     "show KEY",
		Short:   "Show a finding: what it rests on, how far that goes, what to do, and what was done",
		Long:    "Shows a finding by its key; the first digits suffice. Each event id of the evidence can be given to \"custody chain\".",
		Example: "  custody findings show 3fa9c01b2d44",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := a.conn(tenant)
			if err != nil {
				return err
			}
			defer conn.Close()
			f, err := worklist.Find(cmd.Context(), conn, tenant, args[0])
			if err != nil {
				return err
			}
			history, err := worklist.History(cmd.Context(), conn, f.Tenant, f.Key)
			if err != nil {
				return err
			}
			answer := findingAnswer{f, append([]*worklist.Entry{}, history...)}
			return output.print(cmd.OutOrStdout(), answer, func(w io.Writer) error {
				set, err := a.rules()
				if err != nil {
					return err
				}
				return answer.write(w, set)
			})
		},
	}, "clickhouse", "detect.rules")
	c.Flags().StringVar(&tenant, "tenant", "", "only of this tenant")
	output = outputFlag(c, "text", "json")
	return c
}

// write tells a finding to a person, with the words of its rule if this
// installation still has it.
func (f *findingAnswer) write(w io.Writer, set *detect.Set) error {
	const precise = "2006-01-02T15:04:05.000Z"
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\n%s\n\n", f.Title, f.Summary)
	for _, line := range [][2]string{
		{"key", f.Key}, {"tenant", f.Tenant}, {"rule", fmt.Sprintf("%s, version %d", f.Rule, f.RuleVersion)}, {"severity", f.Severity}, {"status", stands(f.Finding)},
		{"on behalf of", f.Subject}, {"actor", f.Actor}, {"server", f.Server}, {"tool", f.Tool}, {"token", f.TokenRef}, {"task", f.TaskID}, {"trace", f.TraceID}, {"chain", f.Chain},
		{"seen", f.FirstSeen.UTC().Format(precise) + " to " + f.LastSeen.UTC().Format(precise)},
		{"coverage", f.Coverage + ": " + f.CoverageNote}, {"sources", strings.Join(f.CoverageSources, ", ")}, {"revision", f.Revision},
	} {
		if line[1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", line[0], line[1])
		}
	}
	fmt.Fprintf(t, "\nEvidence, oldest first:\n")
	for _, id := range f.Evidence {
		fmt.Fprintf(t, "  %s\n", id)
	}
	fmt.Fprintf(t, "\nHistory:\n")
	for _, e := range f.History {
		fmt.Fprintln(t, "  "+cells(second(e.Time), happened(e), e.Comment))
	}
	if r := set.Rule(f.Rule); r != nil {
		fmt.Fprintf(t, "\nWhat it means:\n%s\nHow to respond:\n%s\nWhen it may be wrong:\n%s", r.Means, r.Respond, r.FalsePositives)
	}
	return t.Flush()
}

// happened is an entry of the history in words.
func happened(e *worklist.Entry) string {
	text := e.Action
	switch {
	case !e.Until.IsZero():
		text += " until " + second(e.Until)
	case e.Assignee != "":
		text += " to " + e.Assignee
	case e.Action == string(worklist.Assign):
		text += " to nobody"
	}
	if e.ActorSub != "" {
		text += " by " + e.ActorSub
	}
	return text
}
