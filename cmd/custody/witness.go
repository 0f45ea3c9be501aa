package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/processor/witness"
)

func newWitness(a *app) *cobra.Command {
	return takes(&cobra.Command{
		Use:   "witness",
		Short: "Run a witness: cosign the checkpoints of others after seeing that their log only grew",
		Long: `Serves c2sp.org/tlog-witness for the logs of --witness-logs (c2sp.org/tlog-policy: lines "log KEY"; a log's key stands for all
of its trees). Run it where the log's operators cannot reach it, with a key of its own ("custody seal keygen NAME --cosigner").
What it signed is in --witness-dir; a backup of that must never be restored. Requests and answers are public and signed, so plain
HTTP does no harm; whoever wants TLS puts a proxy in front.`,
		Example: "  custody seal keygen witness.example.org/w1 --cosigner --seal-key-file witness.key\n  custody witness --witness-key-file witness.key --witness-logs logs.txt --witness-dir state --witness-address :7380",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tel, err := startTelemetry(cmd.Context(), &a.config.Telemetry, "witness")
			if err != nil {
				return err
			}
			return errors.Join(a.witness(cmd, tel), tel.close())
		},
	}, "witness", "telemetry")
}

func (a *app) witness(cmd *cobra.Command, tel *telemetry) error {
	c := a.config.Witness
	if c.KeyFile == "" || c.Logs == "" || c.Dir == "" {
		return errors.New("witness.key_file, witness.logs and witness.dir are required")
	}
	key, err := seal.ReadKey(c.KeyFile)
	if err != nil {
		return err
	}
	policy, err := witness.ReadPolicy(c.Logs)
	if err != nil {
		return err
	}
	w, err := witness.New(witness.Config{Key: key, Dir: c.Dir, Logs: policy.Logs, Logger: a.logger, Meter: tel.meter("witness")})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.Address)
	if err != nil {
		return errors.Join(fmt.Errorf("witness: %w; choose another with --witness-address", err), w.Close())
	}
	server := &http.Server{Handler: w, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	tel.readiness("witness", func(context.Context) error { return nil })
	fmt.Fprintf(cmd.ErrOrStderr(), "witness %s cosigns for %d logs at http://%s. Stop with Ctrl-C. Its key:\n%s\n", key.Name(), policy.Logs.Len(), listener.Addr(), key.CosignerKey())
	select {
	case err = <-failed:
	case <-cmd.Context().Done():
		stop, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = server.Shutdown(stop)
	}
	return errors.Join(err, w.Close())
}
