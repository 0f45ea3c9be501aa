package main

import (
	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/evidence/proof"
)

func newProof(a *app) *cobra.Command {
	c := &cobra.Command{Use: "proof", Short: "Evidence that stands on its own: export it, and check it without asking anybody"}
	c.AddCommand(newProofExport(a), newProofVerify(), newProofExtract())
	return c
}

// checkpointsAt reads the checkpoints of all paths.
func checkpointsAt(paths []string) (out [][]byte, err error) {
	for _, path := range paths {
		some, err := proof.ReadCheckpoints(path)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	return out, nil
}
