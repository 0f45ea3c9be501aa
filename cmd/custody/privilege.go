package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/evidence/query"
)

func newPrivilege(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "privilege",
		Short: "See which privilege stands, and what could be taken away",
	}
	c.AddCommand(newPrivilegeList(a), newPrivilegeSuggest(a))
	return c
}

func newPrivilegeList(a *app) *cobra.Command {
	var tenant, window, age string
	var f query.PrivilegeFilter
	var all bool
	var limit int
	var output *choice
	c := takes(&cobra.Command{
		Use:   "list",
		Short: "List grants that nobody uses, what to remove first first",
		Long: `Lists what identities were granted at servers, scopes and tools, with when that was seen first and last, whether it was used, and the
tokens that had it. A grant is judged when it is older than the window and calls of its server were seen for as long; a call of a tool
whose needs nobody registered may have used any scope of its token. Beside it stands what was found about it and what somebody did
about that: an exception with its end and reason. docs/analyst.md says what each state means.

States: ` + strings.Join(query.PrivilegeStates, ", ") + ".",
		Example: "  custody privilege list --tenant acme\n  custody privilege list --identity planner --all --window 30d --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := windowOf(&f, window, age); err != nil {
				return err
			}
			if len(f.States) == 0 && !all {
				f.States = query.Unused
			}
			r, done, err := a.reader(tenant)
			if err != nil {
				return err
			}
			defer done()
			page, err := r.Privileges(cmd.Context(), f, limit)
			if err != nil {
				return err
			}
			return output.print(cmd.OutOrStdout(), page, func(w io.Writer) error { return writePrivileges(w, page) })
		},
	}, "clickhouse")
	c.Flags().StringVar(&tenant, "tenant", "", "only this tenant")
	c.Flags().StringVar(&f.Identity, "identity", "", "only what this identity holds")
	c.Flags().StringVar(&f.Iss, "iss", "", "only of identities of this issuer")
	c.Flags().StringVar(&f.Server, "server", "", "only at this server")
	c.Flags().StringVar(&f.Kind, "kind", "", "only "+strings.Join(query.PrivilegeKinds, " or "))
	c.Flags().StringVar(&f.Name, "name", "", "only this scope or tool")
	c.Flags().StringSliceVar(&f.States, "state", nil, "only in one of these states; none is "+strings.Join(query.Unused, ","))
	c.Flags().BoolVar(&all, "all", false, "in every state")
	windowFlags(c, &window, &age)
	c.Flags().IntVar(&limit, "limit", 100, "most privileges, up to 10000")
	output = outputFlag(c, "table", "json")
	return c
}

func windowFlags(c *cobra.Command, window, age *string) {
	c.Flags().StringVar(window, "window", "90d", "time in which a use counts, as 90d or 36h")
	c.Flags().StringVar(age, "min-age", "", "how old a grant must be to be judged; empty: as the window")
}

// windowOf reads the flags of windowFlags.
func windowOf(f *query.PrivilegeFilter, window, age string) (err error) {
	if f.Window, err = days("--window", window); err != nil {
		return err
	}
	if f.Window == 0 {
		return fmt.Errorf("--window %q: want more than nothing", window)
	}
	if age == "" {
		return nil
	}
	d, err := days("--min-age", age)
	f.MinAge = &d
	return err
}

// days reads a duration that may be in days.
func days(flag, text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if number, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(number, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%s %q: want a duration as 90d or 36h", flag, text)
	}
	return d, nil
}

func writePrivileges(w io.Writer, page *query.PrivilegePage) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TENANT\tIDENTITY\tSERVER\tKIND\tNAME\tSTATE\tGRANTED BY\tSINCE\tDAYS\tTIMES\tLAST USED\tUSES\tTOKENS\tAT RISK\tONE TOKEN SERVED\tCREDENTIAL\tOWNER\tFINDING")
	for _, p := range page.Privileges {
		fmt.Fprintln(t, cells(p.Tenant, p.Identity, p.Server, p.Kind, p.Name, p.State, strings.Join(p.How, ","), day(p.GrantedSince), fmt.Sprint(p.GrantedDays), fmt.Sprint(p.GrantedTimes),
			day(p.UsedLast), fmt.Sprint(p.Uses), fmt.Sprint(p.Tokens), tokenTime(p.RiskSeconds), served(p), p.Credential, p.Owner, handled(p.Findings)))
	}
	var counts []string
	for _, state := range slices.Sorted(maps.Keys(page.States)) {
		counts = append(counts, fmt.Sprintf("%d %s", page.States[state], state))
	}
	if len(counts) > 0 {
		fmt.Fprintf(t, "\nsince %s: %s\n", second(page.Since), strings.Join(counts, ", "))
	}
	if page.Cut {
		fmt.Fprintln(t, "there are more: raise --limit, or narrow")
	}
	return t.Flush()
}

// served is the most that one token of the identity did.
func served(p *query.Privilege) string {
	if p.TokenTasks == 0 && p.TokenSessions == 0 {
		return "-"
	}
	return fmt.Sprintf("%d tasks, %d sessions", p.TokenTasks, p.TokenSessions)
}

// handled says what was found, and what people did about it.
func handled(findings []*query.PrivilegeFinding) string {
	var out []string
	for _, f := range findings {
		text := fmt.Sprintf("%.12s %s", f.Key, f.Status)
		if f.Until != nil {
			text += " until " + day(f.Until)
		}
		if f.Reason != "" {
			text += ": " + f.Reason
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

func day(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.DateOnly)
}

// tokenTime is a sum of lifetimes, in the largest unit that says it.
func tokenTime(seconds uint64) string {
	switch {
	case seconds == 0:
		return "-"
	case seconds < 2*3600:
		return fmt.Sprintf("%d min", (seconds+59)/60)
	case seconds < 2*86400:
		return fmt.Sprintf("%d h", seconds/3600)
	}
	return fmt.Sprintf("%d d", seconds/86400)
}
