package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/evidence/export"
	"github.com/custody-audit/custody/evidence/query"
)

func newExport(a *app) *cobra.Command {
	var tenant, file string
	var limit int
	var output *choice
	c := takes(&cobra.Command{
		Use:   "export [FILTER]",
		Short: "Write events to a file: NDJSON, CSV, Parquet or OCSF",
		Long: `Writes the events that pass the filter, newest first. NDJSON has each event's exact bytes, as they were sealed. CSV and Parquet have
a column for each field, named as in ClickHouse, and who answers for it by the registry of that time; in CSV a quote stands before
what a spreadsheet would take for a formula. OCSF is API Activity of OCSF ` + export.OCSFVersion + `, for a SIEM. A file appears when it is complete.`,
		Example: "  custody export --output parquet --file q3.parquet 'tenant:acme after:2026-07-01T00:00:00Z before:2026-10-01T00:00:00Z'\n  custody export --output ocsf 'kind:permission_decision decision:deny last:24h' | gzip >denied.json.gz",
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := a.filter(strings.Join(args, " "))
			if err != nil {
				return err
			}
			r, done, err := a.reader(tenant)
			if err != nil {
				return err
			}
			defer done()
			if file == "" {
				w, err := unfiltered(cmd.OutOrStdout(), output.value == "parquet")
				if err != nil {
					return err
				}
				_, err = a.export(cmd, r, filter, limit, output.value, w)
				return err
			}
			return whole(file, func(w io.Writer) error {
				n, err := a.export(cmd, r, filter, limit, output.value, w)
				if err == nil {
					fmt.Fprintf(cmd.ErrOrStderr(), "%d events in %s\n", n, file)
				}
				return err
			})
		},
	}, "clickhouse", "search")
	c.Flags().StringVar(&tenant, "tenant", "", "only this tenant")
	c.Flags().StringVar(&file, "file", "", "write here; empty: to standard output")
	c.Flags().IntVar(&limit, "limit", 0, "at most so many events; 0: all")
	output = outputFlag(c, export.Formats()...)
	return c
}

// export writes what passes the filter and tells how far it has come.
func (a *app) export(cmd *cobra.Command, r *query.Reader, filter *query.Filter, limit int, format string, w io.Writer) (n int, err error) {
	out, err := export.New(format, w)
	if err != nil {
		return 0, err
	}
	told := time.Now()
	n, err = r.Each(cmd.Context(), filter, limit, func(row *query.Row) error {
		n++
		if time.Since(told) > 2*time.Second {
			told = time.Now()
			fmt.Fprintf(cmd.ErrOrStderr(), "%d events, at %s\n", n, row.Event.Time)
		}
		return out.Write(row)
	})
	return n, errors.Join(err, out.Close())
}

// unfiltered is the writer behind a terminal's filter where there is no terminal:
// an export keeps every byte.
func unfiltered(w io.Writer, binary bool) (io.Writer, error) {
	t, ok := w.(*terminal)
	if !ok {
		return w, nil
	}
	info, err := os.Stdout.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode()&os.ModeCharDevice == 0 {
		return t.to, nil
	}
	if binary {
		return nil, errors.New("parquet is not for a terminal: name a --file, or redirect")
	}
	return w, nil
}

// whole writes a file that others see when it is complete, or not at all.
func whole(name string, write func(io.Writer) error) error {
	f, err := renameio.NewPendingFile(name, renameio.WithTempDir(filepath.Dir(name)))
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		return errors.Join(err, f.Cleanup())
	}
	return f.CloseAtomicallyReplace()
}
