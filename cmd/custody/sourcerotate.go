package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/registry"
)

func newSourceRotate(a *app) *cobra.Command {
	var tenant string
	var finish bool
	c := takes(&cobra.Command{
		Use:   "rotate ID",
		Short: "Give a source a new key; prints it, once",
		Long: `Gives a source a new bearer key. The one before stays good until "custody source rotate ID --finish", so that the source
can be changed over without a gap. A key that was seen by others is not rotated but taken away: rotate, then --finish at once.`,
		Example: "  custody source rotate payments-mcp\n  custody source rotate payments-mcp --finish",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := a.config.Collector.Sources
			src, err := oneSource(file, tenant, args[0])
			if err != nil {
				return err
			}
			if finish {
				if src.PreviousKeySHA256 == "" {
					return fmt.Errorf("source %s has one key only", src.ID)
				}
				return registry.EditSource(file, src.Tenant, src.ID, map[string]any{"previous_key_sha256": nil})
			}
			if src.PreviousKeySHA256 != "" {
				return fmt.Errorf("source %s has two keys already: finish the rotation under way with --finish", src.ID)
			}
			key, hash := registry.NewKey()
			change := map[string]any{"key_sha256": hash}
			if src.KeySHA256 != "" {
				change["previous_key_sha256"] = src.KeySHA256
			}
			if err := registry.EditSource(file, src.Tenant, src.ID, change); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "the new key of source %s, shown only now; end the old one with \"custody source rotate %s --finish\":\n", src.ID, src.ID)
			_, err = fmt.Fprintln(cmd.OutOrStdout(), key)
			return err
		},
	}, "collector.sources")
	c.Flags().StringVar(&tenant, "tenant", "", "tenant of the source, when several have one of this id")
	c.Flags().BoolVar(&finish, "finish", false, "take the old key away")
	return c
}

func newSourceDisable(a *app) *cobra.Command {
	var tenant string
	var undo bool
	c := takes(&cobra.Command{
		Use:     "disable ID",
		Short:   "Refuse a source from now on",
		Long:    `Refuses a source; running collectors know within 2 s. What it has sent stays, and so does its name.`,
		Example: "  custody source disable payments-mcp\n  custody source disable payments-mcp --undo",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			change := map[string]any{"disabled": true}
			if undo {
				change["disabled"] = nil
			}
			return registry.EditSource(a.config.Collector.Sources, tenant, args[0], change)
		},
	}, "collector.sources")
	c.Flags().StringVar(&tenant, "tenant", "", "tenant of the source, when several have one of this id")
	c.Flags().BoolVar(&undo, "undo", false, "take it in again")
	return c
}

func oneSource(file, tenant, id string) (*collector.Source, error) {
	sources, err := registry.ReadSources(file)
	if err != nil {
		return nil, err
	}
	found := slices.DeleteFunc(sources, func(s collector.Source) bool { return s.ID != id || tenant != "" && s.Tenant != tenant })
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("there is no source %q; \"custody source list\" shows all", id)
	case 1:
		return &found[0], nil
	}
	return nil, fmt.Errorf("several tenants have a source %q: say which with --tenant", id)
}
