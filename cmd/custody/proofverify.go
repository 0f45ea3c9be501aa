package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/schemas/event"
)

func newProofVerify() *cobra.Command {
	var policy string
	var known []string
	var output *choice
	c := &cobra.Command{
		Use:   "verify BUNDLE",
		Short: "Check a bundle: no network, no service",
		Long: `Checks a bundle of "custody proof export" by a policy: lines "log KEY" (what "custody seal keygen" printed, from somebody whom you
trust), "report KEY" for keys that may sign manifests beside it, and "witness NAME KEY", "group NAME any|all|N MEMBERS...", "quorum
NAME" for the witnesses that must have signed each checkpoint (c2sp.org/tlog-policy). --latest-known is what you know of the log from
elsewhere (a checkpoint, a copy of the folder of checkpoints, or a bundle): the log must have at least as much, and agree with it.

Exits with 0 when the bundle is intact, with 1 when it was tampered with, and says how (` + strings.Join(proofClasses(), ", ") + `), with 2 when
it is no bundle or cannot be judged.`,
		Example: "  echo 'log audit.example.com/custody+12345678+AbCd...' > keys.txt\n  custody proof verify evidence.zip --policy keys.txt",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			report, err := verifyProof(args[0], policy, known)
			if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "custody:", event.Visible(err.Error(), "\n\t"))
				return exitCode(2)
			}
			if output.value == "json" {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(report)
			} else {
				err = writeVerified(cmd.OutOrStdout(), report)
			}
			if err == nil && !report.Intact {
				return exitCode(1)
			}
			return err
		},
	}
	c.Flags().StringVar(&policy, "policy", "", "file that says whose signatures count")
	c.Flags().StringArrayVar(&known, "latest-known", nil, "what is known of the log: a checkpoint, a folder of them, or a bundle")
	_ = c.MarkFlagRequired("policy") // the flag exists
	output = outputFlag(c, "table", "json")
	return c
}

func proofClasses() []string {
	var out []string
	for _, c := range proof.Classes {
		out = append(out, string(c))
	}
	return out
}

func readPolicy(file string) (*proof.Policy, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return proof.ParsePolicy(f)
}

func verifyProof(file, policyFile string, known []string) (*proof.Report, error) {
	policy, err := readPolicy(policyFile)
	if err != nil {
		return nil, err
	}
	notes, err := checkpointsAt(known)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	report, err := proof.Verify(f, policy, notes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return report, nil
}

// shownProblems is how many problems are listed for people.
const shownProblems = 20

func writeVerified(w io.Writer, r *proof.Report) error {
	if !r.Intact {
		fmt.Fprintf(w, "TAMPERED WITH: %s\n", r.Class)
		for i, p := range r.Problems {
			if i == shownProblems {
				fmt.Fprintf(w, "  and %d more\n", len(r.Problems)-i)
				break
			}
			place := p.Origin
			if p.Offset != nil {
				place += fmt.Sprintf(" offset %d", *p.Offset)
			}
			fmt.Fprintf(w, "  %s: %s: %s\n", p.Class, place, event.Visible(p.Detail, ""))
		}
		return nil
	}
	fmt.Fprintf(w, "INTACT: %d events, signed by %s\n", r.Events, r.Signer)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TREE\tEVENTS\tUNDER A CHECKPOINT OF\tCONTINUES\tRANGE\tWITHHELD\tWITNESSES")
	for _, tree := range r.Trees {
		witnesses, from, ranged, withheld := "unwitnessed", "-", "-", "-"
		if len(tree.Witnesses) > 0 {
			witnesses = strings.Join(tree.Witnesses, " ")
		}
		if tree.From > 0 {
			from = fmt.Sprint(tree.From)
		}
		if p := tree.Range; p != nil {
			ranged = fmt.Sprintf("%d-%d", p.From, p.To)
			withheld = fmt.Sprintf("%d of others, %d not asked for, %d no event", p.OtherTenants, p.NotMatched, p.NoEvent)
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\t%s\t%s\n", event.Visible(tree.Origin, ""), tree.Events, tree.Size, from, ranged, withheld, event.Visible(witnesses, ""))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "Not proven:")
	for _, s := range r.NotProven {
		fmt.Fprintf(w, "  %s\n", s)
	}
	return nil
}
