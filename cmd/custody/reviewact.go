package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/evidence/review"
)

func newReviewActs(a *app) []*cobra.Command {
	var out []*cobra.Command
	for _, d := range []struct{ name, short, example string }{
		{"certify", "Say that lines of a review stay", "  custody review certify 5f0c9a41 3fa9c01b2d44 77ab01cd9912 --reason 'needed for releases'"},
		{"revoke", "Say that lines of a review are to be taken away; Custody takes nothing away itself", "  custody review revoke 5f0c9a41 3fa9c01b2d44 --reason 'nobody uses it'"},
		{"except", "Let lines of a review stand until a time", "  custody review except 5f0c9a41 3fa9c01b2d44 --until 30d --reason 'replaced by then, CHG-42'"},
		{"close", "End a review: nothing is decided in it any more", "  custody review close 5f0c9a41 --reason 'all owners were heard'"},
	} {
		out = append(out, newReviewAct(a, d.name, d.short, d.example))
	}
	return out
}

func newReviewAct(a *app, name, short, example string) *cobra.Command {
	var tenant, reason, until string
	var output *choice
	use, args := name+" REVIEW LINE...", cobra.MinimumNArgs(2)
	if name == "close" {
		use, args = name+" REVIEW", cobra.ExactArgs(1)
	}
	c := takes(&cobra.Command{
		Use: use, Short: short, Example: example, Args: args,
		Long: short + `. It is done through the HTTP API, that of --data-dir or of api.url: the key that is used is who did
it, and "custody apikey add --owner" says what it owns. Each line is an event of type custody.change in the tenant's log. The first
digits of a review and of a line suffice.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.apiClient()
			if err != nil {
				return err
			}
			body := map[string]any{"reason": reason}
			if name != "close" {
				body["lines"] = args[1:]
			}
			if until != "" {
				end, err := deadline(until, time.Now())
				if err != nil {
					return err
				}
				body["until"] = end.UTC().Format(time.RFC3339)
			}
			path := "/reviews/" + url.PathEscape(args[0]) + "/" + name
			if tenant != "" {
				path += "?tenant=" + url.QueryEscape(tenant)
			}
			var answer struct {
				Review   string            `json:"review"`
				Acts     []*review.Act     `json:"acts"`
				Progress []review.Progress `json:"progress"`
			}
			if err := client.do(cmd.Context(), http.MethodPost, path, "", body, &answer); err != nil {
				return err
			}
			return output.print(cmd.OutOrStdout(), answer, func(w io.Writer) error {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				for _, act := range answer.Acts {
					fmt.Fprintln(t, cells(fmt.Sprintf("%.12s", act.Line), act.Action, "event "+act.EventID.String()))
				}
				return writeProgress(t, answer.Progress)
			})
		},
	}, "api")
	c.Flags().StringVar(&tenant, "tenant", "", "tenant of the review, for an id of several")
	c.Flags().StringVar(&reason, "reason", "", "why; required")
	_ = c.MarkFlagRequired("reason") // the flags exist
	if name == "except" {
		c.Flags().StringVar(&until, "until", "", "when the exception ends: a day, a time (RFC 3339), or from now, as 30d or 12h; required")
		_ = c.MarkFlagRequired("until")
	}
	output = outputFlag(c, "table", "json")
	return c
}
