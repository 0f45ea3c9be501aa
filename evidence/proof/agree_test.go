package proof_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// many are n events like those of the story, each of its own.
func many(n int) (out []*event.Event) {
	for len(out) < n {
		for _, e := range story.Events() {
			e.Source.EventID = fmt.Sprint("event-", len(out))
			e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
			e.Source.Sequence, e.Correlation.TaskID, e.Correlation.TransactionID = 0, fmt.Sprint("task-", len(out)), ""
			if out = append(out, e); len(out) == n {
				break
			}
		}
	}
	return out
}

// Of 10,000 events every second is changed by a bit. Our verifier, the one of
// docs/verify and torchwood each say of every one whether it was.
func TestAgreement(t *testing.T) {
	e := newEstate(t, true)
	e.send(many(10_000)...)
	random, judged := rand.New(rand.NewPCG(1, 2)), 0
	for partition := range 2 {
		bundle := e.export(e.request("", "", fmt.Sprintf("%d:0-10000", partition)))
		origin := e.intact(bundle).Trees[0].Origin
		lines := events(t, bundle)
		changed, altered := slices.Clone(lines), map[uint64]bool{}
		for i := range changed {
			if random.IntN(2) == 0 {
				b := []byte(changed[i])
				b[random.IntN(len(b))] ^= 1
				changed[i], altered[uint64(i)] = string(b), true
			}
		}
		files := unpack(t, bundle)
		files[len(files)-1].Content = []byte(strings.Join(changed, "\n") + "\n")
		tampered := proof.Pack(files)

		ours, theirs := map[uint64]bool{}, map[uint64]bool{}
		for _, p := range verify(t, tampered, policy(t, e.policyText())).Problems {
			if p.Offset != nil {
				ours[*p.Offset] = true
			}
		}
		for _, offset := range secondOf(t, e.policyText(), nil, tampered)[0].Offsets {
			theirs[offset] = true
		}
		torch := e.torchwood(bundle, origin, changed)
		judged += len(lines)
		for name, refused := range map[string]map[uint64]bool{"ours": ours, "the second": theirs, "torchwood": torch} {
			if !maps.Equal(refused, altered) {
				t.Errorf("partition %d: %s refuses %d of %d events, %d were changed", partition, name, len(refused), len(lines), len(altered))
			}
		}
	}
	if judged != 10_000 {
		t.Errorf("%d events were judged", judged)
	}
}

// torchwood tells the offsets of those records whose proofs it refuses.
func (e *estate) torchwood(bundle []byte, origin string, records []string) map[uint64]bool {
	e.Helper()
	policy, refused := e.torchwoodPolicy(origin), map[uint64]bool{}
	_, err := proof.Extract(bytes.NewReader(bundle), e.policy(), func(seal.Tree, uint64) bool { return true }, func(x *proof.Extracted) error {
		if torchwood.VerifyProof(policy, tlog.RecordHash([]byte(records[x.Offset])), x.Proof) != nil {
			refused[x.Offset] = true
		}
		return torchwood.VerifyProof(policy, tlog.RecordHash(x.Raw), x.Proof)
	})
	if err != nil {
		e.Fatal(err)
	}
	return refused
}

func (e *estate) policy() *proof.Policy { e.Helper(); return policy(e, e.policyText()) }

func (e *estate) torchwoodPolicy(origin string) torchwood.Policy {
	e.Helper()
	p, err := torchwood.ParsePolicy([]byte("log " + seal.VerifierKey(origin, e.key.Public()) + "\nwitness w " + e.witness.CosignerKey() + "\nquorum w\n"))
	if err != nil {
		e.Fatal(err)
	}
	return p
}

// origin is the first line of the checkpoint in a proof.
func origin(tlogProof []byte) string {
	_, checkpoint, _ := strings.Cut(string(tlogProof), "\n\n")
	line, _, _ := strings.Cut(checkpoint, "\n")
	return line
}
