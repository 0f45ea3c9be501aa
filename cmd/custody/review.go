package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/evidence/review"
)

func newReview(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "review",
		Short: "Review access: who answers for what stands says whether it stays",
	}
	c.AddCommand(newReviewCreate(a), newReviewList(a), newReviewShow(a), newReviewExport(a))
	c.AddCommand(newReviewActs(a)...)
	return c
}

// reviewAnswer is a review as the API and --output json show it.
type reviewAnswer struct {
	*review.Review
	Progress []review.Progress `json:"progress"`
}

func newReviewCreate(a *app) *cobra.Command {
	var tenant, name, owner, server, from, to string
	var window int
	var output *choice
	c := takes(&cobra.Command{
		Use:   "create NAME",
		Short: "Freeze what stands now, to be reviewed",
		Long: `Freezes what stands now: privileges with whether they are used, static credentials, exceptions, and findings that are not resolved
are its lines; decisions by policy, calls by verdict, coverage, gaps, and chains of calls drawn by lot stand beside them. The newest
checkpoints of the log are written into it, and the event that is the evidence of it has its digest.

It is done through the HTTP API, that of --data-dir or of api.url, and wants the role admin.`,
		Example: "  custody review create 'Q4 2026' --tenant acme --from 2026-10-01 --to 2027-01-01\n  custody review create 'github' --tenant acme --server github-mcp --window-days 30",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name = args[0]
			body := map[string]any{"name": name}
			for key, value := range map[string]string{"owner": owner, "server": server} {
				if value != "" {
					body[key] = value
				}
			}
			if window != 0 {
				body["window_days"] = window
			}
			for key, text := range map[string]string{"from": from, "to": to} {
				if text == "" {
					continue
				}
				at, err := beginning("--"+key, text)
				if err != nil {
					return err
				}
				body[key] = at
			}
			client, err := a.apiClient()
			if err != nil {
				return err
			}
			var answer reviewAnswer
			if err := client.do(cmd.Context(), http.MethodPost, "/reviews?tenant="+url.QueryEscape(tenant), "", body, &answer); err != nil {
				return err
			}
			return output.print(cmd.OutOrStdout(), answer, func(w io.Writer) error { return answer.write(w, false) })
		},
	}, "api")
	c.Flags().StringVar(&tenant, "tenant", "", "tenant whose access is reviewed; required")
	c.Flags().StringVar(&owner, "owner", "", "only what this one answers for")
	c.Flags().StringVar(&server, "server", "", "only what is at this server")
	c.Flags().StringVar(&from, "from", "", "begin of the period of what is counted, a day or a time (RFC 3339); empty: the window before its end")
	c.Flags().StringVar(&to, "to", "", "end of the period; empty: now")
	c.Flags().IntVar(&window, "window-days", 0, fmt.Sprintf("days for which a privilege must be unused to count as that; 0: %d", query.Window/(24*time.Hour)))
	_ = c.MarkFlagRequired("tenant") // the flag exists
	output = outputFlag(c, "table", "json")
	return c
}

// beginning reads a time, or the day that begins then in UTC.
func beginning(flag, text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%s %q: want a day (2026-12-31) or a time (RFC 3339)", flag, text)
}

func newReviewList(a *app) *cobra.Command {
	var tenant string
	var limit int
	var output *choice
	c := takes(&cobra.Command{
		Use: "list", Short: "List reviews, the newest first, and how far they are", Args: cobra.NoArgs,
		Example: "  custody review list --tenant acme",
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := a.conn(tenant)
			if err != nil {
				return err
			}
			defer conn.Close()
			list, err := review.List(cmd.Context(), conn, tenant, limit)
			if err != nil {
				return err
			}
			return output.print(cmd.OutOrStdout(), list, func(w io.Writer) error {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				fmt.Fprintln(t, "REVIEW\tTENANT\tCREATED\tBY\tLINES\tOPEN\tNO OWNER\tSTATE\tNAME")
				for _, l := range list {
					state := "open"
					if l.Closed {
						state = "closed"
					}
					fmt.Fprintln(t, cells(l.ID.String()[:13], l.Tenant, second(l.Created), l.By, fmt.Sprint(l.Lines), fmt.Sprint(l.Open), fmt.Sprint(l.Unowned), state, l.Name))
				}
				return t.Flush()
			})
		},
	}, "clickhouse")
	c.Flags().StringVar(&tenant, "tenant", "", "only this tenant")
	c.Flags().IntVar(&limit, "limit", 100, "most reviews")
	output = outputFlag(c, "table", "json")
	return c
}

