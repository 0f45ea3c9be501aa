package proof_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/story"
)

// The log grows between two bundles: the second continues the first, the first is
// made again to the byte, and held against what is known each shows when it is old
// or of another history.
func TestHistory(t *testing.T) {
	e := newEstate(t, true)
	all := story.Events()
	e.send(all[:30]...)
	first := e.export(e.request("tenant:acme", ""))
	e.send(all[30:]...)
	req := e.request("tenant:acme", "")
	req.From = checkpoints(t, first)
	second := e.export(req)
	r := e.intact(second, checkpoints(t, first)...)
	if i := slices.IndexFunc(r.Trees, func(t proof.TreeReport) bool { return t.From > 0 && t.From < t.Size }); i < 0 {
		t.Errorf("no tree continues an earlier one: %+v", r.Trees)
	}
	e.intact(second, checkpoints(t, second)...)
	again := e.request("tenant:acme", "")
	again.At = checkpoints(t, first)
	if b := e.export(again); !bytes.Equal(b, first) {
		t.Error("about the checkpoints of the first bundle the bytes are others")
	}

	p := policy(t, e.policyText())
	if r := judged(t, first, e.policyText(), checkpoints(t, second)...); r.Class != proof.Truncated {
		t.Errorf("a log as of an old backup: %+v", r.Problems)
	}
	if r := judged(t, second, e.policyText(), e.otherHistory(first)...); r.Class != proof.Fork {
		t.Errorf("another history up to the earlier checkpoint: %+v", r.Problems)
	}
	if r := judged(t, second, e.policyText(), e.otherHistory(second)...); r.Class != proof.Fork {
		t.Errorf("another history up to the newest checkpoint: %+v", r.Problems)
	}
	if r := judged(t, second, e.policyText(), slices.Concat(checkpoints(t, first), e.otherHistory(first))...); r.Class != proof.Fork {
		t.Errorf("what is known are two histories: %+v", r.Problems)
	}
	plain := e.export(e.request("tenant:acme", ""))
	judged(t, plain, e.policyText(), checkpoints(t, first)...)
	if _, err := proof.Verify(bytes.NewReader(plain), p, checkpoints(t, first)); !errors.Is(err, proof.ErrUnreadable) || !strings.Contains(err.Error(), "--from-checkpoint") {
		t.Errorf("a bundle that does not prove that it continues what is known: %v", err)
	}
	forked := e.request("tenant:acme", "")
	forked.From = e.otherHistory(first)
	if _, _, err := e.try(forked, e.key); err == nil || !strings.Contains(err.Error(), "has forked") {
		t.Errorf("exported from another history: %v", err)
	}
	// Who has the key puts it into the bundle all the same.
	i := 0
	other := slices.Collect(func(yield func(proof.Packed) bool) {
		for _, f := range unpack(t, second) {
			if strings.HasSuffix(f.Name, "/from") {
				f.Content = e.otherHistory(first)[i]
				i++
			}
			if !yield(f) {
				return
			}
		}
	})
	if r := judged(t, proof.Pack(resigned(e, other)), e.policyText()); r.Class != proof.Fork {
		t.Errorf("the bundle continues another history: %+v", r.Problems)
	}
}

// otherHistory are checkpoints like those of a bundle, signed by the log, of other
// records.
func (e *estate) otherHistory(bundle []byte) (notes [][]byte) {
	e.Helper()
	for _, note := range checkpoints(e, bundle) {
		text, _, _ := strings.Cut(string(note), "\n\n")
		c, err := seal.ParseCheckpoint(text + "\n")
		if err != nil {
			e.Fatal(err)
		}
		c.Root[0] ^= 1
		signed, err := e.key.SignCheckpoint(c)
		if err != nil {
			e.Fatal(err)
		}
		notes = append(notes, signed)
	}
	return notes
}

