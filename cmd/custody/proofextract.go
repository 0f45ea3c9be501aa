package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/processor/seal"
)

func newProofExtract() *cobra.Command {
	var policy, dir string
	c := &cobra.Command{
		Use:   "extract BUNDLE [PARTITION:OFFSET...]",
		Short: "Take single events out of a bundle, each with a proof of its own",
		Long: `Verifies a bundle and writes events of it to a folder, all or those that are named: PARTITION-OFFSET.json has the exact bytes,
PARTITION-OFFSET.tlog-proof the proof in the form of c2sp.org/tlog-proof, which programs other than Custody check too. Writes nothing
of a bundle that is not intact.`,
		Example: "  custody proof extract evidence.zip 3:1207 --policy keys.txt --dir out",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			// The first time only looks, so that nothing of a tampered bundle is written.
			if report, err := verifyProof(args[0], policy, nil); err != nil || !report.Intact {
				return errors.Join(err, fmt.Errorf("%s is not intact: \"custody proof verify\" says more", args[0]))
			}
			n, err := extractProofs(args[0], policy, dir, args[1:])
			if err == nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "%d events in %s\n", n, dir)
			}
			return err
		},
	}
	c.Flags().StringVar(&policy, "policy", "", "file that says whose signatures count")
	c.Flags().StringVar(&dir, "dir", "", "folder to write to, made where there is none")
	for _, name := range []string{"policy", "dir"} {
		_ = c.MarkFlagRequired(name) // the flag exists
	}
	return c
}

func extractProofs(file, policyFile, dir string, places []string) (n int, err error) {
	wanted := map[string]bool{}
	for _, p := range places {
		wanted[p] = true
	}
	policy, err := readPolicy(policyFile)
	if err != nil {
		return 0, err
	}
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	place := func(t seal.Tree, offset uint64) string {
		return strconv.Itoa(t.Partition) + ":" + strconv.FormatUint(offset, 10)
	}
	_, err = proof.Extract(f, policy, func(t seal.Tree, offset uint64) bool {
		return len(places) == 0 || wanted[place(t, offset)]
	}, func(x *proof.Extracted) error {
		n++
		at := place(x.Tree, x.Offset)
		delete(wanted, at)
		name := filepath.Join(dir, strings.ReplaceAll(at, ":", "-"))
		return errors.Join(os.WriteFile(name+".json", x.Raw, 0o644), os.WriteFile(name+".tlog-proof", x.Proof, 0o644))
	})
	for at := range wanted {
		err = errors.Join(err, fmt.Errorf("%s is not in the bundle", at))
	}
	return n, err
}
