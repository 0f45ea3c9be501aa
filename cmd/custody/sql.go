package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/evidence/query"
)

func newSQL(a *app) *cobra.Command {
	var tenant string
	var limit int
	var output *choice
	c := takes(&cobra.Command{
		Use:   "sql STATEMENT",
		Short: "Ask the evidence in SQL, read only",
		Long: `Runs one statement in ClickHouse's SQL as a user who may only read, within limits of time and memory that the statement cannot raise.
With --tenant it is, on a local installation, the user whom ClickHouse shows that tenant's rows only. The views events, token_edges, token_use,
findings and quarantine are where to look; "custody sql 'SHOW TABLES'" lists all.`,
		Example: "  custody sql \"SELECT actor_sub, count() FROM events WHERE kind = 'tool_invocation' GROUP BY 1 ORDER BY 2 DESC\" --tenant acme",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, done, err := a.reader(tenant)
			if err != nil {
				return err
			}
			defer done()
			t, err := r.SQL(cmd.Context(), strings.Join(args, " "), limit)
			if err != nil {
				return err
			}
			if t.Cut != "" {
				fmt.Fprintln(cmd.ErrOrStderr(), "cut:", t.Cut)
			}
			return writeSQL(cmd.OutOrStdout(), t, output.value)
		},
	}, "clickhouse")
	c.Flags().StringVar(&tenant, "tenant", "", "as the user who sees this tenant only")
	c.Flags().IntVar(&limit, "limit", 1000, fmt.Sprintf("rows, at most %d", query.MaxSQLRows))
	output = outputFlag(c, "table", "json", "csv")
	return c
}

func writeSQL(w io.Writer, t *query.Table, output string) error {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	switch output {
	case "json":
		return json.NewEncoder(w).Encode(t)
	case "csv":
		out := csv.NewWriter(w)
		rows := [][]string{names}
		for _, r := range t.Rows {
			rows = append(rows, sqlTexts(r))
		}
		return out.WriteAll(rows)
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, cells(names...))
	for _, r := range t.Rows {
		fmt.Fprintln(out, cells(sqlTexts(r)...))
	}
	return out.Flush()
}

func sqlTexts(row []any) []string {
	out := make([]string, len(row))
	for i, v := range row {
		switch v := v.(type) {
		case time.Time:
			out[i] = v.UTC().Format("2006-01-02T15:04:05.000Z")
		case nil:
		default:
			out[i] = fmt.Sprint(v)
		}
	}
	return out
}
