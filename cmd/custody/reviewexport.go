package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/evidence/review"
)

func newReviewExport(a *app) *cobra.Command {
	var tenant, file string
	var output *choice
	c := takes(&cobra.Command{
		Use:   "export REVIEW",
		Short: "Write the report of a review to a file",
		Long: `Writes the report of a review by its id; the first digits suffice. HTML is one page with charts that fetches nothing; JSON is described
by docs/reference/review.schema.json; PDF is for print, XLSX a workbook; CSV has a line for each line of the review, with a quote before what a spreadsheet would take
for a formula; OSCAL is Assessment Results 1.1.3 in JSON. The same review with the same decisions is the same bytes. A file appears when it is complete.`,
		Example: "  custody review export 5f0c9a41 --output html -o review.html\n  custody review export 5f0c9a41 --output json | jq .progress",
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
			report := review.NewReport(r)
			if file == "" {
				w, err := unfiltered(cmd.OutOrStdout(), false)
				if err != nil {
					return err
				}
				return report.Write(w, output.value)
			}
			err = whole(file, func(w io.Writer) error { return report.Write(w, output.value) })
			if err == nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "%d lines in %s\n", len(r.Lines), file)
			}
			return err
		},
	}, "clickhouse")
	c.Flags().StringVar(&tenant, "tenant", "", "only of this tenant")
	c.Flags().StringVarP(&file, "file", "o", "", "write here; empty: to standard output")
	output = outputFlag(c, review.Formats()...)
	return c
}
