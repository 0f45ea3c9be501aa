package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/evidence/policy"
	"github.com/custody-audit/custody/evidence/query"
)

func newPrivilegeSuggest(a *app) *cobra.Command {
	var tenant, window, age string
	var f query.PrivilegeFilter
	format := &choice{"diff", []string{"diff", "rego", "cedar", "json"}}
	c := takes(&cobra.Command{
		Use:   "suggest IDENTITY",
		Short: "Suggest the least privilege that an identity gets by with",
		Long: `Suggests what to leave to an identity and what to take away: it keeps what was used in the window, what cannot be judged (calls that
are not seen, tools whose needs nobody registered, grants that are too young), and what is excepted. As a diff, or as a draft of a policy in Rego or Cedar,
which answers for calls of tools (allow; Action "call") and for the scopes of tokens (may_hold; Action "hold"). The suggestion is held
against the calls and allowing decisions of the window: those that it would have denied are named, with rego and cedar on stderr.`,
		Example: "  custody privilege suggest planner --tenant acme\n  custody privilege suggest planner --tenant acme --format rego > planner.rego",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := windowOf(&f, window, age); err != nil {
				return err
			}
			f.Identity = args[0]
			r, done, err := a.reader(tenant)
			if err != nil {
				return err
			}
			defer done()
			s, err := r.Suggest(cmd.Context(), f)
			if err != nil {
				return err
			}
			return writeSuggestion(cmd.OutOrStdout(), cmd.ErrOrStderr(), s, format.value)
		},
	}, "clickhouse")
	c.Flags().StringVar(&tenant, "tenant", "", "the identity's tenant")
	c.Flags().StringVar(&f.Iss, "iss", "", "the identity's issuer")
	windowFlags(c, &window, &age)
	c.Flags().Var(format, "format", "how the suggestion is written")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(format.of, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	return c
}

func writeSuggestion(w, notes io.Writer, s *query.Suggestion, format string) error {
	switch format {
	case "json":
		return json.NewEncoder(w).Encode(s)
	case "rego":
		if _, err := io.WriteString(w, policy.Rego(s)); err != nil {
			return err
		}
	case "cedar":
		if _, err := io.WriteString(w, policy.Cedar(s)); err != nil {
			return err
		}
	default:
		if err := writeDiff(w, s); err != nil {
			return err
		}
		notes = w
	}
	return writeChecked(notes, &s.Checked)
}

// writeDiff shows what to take away with -, what is used without a grant that was
// seen with +, and what stays.
func writeDiff(w io.Writer, s *query.Suggestion) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, cells(s.Identity, s.Iss, "tenant "+s.Tenant, "since "+second(s.Since)))
	for _, list := range []struct {
		sign string
		of   []*query.Privilege
	}{{"-", s.Remove}, {" ", s.Keep}} {
		for _, p := range list.of {
			sign := list.sign
			if p.State == query.NoGrant {
				sign = "+"
			}
			fmt.Fprintln(t, cells(sign, p.Server, p.Kind, p.Name, strings.ReplaceAll(p.State, "_", " "), because(p)))
		}
	}
	return t.Flush()
}

// because is what a line of the diff rests on.
func because(p *query.Privilege) string {
	if p.Excepted() {
		return handled(p.Findings)
	}
	if p.UsedLast != nil {
		return fmt.Sprintf("%d uses, last on %s", p.Uses, day(p.UsedLast))
	}
	return fmt.Sprintf("seen since %s, %d tokens, at risk %s", day(p.GrantedSince), p.Tokens, tokenTime(p.RiskSeconds))
}

func writeChecked(w io.Writer, c *query.Checked) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	denied := uint64(0)
	for _, u := range c.Denied {
		denied += u.Count
	}
	fmt.Fprintf(t, "\nof %d calls, %d refused calls and %d allowing decisions of the window it would have denied %d\n", c.Calls, c.Refused, c.Decisions, denied)
	for _, u := range c.Denied {
		fmt.Fprintln(t, cells(strings.ReplaceAll(u.What, "_", " "), u.Server, u.Tool, strings.Join(u.Scopes, " "), fmt.Sprintf("%d times, last %s", u.Count, second(u.Last)), u.Event.String()))
	}
	return t.Flush()
}
