package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/collector/registry"
	"github.com/custody-audit/custody/deploy/demo"
)

func newDemoSources(a *app) *cobra.Command {
	return takes(&cobra.Command{
		Use:   "sources",
		Short: "Add the sources of the demo's estate to a sources file; prints their keys as JSON, once",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keys := demo.NewSources()
			for _, k := range keys {
				if err := registry.AddSource(a.config.Collector.Sources, k.Source); err != nil {
					return err
				}
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(demo.Keys(keys))
		},
	}, "collector.sources")
}

// demoEstate runs the estate alone, before a collector that is another process.
func (a *app) demoEstate(cmd *cobra.Command, cfg demo.Config, keysFile, output string) error {
	b, err := os.ReadFile(keysFile)
	if err == nil {
		err = json.Unmarshal(b, &cfg.Keys)
	}
	if err != nil {
		return fmt.Errorf("read --keys: %w", err)
	}
	say := cmd.ErrOrStderr()
	cfg.Logger, cfg.Progress = a.logger, progress(say)
	slog.SetDefault(slog.New(slog.NewTextHandler(say, &slog.HandlerOptions{Level: slog.LevelError}))) // as in demo
	estate, err := demo.New(cfg)
	if err != nil {
		return err
	}
	did, err := estate.Run(cmd.Context())
	if err != nil {
		return err
	}
	if output == "json" {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"sent": did.Sent, "scenarios": did.Scenarios, "seconds": did.Took.Seconds()})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d scenarios, %d events, all acknowledged\n", did.Scenarios, did.Total())
	return err
}
