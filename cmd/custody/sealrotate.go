package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor/seal"
)

func newSealRotate(a *app) *cobra.Command {
	var next string
	c := takes(&cobra.Command{
		Use:   "rotate",
		Short: "Hand the log over to a new key",
		Long: `Writes a record, signed by the key of seal.key_file and the new one, that names the newest checkpoint of every tree. Who trusts
the old key trusts the new one by it, and takes nothing from the old key beyond those checkpoints. So stop the processors first;
afterwards configure the new key, give its public half to the witnesses, start the processors, and destroy the old key.`,
		Example: "  custody seal keygen audit.example.com/custody --seal-key-file new.key\n  custody seal rotate --seal-key-file seal.key --new-key-file new.key --seal-dir /mnt/checkpoints",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.config.Seal.of(a.config.DataDir)
			from, err := seal.ReadKey(c.KeyFile)
			if err != nil {
				return err
			}
			to, err := seal.ReadKey(next)
			if err != nil {
				return err
			}
			if err := a.rotateKey(cmd, c, from, to); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), to.Verifier())
			return err
		},
	}, "clickhouse", "seal.key_file", "seal.dir")
	c.Flags().StringVar(&next, "new-key-file", "", "file of the new key")
	_ = c.MarkFlagRequired("new-key-file") // the flag exists
	return c
}

// rotateKey publishes the record in the folder and, where one is configured or
// runs, in ClickHouse.
func (a *app) rotateKey(cmd *cobra.Command, c sealConfig, from, to *seal.Key) error {
	folder, err := seal.OpenFolder(c.Dir)
	if err != nil {
		return err
	}
	ring, err := folder.Keyring(from.Name(), from.Public())
	if err != nil {
		return err
	}
	if !ring.Current().Equal(from.Public()) {
		return fmt.Errorf("%s was replaced already, by %s", c.KeyFile, seal.VerifierKey(from.Name(), ring.Current()))
	}
	heads, err := heads(folder, ring)
	if err != nil {
		return err
	}
	signed, err := seal.SignRotation(from, to, heads, time.Now())
	if err != nil {
		return err
	}
	if err := folder.PutRotation(signed); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "log %s, %d trees, has a new key; configure %q from now on, the old one starts no processor any more:\n", from.Name(), len(heads), "seal.key_file")
	conn, err := a.conn("")
	if err == nil {
		err = errors.Join(seal.NewStore(conn).PutRotation(cmd.Context(), signed), conn.Close())
	}
	if err != nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "the record is in the folder, which is what counts; it is not in ClickHouse:", err)
	}
	return nil
}

// heads are the newest checkpoints of a log. One that does not verify is an
// error: a rotation that left it out would end the tree.
func heads(folder *seal.Folder, ring *seal.Keyring) ([]seal.Checkpoint, error) {
	published, err := folder.Trees(ring.Log())
	if err != nil {
		return nil, err
	}
	var out []seal.Checkpoint
	for origin, p := range published {
		if p.Checkpoint == nil {
			continue
		}
		c, _, err := ring.OpenCheckpoint(p.Checkpoint)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", origin, err)
		}
		out = append(out, c)
	}
	return out, nil
}
