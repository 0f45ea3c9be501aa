package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/evidence/query"
)

func newVerdicts(a *app) *cobra.Command {
	var tenant, since, after string
	var f query.VerdictFilter
	var limit int
	var summary bool
	var output *choice
	c := takes(&cobra.Command{
		Use:   "verdicts",
		Short: "Judge tool calls: was each decided, was its token meant for the server, what did the exchange grant",
		Long: `Shows tool calls as they are judged against the decisions, exchanges and issues of tokens that were seen, newest first.
Each verdict says by which join its decision was found, and on which sources it rests: "no_decision_seen" is about a server that a
decision source covers, "no_decision_source" about one that none does. Verdicts follow within a round of the detections, and events
that come late change them. docs/analyst.md says what each means.

Verdicts: ` + strings.Join(query.VerdictWords(), ", ") + ".",
		Example: "  custody verdicts --tenant acme --verdict no_decision_seen,decided_deny_but_ran\n  custody verdicts --summary --last 168h --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if f.From, err = moment("--last", since); err != nil {
				return err
			}
			r, done, err := a.reader(tenant)
			if err != nil {
				return err
			}
			defer done()
			if summary {
				s, err := r.VerdictSummary(cmd.Context(), f)
				if err != nil {
					return err
				}
				if output.value == "json" {
					return json.NewEncoder(cmd.OutOrStdout()).Encode(s)
				}
				return writeVerdictSummary(cmd.OutOrStdout(), s)
			}
			page, err := r.Verdicts(cmd.Context(), f, limit, after)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(page)
			}
			return writeVerdicts(cmd.OutOrStdout(), page)
		},
	}, "clickhouse")
	c.Flags().StringVar(&tenant, "tenant", "", "only this tenant")
	c.Flags().StringVar(&f.ID, "id", "", "only the call with this event id")
	c.Flags().StringVar(&f.Server, "server", "", "only calls at this server")
	c.Flags().StringVar(&f.Tool, "tool", "", "only calls of this tool")
	c.Flags().StringVar(&f.Actor, "actor", "", "only calls by this actor")
	c.Flags().StringVar(&f.Subject, "subject", "", "only calls on behalf of this subject")
	c.Flags().StringVar(&f.Token, "token", "", "only calls with this token's reference")
	c.Flags().StringVar(&f.Trace, "trace", "", "only calls of this trace")
	c.Flags().StringSliceVar(&f.Verdicts, "verdict", nil, "only calls with one of these verdicts, of each kind that is named")
	c.Flags().StringVar(&since, "last", "24h", "calls since then: a duration before now, or a time (RFC 3339); empty: all")
	c.Flags().BoolVar(&summary, "summary", false, "count the calls by verdict, and say which sources were heard of")
	c.Flags().IntVar(&limit, "limit", 50, "calls on one page, up to 10000")
	c.Flags().StringVar(&after, "after", "", "continue behind this call, as the page before says")
	output = outputFlag(c, "table", "json")
	return c
}

func writeVerdicts(w io.Writer, page *query.VerdictPage) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TIME\tTENANT\tSERVER\tTOOL\tACTOR\tOUTCOME\tDECISION\tBY\tTOKEN\tEXCHANGE\tRESTS ON\tID")
	for _, v := range page.Verdicts {
		by := ""
		if d := v.DecidedBy; d != nil {
			by = strings.Trim(d.Policy+"@"+d.Version, "@") + " [" + d.Join + "]"
		}
		fmt.Fprintln(t, cells(v.Time.UTC().Format("2006-01-02T15:04:05.000Z"), v.Tenant, v.Server, v.Tool, v.Actor, v.Outcome, v.Decision, by, v.TokenIs, v.Exchange, v.Coverage, v.ID.String()))
	}
	if page.Next != "" {
		fmt.Fprintf(t, "more: --after %s\n", page.Next)
	}
	return t.Flush()
}

func writeVerdictSummary(w io.Writer, s *query.VerdictSummary) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%d calls\n", s.Calls)
	for _, kind := range []struct {
		name   string
		counts map[string]uint64
	}{{"decision", s.Decision}, {"token", s.Token}, {"exchange", s.Exchange}} {
		fmt.Fprintf(t, "\n%s\tCALLS\n", strings.ToUpper(kind.name))
		for _, word := range slices.Sorted(maps.Keys(kind.counts)) {
			fmt.Fprintf(t, "%s\t%d\n", word, kind.counts[word])
		}
	}
	fmt.Fprintf(t, "\nTO LOOK INTO\tTENANT\tSERVER\tCALLS\n")
	for _, o := range s.Servers {
		fmt.Fprintln(t, cells(o.Verdict, o.Tenant, o.Server, fmt.Sprint(o.Calls)))
	}
	fmt.Fprintf(t, "\nHEARD OF\tTENANT\tKIND\tABOUT\tFIRST\tLAST\tHOURS\tMINUTES\n")
	for _, c := range s.Coverage {
		about := c.Server
		if c.Issuer != "" {
			about = strings.TrimSpace(about + " tokens of " + c.Issuer)
		}
		fmt.Fprintln(t, cells(c.Source, c.Tenant, c.Kind, about, c.First.UTC().Format(time.RFC3339), c.Last.UTC().Format(time.RFC3339), fmt.Sprint(c.Hours), fmt.Sprint(c.Minutes)))
	}
	return t.Flush()
}
