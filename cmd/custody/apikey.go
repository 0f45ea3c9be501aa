package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/evidence/api"
)

func newAPIKey(a *app) *cobra.Command {
	c := &cobra.Command{Use: "apikey", Short: "Manage the API keys of \"custody serve\""}
	c.AddCommand(newAPIKeyAdd(a), newAPIKeyList(a), newAPIKeyRotate(a), newAPIKeyDisable(a))
	return c
}

func newAPIKeyAdd(a *app) *cobra.Command {
	var key api.Key
	var roles []string
	var lifetime time.Duration
	c := takes(&cobra.Command{
		Use:   "add ID",
		Short: "Add an API key; prints it, once",
		Long: `Adds an API key to the file of keys and prints it on stdout. The file holds its hash only: a key that is lost is replaced by
"custody apikey rotate". A running API reads the file again within 2 s. The id names the owner in the record of what was read.`,
		Example: "  custody apikey add grafana --role analyst --tenant acme\n  custody apikey add soc --role responder --role auditor --tenant '*' --lifetime 2160h",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key.ID = args[0]
			for _, r := range roles {
				key.Roles = append(key.Roles, api.Role(r))
			}
			if lifetime < 0 {
				return fmt.Errorf("--lifetime %s: want a time to come", lifetime)
			}
			if lifetime > 0 {
				key.Expires = time.Now().Add(lifetime).UTC().Truncate(time.Second)
			}
			secret, hash := api.NewKey()
			key.KeySHA256 = hash
			if err := api.AddKey(a.config.Serve.Keys, key); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "API key %s is in %s; it is shown only now:\n", key.ID, a.config.Serve.Keys)
			_, err := fmt.Fprintln(cmd.OutOrStdout(), secret)
			return err
		},
	}, "serve.keys")
	c.Flags().StringSliceVar(&roles, "role", nil, joinWords(api.Roles)+"; may be given several times")
	c.Flags().StringSliceVar(&key.Tenants, "tenant", nil, "tenant whose evidence it may read, * for all; may be given several times")
	c.Flags().StringVar(&key.Owner, "owner", "", "its name as an owner in the registry, as alice@acme.example: in reviews it decides about what that one owns")
	c.Flags().DurationVar(&lifetime, "lifetime", 0, "how long it is good, as 2160h; 0: until it is disabled")
	_ = c.MarkFlagRequired("role") // the flags exist
	_ = c.MarkFlagRequired("tenant")
	return c
}

func newAPIKeyList(a *app) *cobra.Command {
	var output *choice
	c := takes(&cobra.Command{
		Use:   "list",
		Short: "List the API keys",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keys, err := api.ReadKeys(a.config.Serve.Keys)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(append([]api.Key{}, keys...))
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "ID\tROLES\tTENANTS\tEXPIRES\tSTATE")
			for _, k := range keys {
				expires := ""
				if !k.Expires.IsZero() {
					expires = k.Expires.UTC().Format(time.RFC3339)
				}
				fmt.Fprintln(t, cells(k.ID, joinWords(k.Roles), strings.Join(k.Tenants, ", "), cmp.Or(expires, "never"), keyState(&k)))
			}
			return t.Flush()
		},
	}, "serve.keys")
	output = outputFlag(c, "table", "json")
	return c
}

func keyState(k *api.Key) string {
	switch {
	case k.Disabled:
		return "disabled"
	case !k.Expires.IsZero() && time.Now().After(k.Expires):
		return "expired"
	case k.Rotating():
		return "enabled, rotating"
	}
	return "enabled"
}

func newAPIKeyRotate(a *app) *cobra.Command {
	var finish bool
	c := takes(&cobra.Command{
		Use:   "rotate ID",
		Short: "Replace an API key; prints the new one, once",
		Long: `Gives the owner a new key. The one before stays good until "custody apikey rotate ID --finish", so that it can be changed
over without a gap. A key that was seen by others is not rotated but taken away: rotate, then --finish at once.`,
		Example: "  custody apikey rotate grafana\n  custody apikey rotate grafana --finish",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			secret, hash := api.NewKey()
			err := api.EditKey(a.config.Serve.Keys, args[0], func(k *api.Key) error {
				switch {
				case finish && !k.Rotating():
					return fmt.Errorf("API key %s is one key only", k.ID)
				case finish:
					k.PreviousKeySHA256 = ""
				case k.Rotating():
					return fmt.Errorf("API key %s is two keys already: finish the rotation under way with --finish", k.ID)
				default:
					k.KeySHA256, k.PreviousKeySHA256 = hash, k.KeySHA256
				}
				return nil
			})
			if err != nil || finish {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "the new key of %s, shown only now; end the old one with \"custody apikey rotate %s --finish\":\n", args[0], args[0])
			_, err = fmt.Fprintln(cmd.OutOrStdout(), secret)
			return err
		},
	}, "serve.keys")
	c.Flags().BoolVar(&finish, "finish", false, "take the old key away")
	return c
}

func newAPIKeyDisable(a *app) *cobra.Command {
	var undo bool
	c := takes(&cobra.Command{
		Use:     "disable ID",
		Short:   "Refuse an API key from now on",
		Long:    `Refuses an API key; a running API knows within 2 s. Its id stays taken, since the record of reads has it.`,
		Example: "  custody apikey disable grafana\n  custody apikey disable grafana --undo",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return api.EditKey(a.config.Serve.Keys, args[0], func(k *api.Key) error {
				k.Disabled = !undo
				return nil
			})
		},
	}, "serve.keys")
	c.Flags().BoolVar(&undo, "undo", false, "accept it again")
	return c
}
