package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/processor/seal"
)

// policy says whose signatures count when this installation verifies a bundle or a
// cosignature: the log's, those of the key for reports, and the witnesses of the file
// of seal.witnesses, with its quorum.
func (c sealConfig) policy(of *proof.Config, reportKeyFile string) (*proof.Policy, error) {
	lines := []string{"log " + seal.VerifierKey(of.Ring.Log(), of.Ring.First())}
	if reportKeyFile != "" {
		key, err := seal.ReadKey(reportKeyFile)
		if err != nil {
			return nil, err
		}
		lines = append(lines, "report "+key.Verifier())
	}
	witnesses, err := c.witnessLines()
	if err != nil {
		return nil, err
	}
	return proof.ParsePolicy(strings.NewReader(strings.Join(append(lines, witnesses...), "\n")))
}

// witnessLines are those of the file of witnesses that say whose cosignatures count;
// without a quorum in it, a checkpoint counts unwitnessed too.
func (c sealConfig) witnessLines() (lines []string, err error) {
	if c.Witnesses == "" {
		return nil, nil
	}
	f, err := os.Open(c.Witnesses)
	if err != nil {
		return nil, fmt.Errorf("seal.witnesses: %w", err)
	}
	defer f.Close()
	quorum := false
	scanner := bufio.NewScanner(f)
	for scanner.Scan() {
		words := strings.Fields(scanner.Text())
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "quorum":
			quorum = true
			fallthrough
		case "witness", "group":
			lines = append(lines, scanner.Text())
		}
	}
	if len(lines) > 0 && !quorum {
		lines = append(lines, "quorum none")
	}
	return lines, scanner.Err()
}
