package proof

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// stored is a whole tree as tlog keeps it.
type stored []tlog.Hash

func (s stored) ReadHashes(indexes []int64) (out []tlog.Hash, err error) {
	for _, i := range indexes {
		out = append(out, s[i])
	}
	return out, nil
}

func record(i int) []byte { return fmt.Appendf(nil, "record %d", i) }

func grown(t testing.TB, n int) (s stored) {
	t.Helper()
	for i := range n {
		hashes, err := tlog.StoredHashes(int64(i), record(i), s)
		if err != nil {
			t.Fatal(err)
		}
		s = append(s, hashes...)
	}
	return s
}

func rootAt(t testing.TB, s stored, n int) Hash {
	t.Helper()
	h, err := tlog.TreeHash(int64(n), s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// pick are some of the leaves of a tree.
func pick(random *rand.Rand, n int) (leaves []Leaf) {
	share := random.IntN(101)
	for i := range n {
		if random.IntN(100) < share {
			leaves = append(leaves, Leaf{Index: uint64(i), Hash: tlog.RecordHash(record(i)), Open: true})
		}
	}
	return leaves
}

// sharedCase is what the second verifier computes too.
type sharedCase struct {
	Size, Old     int
	Indexes       []uint64
	Hashes, Nodes []string
	Consistency   []string
	Roots         [2]string // of Size and Old
}

func texts(hashes []Hash) (out []string) {
	for _, h := range hashes {
		out = append(out, base64.StdEncoding.EncodeToString(h[:]))
	}
	return out
}

// One proof of any leaves of trees of any size leads to the root, gives the proof
// that RFC 6962 has for each, and with anything changed to another root or none.
// The second verifier computes the same, and takes the same proofs of consistency.
func TestShared(t *testing.T) {
	const most = 300
	s, random := grown(t, most), rand.New(rand.NewPCG(3, 4))
	var cases []sharedCase
	for n := 1; n <= most; n++ {
		root, leaves := rootAt(t, s, n), pick(random, n)
		nodes, err := nodesBeside(uint64(n), leaves, s)
		if err != nil {
			t.Fatal(err)
		}
		kept := map[span]Hash{}
		if got, err := rootOf(uint64(n), leaves, nodes, kept); err != nil || got != root {
			t.Fatalf("%d of %d leaves lead to another root: %v", len(leaves), n, err)
		}
		for _, l := range leaves {
			p, err := inclusion(uint64(n), l.Index, kept)
			if err == nil {
				err = tlog.CheckRecord(p, int64(n), root, int64(l.Index), l.Hash)
			}
			if err != nil {
				t.Errorf("leaf %d of %d: %v", l.Index, n, err)
			}
		}
		for i := range nodes {
			if got, err := rootOf(uint64(n), leaves, slices.Delete(slices.Clone(nodes), i, i+1), nil); err == nil && got == root {
				t.Errorf("%d leaves: taken without node %d", n, i)
			}
			other := slices.Clone(nodes)
			other[i][random.IntN(32)] ^= 1
			if got, err := rootOf(uint64(n), leaves, other, nil); err != nil || got == root {
				t.Errorf("%d leaves: taken with another node %d, %v", n, i, err)
			}
		}
		if _, err := rootOf(uint64(n), leaves, append(slices.Clone(nodes), root), nil); err == nil {
			t.Errorf("%d leaves: taken with a hash too many", n)
		}
		old := 1 + random.IntN(n)
		p, err := tlog.ProveTree(int64(n), int64(old), s)
		if err != nil {
			t.Fatal(err)
		}
		c := sharedCase{Size: n, Old: old, Nodes: texts(nodes), Consistency: texts(p), Roots: [2]string{texts([]Hash{root})[0], texts([]Hash{rootAt(t, s, old)})[0]}}
		for _, l := range leaves {
			c.Indexes, c.Hashes = append(c.Indexes, l.Index), append(c.Hashes, texts([]Hash{l.Hash})[0])
		}
		cases = append(cases, c)
	}
	input, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "python3", "-B", "-c", second)
	cmd.Dir, cmd.Stdin = filepath.Join("..", "..", "docs", "verify"), bytes.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != fmt.Sprintln(most) {
		t.Errorf("the second verifier: %v\n%s", err, out)
	}
}

// second has docs/verify compute all cases, and refuse each proof of consistency
// with a bit changed, a hash less and a hash more.
const second = `
import base64, json, sys, verify
un = lambda texts: [base64.b64decode(t) for t in texts or []]
cases = json.load(sys.stdin)
for c in cases:
    new, old = un(c["Roots"])
    assert verify.root_of(c["Size"], c["Indexes"] or [], un(c["Hashes"]), un(c["Nodes"]), None) == new, c
    a, b, p = verify.Checkpoint("o", c["Old"], old), verify.Checkpoint("o", c["Size"], new), un(c["Consistency"])
    assert verify.consistent(a, b, p), c
    assert not verify.consistent(a, b, p + [new]), c
    for i in range(len(p)):
        assert not verify.consistent(a, b, p[:i] + p[i + 1:]), c
        assert not verify.consistent(a, b, p[:i] + [bytes([p[i][0] ^ 1]) + p[i][1:]] + p[i + 1:]), c
    assert not verify.consistent(a._replace(root=new[::-1]), b, p), c
print(len(cases))
`
