package proof

import (
	"io"

	"github.com/custody-audit/custody/processor/seal"
)

// Extracted is an event with a proof of its own, in the form of
// c2sp.org/tlog-proof, which programs other than ours check too.
type Extracted struct {
	Tree   seal.Tree
	Offset uint64
	Raw    []byte
	Proof  []byte
}

// Extract verifies a bundle as Verify does and calls visit with the events that
// are wanted, as far as it verifies. Of a bundle that is not intact they are not to
// be used. visit must not keep its argument's bytes. Its errors are returned.
func Extract(r io.Reader, policy *Policy, want func(t seal.Tree, offset uint64) bool, visit func(*Extracted) error) (*Report, error) {
	v := newVerifier(policy, nil)
	v.want, v.visit = want, visit
	report, err := v.run(r)
	if v.failed != nil {
		return nil, v.failed
	}
	return report, err
}

// extract hands an event out that verified.
func (v *verifier) extract(t seal.Tree, size uint64, l Leaf, raw []byte) {
	if v.visit == nil || v.failed != nil || !v.want(t, t.Base+l.Index) {
		return
	}
	p, err := inclusion(size, l.Index, v.kept)
	if err != nil {
		v.failed = err
		return
	}
	v.failed = v.visit(&Extracted{t, t.Base + l.Index, raw, formatTlogProof(l.Index, p, v.parts[fileCheckpoint])})
}