func newReviewShow(a *app) *cobra.Command {
	var tenant string
	var open bool
	var output *choice
	c := takes(&cobra.Command{
		Use: "show REVIEW", Short: "Show a review: its lines as they were frozen, what was decided, and what is open",
		Long: `Shows a review by its id; the first digits suffice. Lines that nobody answers for come first, then by owner, what to take away first.
What is stored is held against the digest of what was frozen.`,
		Example: "  custody review show 5f0c9a41\n  custody review show 5f0c9a41 --open",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := a.conn(tenant)
			if err != nil {
				return err
			}
			defer conn.Close()
			r, err := review.Load(cmd.Context(), conn, tenant, args[0])
			if err != nil {
				return err
			}
			answer := reviewAnswer{r, r.Progress()}
			return output.print(cmd.OutOrStdout(), answer, func(w io.Writer) error { return answer.write(w, open) })
		},
	}, "clickhouse")
	c.Flags().StringVar(&tenant, "tenant", "", "only of this tenant")
	c.Flags().BoolVar(&open, "open", false, "only lines that nobody decided about")
	output = outputFlag(c, "table", "json")
	return c
}

// write shows progress by owner, then the lines.
func (r reviewAnswer) write(w io.Writer, open bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	state := "open"
	if closed := r.Closed(); closed != nil {
		state = "closed " + second(closed.Time) + " by " + closed.ActorSub
	}
	fmt.Fprintln(t, cells("review "+r.ID.String(), r.Scope.Tenant, r.Name, state))
	fmt.Fprintln(t, cells("digest "+r.Digest, second(r.Scope.From), second(r.Scope.To)))
	for _, n := range r.NotAssessed {
		fmt.Fprintln(t, cells("not assessed: "+n))
	}
	if r.Unwitnessed() {
		fmt.Fprintln(t, "unwitnessed: no witness cosigned some of the checkpoints")
	}
	if err := writeProgress(t, r.Progress); err != nil {
		return err
	}
	fmt.Fprintln(t, "\nLINE\tOWNER\tKIND\tIDENTITY\tSERVER\tNAME\tSTATE\tSUGGESTED\tDECIDED\tBY")
	decided := r.Decided()
	for _, l := range r.Lines {
		act := decided[l.Key]
		if act == nil {
			act = &review.Act{Action: "open"}
		} else if open {
			continue
		}
		fmt.Fprintln(t, cells(fmt.Sprintf("%.12s", l.Key), noOwner(l.Owner), l.Kind, l.Identity, l.Server, l.Name, l.State, l.Suggest, act.Action, act.ActorSub))
	}
	return t.Flush()
}

func noOwner(owner string) string { return cmp.Or(owner, "(no owner)") }

func writeProgress(t *tabwriter.Writer, list []review.Progress) error {
	fmt.Fprintln(t, "\nOWNER\tLINES\tOPEN\tCERTIFIED\tREVOKED\tEXCEPTED")
	for _, p := range list {
		fmt.Fprintln(t, cells(noOwner(p.Owner), fmt.Sprint(p.Lines), fmt.Sprint(p.Open), fmt.Sprint(p.Certified), fmt.Sprint(p.Revoked), fmt.Sprint(p.Excepted)))
	}
	return t.Flush()
}
