package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/evidence/query"
)

func newQuarantine(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "quarantine",
		Short: "See events that came again with other content",
		Long: `A record whose event id was stored before with other content is kept in ClickHouse with state "conflict", and no view but
quarantine shows it. The detection event_forged makes a finding of each. Hashes are SHA-256 in hexadecimal: content_hash of
what the source said, leaf_hash of the record's bytes.`,
	}
	c.AddCommand(newQuarantineList(a), newQuarantineShow(a))
	return c
}

func newQuarantineList(a *app) *cobra.Command {
	var tenant, since string
	var limit int
	var output *choice
	c := takes(&cobra.Command{
		Use:     "list",
		Short:   "List what is in quarantine, the newest first",
		Example: "  custody quarantine list --tenant acme --since 168h",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := moment("--since", since)
			if err != nil {
				return err
			}
			r, done, err := a.reader(tenant)
			if err != nil {
				return err
			}
			defer done()
			list, err := r.Quarantine(cmd.Context(), from, limit)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			return writeQuarantine(cmd.OutOrStdout(), list)
		},
	}, "clickhouse")
	c.Flags().StringVar(&tenant, "tenant", "", "only this tenant")
	c.Flags().StringVar(&since, "since", "", "stored since then: a time (RFC 3339), or a duration as 24h before now; empty: all")
	c.Flags().IntVar(&limit, "limit", 100, "most records, up to 10000")
	output = outputFlag(c, "table", "json")
	return c
}

func writeQuarantine(w io.Writer, list []*query.Quarantined) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "STORED\tTENANT\tSOURCE\tID\tPOSITION\tCONTENT\tFIRST\tCONTENT")
	for _, q := range list {
		row := append([]string{q.Record.Stored.UTC().Format("2006-01-02T15:04:05Z"), q.Tenant, q.Record.Source, q.ID.String()}, inShort(&q.Record)...)
		fmt.Fprintln(t, cells(append(row, inShort(q.First)...)...))
	}
	return t.Flush()
}

// inShort is a record's position and the beginning of its content's hash.
func inShort(e *query.Evidence) []string {
	if e == nil {
		return []string{"another tenant's", ""}
	}
	return []string{fmt.Sprintf("%d/%d", e.Partition, e.Offset), fmt.Sprintf("%.12s", e.ContentHash)}
}

func newQuarantineShow(a *app) *cobra.Command {
	var tenant string
	var output *choice
	c := takes(&cobra.Command{
		Use:     "show EVENT_ID",
		Short:   "Show what came with an id: each record's hashes and position, and what they say differently",
		Example: "  custody quarantine show 019ab6c2-5f80-8f51-9a3c-2f1f0e6f7a11",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, done, err := a.reader(tenant)
			if err != nil {
				return err
			}
			defer done()
			list, err := r.QuarantineOf(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if output.value == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			return writeQuarantined(cmd.OutOrStdout(), list)
		},
	}, "clickhouse")
	c.Flags().StringVar(&tenant, "tenant", "", "only this tenant")
	output = outputFlag(c, "text", "json")
	return c
}

func writeQuarantined(w io.Writer, list []*query.Quarantined) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, q := range list {
		if i == 0 {
			fmt.Fprintf(t, "%s of %s\n", q.ID, q.Tenant)
			writeEvidence(t, "first", q.Topic, q.First)
		}
		writeEvidence(t, "in quarantine", q.Topic, &q.Record)
		for _, d := range q.Differences {
			fmt.Fprintln(t, cells("  "+d.Field, d.First+" -> "+d.Then))
		}
	}
	return t.Flush()
}

func writeEvidence(w io.Writer, what, topic string, e *query.Evidence) {
	fmt.Fprintf(w, "\n%s\n", what)
	if e == nil {
		fmt.Fprintln(w, "  another tenant's")
		return
	}
	for _, line := range [][2]string{
		{"stored", e.Stored.UTC().Format("2006-01-02T15:04:05.000Z")}, {"source", e.Source},
		{"position", fmt.Sprintf("%s/%d/%d, epoch %s", topic, e.Partition, e.Offset, e.Epoch)}, {"content hash", e.ContentHash}, {"leaf hash", e.LeafHash},
	} {
		fmt.Fprintln(w, cells("  "+line[0], line[1]))
	}
}