// The log's key is replaced. Who trusts either key takes the bundles of both; a
// log whose key was replaced by two others has forked.
func TestRotation(t *testing.T) {
	e := newEstate(t, false)
	e.send(story.Events()...)
	next, third := newKey(t, logName), newKey(t, logName)
	trees, err := e.folder.Trees(logName)
	if err != nil {
		t.Fatal(err)
	}
	var heads []seal.Checkpoint
	for _, p := range trees {
		c, _, err := e.ring().OpenCheckpoint(p.Checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, c)
	}
	rotation, err := seal.SignRotation(e.key, next, heads, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := e.folder.PutRotation(rotation); err != nil {
		t.Fatal(err)
	}
	bundle, _, err := e.try(e.request("", ""), next)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []*seal.Key{e.key, next} {
		if r := judged(t, bundle, "log "+k.Verifier()+"\n"); !r.Intact {
			t.Errorf("%+v", r.Problems)
		}
	}
	if late := e.export(e.request("", "")); judged(t, late, "log "+next.Verifier()+"\n").Class != proof.Signature {
		t.Error("the manifest may be signed by a key that was replaced")
	}
	split, err := seal.SignRotation(e.key, third, heads, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	files := unpack(t, bundle)
	files = slices.Insert(files, 3, proof.Packed{Name: "rotations/1", Content: split})
	if r := judged(t, proof.Pack(files), "log "+e.key.Verifier()+"\n"); r.Class != proof.Fork {
		t.Errorf("two keys follow one: %+v", r.Problems)
	}
}

// Nobody cosigns: the bundle and its reader say so, and who wants witnesses
// refuses it. A key for reports signs where the reader takes it.
func TestUnwitnessed(t *testing.T) {
	e := newEstate(t, false)
	e.send(story.Events()...)
	bundle := e.export(e.request("", ""))
	if r := e.intact(bundle); !r.Unwitnessed || !strings.Contains(content(unpack(t, bundle), "manifest.json"), `"unwitnessed": true`) {
		t.Errorf("it does not say so: %+v", r)
	}
	w := newKey(t, witnessName)
	want := e.policyText() + "witness w " + w.CosignerKey() + " https://witness.example\ngroup g any w\nquorum "
	if r := judged(t, bundle, want+"g\n"); r.Class != proof.Witness {
		t.Errorf("%+v", r.Problems)
	}
	if r := judged(t, bundle, want+"none\n"); !r.Intact || !r.Unwitnessed {
		t.Errorf("%+v", r)
	}
	reports := newKey(t, "reports.example")
	signed, _, err := e.try(e.request("", ""), reports)
	if err != nil {
		t.Fatal(err)
	}
	if r := judged(t, signed, e.policyText()+"report "+reports.Verifier()+"\n"); !r.Intact || r.Signer != "reports.example" {
		t.Errorf("%+v", r)
	}
	if r := judged(t, signed, e.policyText()); r.Class != proof.Signature {
		t.Errorf("%+v", r.Problems)
	}
	if r := judged(t, signed, e.policyText()+"report "+newKey(t, "reports.example").Verifier()+"\n"); r.Class != proof.Signature {
		t.Errorf("%+v", r.Problems)
	}
}

// A tree that ended says so, by a record that the log signed of this tree.
func TestClosedTree(t *testing.T) {
	e := newEstate(t, false)
	e.send(story.Events()...)
	head, tree, err := e.ring().OpenCheckpoint(checkpoints(t, e.export(e.request("", "")))[0])
	if err != nil {
		t.Fatal(err)
	}
	next := tree
	next.Epoch, next.Base = "00c0ffee00c0ffee", tree.Base+head.Size+7
	gap := seal.Gap{Closed: tree, Size: head.Size, Root: head.Root, Next: next, LostFrom: tree.Base + head.Size, LostTo: next.Base, Reason: seal.Overrun, Time: time.Now().UTC().Truncate(time.Second)}
	record := func(k *seal.Key, change func(g *seal.Gap)) string {
		t.Helper()
		g := gap
		if change != nil {
			change(&g)
		}
		signed, err := k.SignGap(g)
		if err != nil {
			t.Fatal(err)
		}
		return string(signed)
	}
	if err := os.WriteFile(filepath.Join(e.dir, head.Origin, "gap"), []byte(record(e.key, nil)), 0o600); err != nil {
		t.Fatal(err)
	}
	bundle := e.export(e.request("", ""))
	if r := judged(t, bundle, e.policyText()); !r.Intact || r.Trees[0].Closed != "retention_overrun, 7 lost" {
		t.Errorf("%+v", r)
	}
	for want, other := range map[proof.Class][]string{
		proof.Signature: {record(newKey(t, logName), nil)},
		proof.Content: {record(e.key, func(g *seal.Gap) { g.Root[0] ^= 1 }), record(e.key, func(g *seal.Gap) { g.Size-- }),
			record(e.key, func(g *seal.Gap) { g.Closed.Base++ })},
	} {
		for _, text := range other {
			changed := inFile("/gap", func(string) string { return text })(e, unpack(t, bundle))
			if r := judged(t, proof.Pack(resigned(e, changed)), e.policyText()); r.Class != want {
				t.Errorf("class %q, want %q: %+v", r.Class, want, r.Problems)
			}
		}
	}
}
