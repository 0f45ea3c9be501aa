package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor/seal"
)

func newSeal(a *app) *cobra.Command {
	c := &cobra.Command{Use: "seal", Short: "Manage the key that seals the log, and look at its checkpoints"}
	c.AddCommand(newSealKeygen(a), newSealShow(a), newSealRotate(a))
	return c
}

func newSealKeygen(a *app) *cobra.Command {
	var cosigner bool
	c := takes(&cobra.Command{
		Use:   "keygen NAME",
		Short: "Make the key of a log or a witness; prints its public half",
		Long: `Makes an Ed25519 key and writes it to --seal-key-file, which must not exist, readable by its owner only. NAME is the log's
for ever: a URL without scheme that nobody else uses, such as example.com/audit; it need not be reachable. What is printed is the
verifier key: hand it to whoever is to check the log. With --cosigner it is that of a witness.`,
		Example: "  custody seal keygen audit.example.com/custody --seal-key-file seal.key\n  custody seal keygen witness.example.org/w1 --cosigner --seal-key-file witness.key",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := a.config.Seal.KeyFile
			if file == "" {
				return fmt.Errorf("seal.key_file is not set: say where the key is to lie with --seal-key-file")
			}
			k, err := seal.CreateKey(file, args[0])
			if err != nil {
				return err
			}
			public := k.Verifier()
			if cosigner {
				public = k.CosignerKey()
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "the key of %s is in %s; its public half:\n", k.Name(), file)
			_, err = fmt.Fprintln(cmd.OutOrStdout(), public)
			return err
		},
	}, "seal.key_file")
	c.Flags().BoolVar(&cosigner, "cosigner", false, "print the public half as that of a witness")
	return c
}
