package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/worklist"
)

func newFindings(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "findings",
		Short: "See what the detections found, and say what is done about it",
	}
	c.AddCommand(newFindingsList(a), newFindingsShow(a), newFindingsVerify(a))
	c.AddCommand(newFindingsActs(a)...)
	return c
}

func newFindingsList(a *app) *cobra.Command {
	var f worklist.Filter
	var all bool
	var by string
	var output *choice
	c := takes(&cobra.Command{
		Use:   "list",
		Short: "List findings that want somebody's work, the severest first",
		Long: `Lists findings as they stand. A finding is open, acknowledged or assigned; or resolved by somebody, auto_resolved by the
detections, or excepted until a time. What is resolved is open again when it rests on more than was seen then.`,
		Example: "  custody findings list --tenant acme --severity high\n  custody findings list --assignee bob --output json\n  custody findings list --group-by identity",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if all {
				f.Status = worklist.All
			}
			conn, err := a.conn(f.Tenant)
			if err != nil {
				return err
			}
			defer conn.Close()
			if by != "" {
				groups, err := worklist.Groups(cmd.Context(), conn, by, f)
				if err != nil {
					return err
				}
				return output.print(cmd.OutOrStdout(), append([]*worklist.Group{}, groups...), func(w io.Writer) error { return writeGroups(w, groups) })
			}
			list, err := worklist.List(cmd.Context(), conn, f)
			if err != nil {
				return err
			}
			return output.print(cmd.OutOrStdout(), append([]*worklist.Finding{}, list...), func(w io.Writer) error { return writeWorklist(w, list) })
		},
	}, "clickhouse")
	c.Flags().StringVar(&f.Tenant, "tenant", "", "only this tenant")
	c.Flags().StringVar(&f.Rule, "rule", "", "only this rule; docs/detections.md describes them")
	c.Flags().StringVar((*string)(&f.AtLeast), "severity", string(detect.Severities[0]), "at least this severe: "+joinWords(detect.Severities))
	c.Flags().StringVar(&f.Status, "status", worklist.Active, joinWords(worklist.Statuses)+"; active is open, acknowledged or assigned")
	c.Flags().BoolVar(&all, "all", false, "of every status")
	c.Flags().StringVar(&f.Assignee, "assignee", "", "only those that this one is to handle")
	c.Flags().StringVar(&f.Identity, "identity", "", "only of this identity: who acted, or on whose behalf")
	c.Flags().StringVar(&f.Chain, "chain", "", "only of this delegation, as \"custody findings show\" names it")
	c.Flags().StringVar(&by, "group-by", "", "show groups instead: "+joinWords(worklist.By))
	c.Flags().IntVar(&f.Limit, "limit", 100, "most findings or groups, up to 10000")
	output = outputFlag(c, "table", "json")
	return c
}

// print writes an answer as JSON, or as write does.
func (c *choice) print(w io.Writer, answer any, write func(io.Writer) error) error {
	if c.value == "json" {
		return json.NewEncoder(w).Encode(answer)
	}
	return write(w)
}

func joinWords[T ~string](words []T) string {
	var out []string
	for _, w := range words {
		out = append(out, string(w))
	}
	return strings.Join(out, ", ")
}

func writeWorklist(w io.Writer, list []*worklist.Finding) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tSEVERITY\tTENANT\tRULE\tSTATUS\tLAST SEEN\tSUMMARY")
	for _, f := range list {
		fmt.Fprintln(t, cells(fmt.Sprintf("%.12s", f.Key), f.Severity, f.Tenant, f.Rule, stands(f), second(f.LastSeen), f.Summary))
	}
	return t.Flush()
}

// stands is the status with what belongs to it.
func stands(f *worklist.Finding) string {
	switch {
	case f.Status == worklist.Excepted:
		return f.Status + " until " + second(f.ExceptedUntil)
	case f.Assignee != "" && f.Status != worklist.Resolved && f.Status != worklist.AutoResolved:
		return f.Status + " (" + f.Assignee + ")"
	}
	return f.Status
}

func second(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func writeGroups(w io.Writer, groups []*worklist.Group) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "GROUP\tTENANT\tFINDINGS\tSEVERITY\tLAST SEEN\tRULES\tKEYS")
	for _, g := range groups {
		name := g.Group
		if name == "" {
			name = "(none)"
		}
		var keys []string
		for _, k := range g.Keys[:min(3, len(g.Keys))] {
			keys = append(keys, fmt.Sprintf("%.12s", k))
		}
		fmt.Fprintln(t, cells(name, g.Tenant, fmt.Sprint(g.Findings), g.Severity, second(g.LastSeen), strings.Join(g.Rules, ", "), strings.Join(keys, " ")))
	}
	return t.Flush()
}

// writeFindings shows what the detections say, whatever was done about it.
func writeFindings(w io.Writer, list []*detect.Finding) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tSEVERITY\tTENANT\tRULE\tLAST SEEN\tSUMMARY")
	for _, f := range list {
		rule := f.Rule
		if f.Status != detect.Open {
			rule += " (" + f.Status + ")"
		}
		fmt.Fprintln(t, cells(fmt.Sprintf("%.12s", f.Key), f.Severity, f.Tenant, rule, second(f.LastSeen), f.Summary))
	}
	return t.Flush()
}
