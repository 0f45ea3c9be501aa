package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/custody-audit/custody/collector/tail"
)

func newTail(a *app) *cobra.Command {
	var url, kind, keyFile, state string
	var fromEnd bool
	c := takes(&cobra.Command{
		Use:   "tail --type TYPE FILE...",
		Short: "Follow log files of a source and send their lines to a collector",
		Long: `Follows files and sends each line to a collector, as a source of the given type. It survives rotation (by rename, or by
copy and truncate), restarts, and a collector that is away: how far each file was acknowledged stands in the state folder.
Lines that the collector refuses are reported and left behind.`,
		Example: `  custody tail --type toolhive --key-file /etc/custody/key /var/log/toolhive/audit.log
  CUSTODY_SOURCE_KEY=cst_... custody tail --type openbao --collector-url https://custody.example:4318 /var/log/openbao.log`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			if !slices.Contains(types(), kind) || parsers[kind] == nil {
				return fmt.Errorf("--type %q: want a type whose records are lines, see docs/sources.md", kind)
			}
			if keyFile == "" && os.Getenv(keyVariable) == "" {
				return errors.New("want the source's key: --key-file FILE or the environment variable " + keyVariable)
			}
			if err := os.MkdirAll(state, 0o700); err != nil {
				return err
			}
			tel, err := startTelemetry(cmd.Context(), &a.config.Telemetry, "tail")
			if err != nil {
				return err
			}
			work, ctx := errgroup.WithContext(cmd.Context())
			for _, file := range files {
				t, err := tail.New(tail.Config{
					Path: file, Checkpoint: filepath.Join(state, checkpointName(file)), URL: url, Type: kind, FromEnd: fromEnd,
					Key: func() (string, error) { return readKey(keyFile) }, Logger: a.logger, Meter: tel.meter("collector/tail"),
				})
				if err != nil {
					return err
				}
				work.Go(func() error { return t.Run(ctx) })
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "following %d files for %s. Stop with Ctrl-C.\n", len(files), url)
			return errors.Join(work.Wait(), tel.close())
		},
	}, "telemetry")
	f := c.Flags()
	f.StringVar(&kind, "type", "", "source type of the lines")
	f.StringVar(&url, "collector-url", "http://127.0.0.1:4318", "address of the collector")
	f.StringVar(&keyFile, "key-file", "", "file with the source's key; empty: the environment variable "+keyVariable)
	f.StringVar(&state, "state-dir", "tail-state", "folder of the checkpoints")
	f.BoolVar(&fromEnd, "from-end", false, "of a file that is new to it, send only what is added")
	_ = c.MarkFlagRequired("type") // the flag exists
	return c
}

// keyVariable holds a source's key, where no file does.
const keyVariable = "CUSTODY_SOURCE_KEY"

// readKey reads the key each time, so that it can be rotated.
func readKey(file string) (string, error) {
	if file == "" {
		return os.Getenv(keyVariable), nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(b)), nil
}

// checkpointName is the file's absolute path made a file name.
func checkpointName(file string) string {
	if absolute, err := filepath.Abs(file); err == nil {
		file = absolute
	}
	return strings.Trim(strings.NewReplacer("%", "%25", "/", "%2F").Replace(file), ".") + ".json"
}
