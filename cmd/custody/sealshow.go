package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor/seal"
)

// sealedTree is what "seal show" says of a tree.
type sealedTree struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Epoch     string `json:"epoch"`
	Base      uint64 `json:"base"` // offset of the first record
	Size      uint64 `json:"size"` // records under the newest checkpoint
	Root      string `json:"root"`
	Witnessed uint64 `json:"witnessed"` // records under the newest checkpoint with a cosignature
	Closed    string `json:"closed,omitempty"`
	Key       string `json:"key"` // for a program that checks this tree's checkpoints
	Problem   string `json:"problem,omitempty"`
}

func newSealShow(a *app) *cobra.Command {
	var output *choice
	c := takes(&cobra.Command{
		Use:   "show",
		Short: "Verify the published checkpoints and show what they cover",
		Long: `Reads the folder of checkpoints, verifies each against the log's key and those that rotations lead to, and shows the trees.
Whether a witness is to be trusted is not judged here: the column says how far one signed. Exits with 1 when something does not verify.`,
		Example: "  custody seal show --data-dir data\n  custody seal show --seal-dir /mnt/checkpoints --seal-trust audit.example.com/custody+12345678+AbCd...",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.config.Seal.of(a.config.DataDir)
			folder, ring, err := c.trusted()
			if err != nil {
				return err
			}
			list, err := sealedTrees(folder, ring)
			if err != nil {
				return err
			}
			if output.value == "json" {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			} else {
				err = writeSealed(cmd.OutOrStdout(), list)
			}
			for _, t := range list {
				if err == nil && t.Problem != "" {
					err = fmt.Errorf("topic %s partition %d epoch %s: %s", t.Topic, t.Partition, t.Epoch, t.Problem)
				}
			}
			return err
		},
	}, "seal.dir", "seal.key_file", "seal.trust")
	output = outputFlag(c, "table", "json")
	return c
}

func sealedTrees(folder *seal.Folder, ring *seal.Keyring) ([]sealedTree, error) {
	published, err := folder.Trees(ring.Log())
	if err != nil {
		return nil, err
	}
	var list []sealedTree
	for _, origin := range slices.Sorted(maps.Keys(published)) {
		p := published[origin]
		_, t, err := seal.ParseOrigin(origin)
		if err != nil {
			return nil, err
		}
		s := sealedTree{Topic: t.Topic, Partition: t.Partition, Epoch: t.Epoch, Base: t.Base, Key: seal.VerifierKey(origin, ring.Current())}
		if err := s.verify(ring, t, p); err != nil {
			s.Problem = err.Error()
		}
		list = append(list, s)
	}
	return list, nil
}

func (s *sealedTree) verify(ring *seal.Keyring, t seal.Tree, p seal.Published) error {
	c, of, err := ring.OpenCheckpoint(p.Checkpoint)
	if err == nil && of != t {
		err = fmt.Errorf("its checkpoint is that of %s", of)
	}
	if err != nil {
		return err
	}
	s.Size, s.Root = c.Size, base64.StdEncoding.EncodeToString(c.Root[:])
	if p.Witnessed != nil {
		w, of, err := ring.OpenCheckpoint(p.Witnessed)
		if err != nil || of != t {
			return fmt.Errorf("the witnessed checkpoint: of %s, %w", of, err)
		}
		s.Witnessed = w.Size
	}
	if p.Gap != nil {
		g, err := ring.OpenGap(p.Gap)
		if err != nil {
			return err
		}
		s.Closed = fmt.Sprintf("%s, %d lost", g.Reason, g.LostTo-g.LostFrom)
	}
	return nil
}

func writeSealed(w io.Writer, list []sealedTree) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TOPIC\tPARTITION\tEPOCH\tFROM OFFSET\tRECORDS\tWITNESSED\tSTATE")
	for _, s := range list {
		state := "grows"
		switch {
		case s.Problem != "":
			state = "PROBLEM: " + strings.ReplaceAll(s.Problem, "\n", " ")
		case s.Closed != "":
			state = "closed: " + s.Closed
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%d\t%d\t%d\t%s\n", s.Topic, s.Partition, s.Epoch, s.Base, s.Size, s.Witnessed, state)
	}
	return t.Flush()
}
