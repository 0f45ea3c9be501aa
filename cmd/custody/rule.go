package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor/detect"
)

func newRule(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "rule",
		Short: "See the rules of the detections, try one on events, or on the past",
	}
	c.AddCommand(newRuleList(a), newRuleShow(a), newRuleTest(a), newRuleBacktest(a))
	return c
}

// rules reads the rules of this installation.
func (a *app) rules() (*detect.Set, error) {
	set, err := detect.ReadSet(a.config.Detect.Rules)
	if err != nil {
		return nil, fmt.Errorf("detect.rules: %w", err)
	}
	return set, nil
}

// rule returns one of them.
func (a *app) rule(id string) (*detect.Set, *detect.Rule, error) {
	set, err := a.rules()
	if err != nil {
		return nil, nil, err
	}
	r := set.Rule(id)
	if r == nil {
		return nil, nil, fmt.Errorf(`there is no rule %q: "custody rule list" shows all`, id)
	}
	return set, r, nil
}

// ruleAnswer is a rule as --output json shows it.
type ruleAnswer struct {
	ID         string              `json:"id"`
	Version    uint32              `json:"version"`
	Title      string              `json:"title"`
	Severity   detect.Severity     `json:"severity"`
	Own        bool                `json:"own"`
	Disabled   bool                `json:"disabled"`
	Schedule   string              `json:"schedule"`
	Parameters map[string]any      `json:"parameters"`
	Controls   map[string][]string `json:"controls"`
	Means      string              `json:"means,omitempty"`
	Respond    string              `json:"respond,omitempty"`
	Wrong      string              `json:"false_positives,omitempty"`
	SQL        string              `json:"sql,omitempty"`
	Values     map[string]string   `json:"values,omitempty"` // that the query of a Sigma rule names
}

func answerRule(set *detect.Set, r *detect.Rule, whole bool) ruleAnswer {
	o := set.Overrides[r.ID]
	out := ruleAnswer{ID: r.ID, Version: r.Version, Title: r.Title, Severity: r.Severity, Own: set.Own(r.ID), Disabled: o.Disabled,
		Schedule: r.Schedule.String(), Parameters: map[string]any{}, Controls: r.Controls}
	for name, p := range r.Parameters {
		out.Parameters[name] = p.Default
	}
	maps.Copy(out.Parameters, o.Parameters)
	if whole {
		out.Means, out.Respond, out.Wrong, out.SQL, out.Values = r.Means, r.Respond, r.FalsePositives, r.SQL, r.Values
	}
	return out
}

func newRuleList(a *app) *cobra.Command {
	var output *choice
	c := takes(&cobra.Command{
		Use:     "list",
		Short:   "List the rules, own ones too, as detect.rules changes them",
		Example: "  custody rule list --detect-rules rules/ --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := a.rules()
			if err != nil {
				return err
			}
			var list []ruleAnswer
			for _, r := range set.Rules {
				list = append(list, answerRule(set, r, false))
			}
			if output.value == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "RULE\tSEVERITY\tORIGIN\tTITLE")
			for _, r := range list {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.ID, r.Severity, r.origin(), r.Title)
			}
			return t.Flush()
		},
	}, "detect.rules")
	output = outputFlag(c, "table", "json")
	return c
}

func (r *ruleAnswer) origin() string {
	origin := "built in"
	if r.Own {
		origin = "own"
	}
	if r.Disabled {
		origin += ", disabled"
	}
	return origin
}

func newRuleShow(a *app) *cobra.Command {
	var output *choice
	c := takes(&cobra.Command{
		Use:     "show RULE",
		Short:   "Show a rule: what it means, its parameters as they are in force, its query",
		Example: "  custody rule show call_after_deny",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, r, err := a.rule(args[0])
			if err != nil {
				return err
			}
			x := answerRule(set, r, true)
			if output.value == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(x)
			}
			return x.write(cmd.OutOrStdout(), r)
		},
	}, "detect.rules")
	output = outputFlag(c, "text", "json")
	return c
}

func (x *ruleAnswer) write(w io.Writer, r *detect.Rule) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\n\n%s, version %d, %s, %s. %s\n", x.Title, x.ID, x.Version, x.Severity, x.origin(), x.Schedule)
	if len(x.Parameters) > 0 {
		fmt.Fprintln(t, "\nPARAMETER\tVALUE\tDEFAULT\tUNIT\tMEANING")
	}
	for _, name := range slices.Sorted(maps.Keys(x.Parameters)) {
		p := r.Parameters[name]
		fmt.Fprintf(t, "%s\t%v\t%v\t%s\t%s\n", name, x.Parameters[name], p.Default, p.Unit, p.Means)
	}
	var controls []string
	for _, framework := range slices.Sorted(maps.Keys(x.Controls)) {
		controls = append(controls, framework+" "+strings.Join(x.Controls[framework], ", "))
	}
	fmt.Fprintf(t, "\nWhat it means:\n%s\nHow to respond:\n%s\nWhen it may be wrong:\n%s\nControls: %s\n\n%s", x.Means, x.Respond, x.Wrong, strings.Join(controls, "; "), x.SQL)
	for i, name := range slices.Sorted(maps.Keys(x.Values)) {
		if i == 0 {
			fmt.Fprint(t, "\n\nVALUE\tTEXT\n")
		}
		fmt.Fprintf(t, "{%s}\t%s\n", name, x.Values[name])
	}
	return t.Flush()
}
