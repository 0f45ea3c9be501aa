package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor/reconcile"
)

func newReconcile(a *app) *cobra.Command {
	var once bool
	var output *choice
	c := takes(&cobra.Command{
		Use:   "reconcile",
		Short: "Hold stored records against their signed checkpoints",
		Long: `Reads stored records again, computes their trees, and compares with the checkpoints of seal.dir: what is new every
reconcile.interval, everything again and again. What differs becomes a finding that names partition, offsets and kind
(docs/auditor.md). Run it under other hands than ClickHouse's, with the log's public key as seal.trust. "custody run" does this too.
With --once it runs one full cycle, says what it found, stores nothing, and exits with 1 when that is anything.`,
		Example: "  custody reconcile --once --data-dir data\n  custody reconcile --seal-dir /mnt/checkpoints --seal-trust audit.example.com/custody+12345678+AbCd... --clickhouse-addresses ch-1:9000 --clickhouse-user custody_detector",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if once {
				return a.reconcileOnce(cmd, output.value)
			}
			tel, err := startTelemetry(cmd.Context(), &a.config.Telemetry, "reconcile")
			if err != nil {
				return err
			}
			s, err := startReconciler(a, tel)
			if err != nil {
				return errors.Join(err, tel.close())
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "records are held against their checkpoints. Stop with Ctrl-C.")
			<-cmd.Context().Done()
			return errors.Join(s.close(), tel.close())
		},
	}, "clickhouse", "seal.dir", "seal.key_file", "seal.trust", "seal.witnesses", "reconcile", "telemetry")
	c.Flags().BoolVar(&once, "once", false, "one full cycle as fast as it goes, then end")
	output = outputFlag(c, "table", "json")
	return c
}

func (a *app) reconcileOnce(cmd *cobra.Command, output string) error {
	a.config.Telemetry.Address = "" // a running service may have it
	tel, err := startTelemetry(cmd.Context(), &a.config.Telemetry, "reconcile")
	if err != nil {
		return err
	}
	defer tel.close()
	if err := a.config.local(""); err != nil {
		return err
	}
	r, conn, err := newReconciler(a, tel, true)
	if err != nil {
		return err
	}
	defer conn.Close()
	rep, err := r.Once(cmd.Context())
	if err != nil {
		return err
	}
	if output == "json" {
		err = json.NewEncoder(cmd.OutOrStdout()).Encode(rep)
	} else {
		err = writeReport(cmd.OutOrStdout(), rep)
	}
	if n := len(rep.Discrepancies); err == nil && n > 0 {
		err = fmt.Errorf("stored records differ from what was sealed at %d places", n)
	}
	return err
}

func writeReport(w io.Writer, rep *reconcile.Report) error {
	fmt.Fprintf(w, "%d records of %d trees in %.1f s: %d discrepancies\n", rep.Records, rep.Trees, rep.Seconds, len(rep.Discrepancies))
	if len(rep.Discrepancies) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nKIND\tTOPIC\tPARTITION\tEPOCH\tOFFSETS\tDETAIL")
	for _, d := range rep.Discrepancies {
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%d-%d\t%s\n", d.Kind, d.Topic, d.Partition, d.Epoch, d.From, d.Last(), d.Detail)
	}
	return t.Flush()
}

// reconcilerService is a reconciliation that runs.
type reconcilerService struct {
	stop  context.CancelFunc
	ended chan error
}

func newReconciler(a *app, tel *telemetry, readOnly bool) (*reconcile.Reconciler, driver.Conn, error) {
	c := a.config.Seal.of(a.config.DataDir)
	folder, ring, err := c.trusted()
	if err != nil {
		return nil, nil, err
	}
	witnesses, err := c.witnesses()
	if err != nil {
		return nil, nil, err
	}
	conn, err := a.config.ClickHouse.connect(a.config.ClickHouse.Database)
	if err != nil {
		return nil, nil, err
	}
	cfg := reconcile.Config{
		ClickHouse: conn, Ring: ring, Folder: folder,
		Interval: a.config.Reconcile.Interval, RecordsPerSecond: a.config.Reconcile.RecordsPerSecond, Grace: a.config.Reconcile.Grace,
		ReadOnly: readOnly, Logger: a.logger, Meter: tel.meter("reconcile"),
	}
	for _, w := range witnesses {
		cfg.Witnesses = append(cfg.Witnesses, w)
	}
	r, err := reconcile.New(cfg)
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return r, conn, nil
}

func startReconciler(a *app, tel *telemetry) (*reconcilerService, error) {
	r, conn, err := newReconciler(a, tel, false)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &reconcilerService{stop, make(chan error, 1)}
	go func() { s.ended <- errors.Join(r.Run(ctx), conn.Close()) }()
	return s, nil
}

func (s *reconcilerService) close() error {
	s.stop()
	if err := <-s.ended; err != nil {
		return fmt.Errorf("reconciliation: %w", err)
	}
	return nil
}
