package main

import (
	"github.com/spf13/cobra"
)

func newSubject(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "subject",
		Short: "Act on what is stored of a person",
	}
	c.AddCommand(newKeepingAct(a, keepingAct{
		use: "erase SUB", short: "Delete the records that name a person", path: "/erasures", args: cobra.ExactArgs(1),
		long: `Records of the tenant that name SUB as subject, actor or in the chain, and what is known in sum of it, are deleted with
the next pass of retention; their leaf hashes and a signed record stay, so proofs of what is left hold. What is on hold goes when the
hold ends. The act has a salted digest of SUB, and is kept for ever: leave the name out of the reason. Texts of findings and reviews, Kafka,
backups and exports are not reached (docs/adr/0028-retention.md).`,
		example: "  custody subject erase alice@acme.example --tenant acme --reason 'request 2026-31'",
		body:    func(args []string) (map[string]any, error) { return map[string]any{"person": args[0]}, nil },
	}))
	return c
}
