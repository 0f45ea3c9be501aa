package proof

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/processor/seal"
)

// FuzzVerify gives the verifier what somebody wrote who has the log's key: the
// manifest is signed, whatever it and the files say. It must not crash, and what it
// takes must be so: each event is a record of the tree.
func FuzzVerify(f *testing.F) {
	const n = 11
	key, err := seal.NewKey("audit.example/custody", ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		f.Fatal(err)
	}
	policy, err := ParsePolicy(strings.NewReader("log " + key.Verifier() + "\n"))
	if err != nil {
		f.Fatal(err)
	}
	tree := seal.Tree{Topic: "custody.events", Epoch: "e", Base: 100}
	s := grown(f, n)
	checkpoint, err := key.SignCheckpoint(seal.Checkpoint{Origin: tree.Origin(key.Name()), Size: n, Root: rootAt(f, s, n)})
	if err != nil {
		f.Fatal(err)
	}
	leaves := []Leaf{{Index: 3, Hash: tlog.RecordHash(record(3)), Length: uint64(len(record(3))), Open: true}, {Index: 4, Hash: tlog.RecordHash(record(4))}, {Index: 5, Hash: tlog.RecordHash(record(5)), Length: uint64(len(record(5))), Open: true}}
	nodes, err := nodesBeside(n, leaves, s)
	if err != nil {
		f.Fatal(err)
	}
	var list, events []byte
	for i := range leaves {
		list = appendLeaf(list, tree.Base, &leaves[i])
		if leaves[i].Open {
			events = append(append(events, record(int(leaves[i].Index))...), '\n')
		}
	}
	f.Add(list, formatHashes(nodes), events, []byte(nil), uint64(103), uint64(106), uint64(2), uint64(1), false)
	f.Add(list, formatHashes(nodes), events, []byte(nil), uint64(0), uint64(0), uint64(2), uint64(0), false)
	f.Add(list, formatHashes(nodes), events, []byte("x"), uint64(103), uint64(1<<63), uint64(2), uint64(1<<63), true)
	good := slices.Concat(list, formatHashes(nodes), events)
	f.Fuzz(func(t *testing.T, list, nodes, events, extra []byte, from, to, disclosed, others uint64, proofs bool) {
		part := TreePart{Origin: tree.Origin(key.Name()), Size: n, Events: disclosed, Unwitnessed: true}
		if to > 0 {
			part.Range = &Range{From: from, To: to, Disclosed: disclosed, OtherTenants: others}
		}
		m := Manifest{Format: Format, Log: key.Name(), Events: disclosed, Trees: []TreePart{part}, TlogProofs: proofs}
		files := []entry{newEntry(treeName(0, fileCheckpoint), checkpoint), newEntry(treeName(0, fileLeaves), list), newEntry(treeName(0, fileNodes), nodes)}
		if extra != nil {
			files = append(files, newEntry(tlogName(0, 103), extra))
		}
		files = append(files, newEntry(treeName(0, fileEvents), events))
		for i := range files {
			m.Files = append(m.Files, files[i].file())
		}
		manifest, err := encodeManifest(&m)
		if err != nil {
			t.Fatal(err)
		}
		note, err := key.Sign(manifestText(manifest))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := writeArchive(&b, append([]entry{newEntry(fileManifest, manifest), newEntry(fileNote, note)}, files...)); err != nil {
			t.Fatal(err)
		}
		var taken uint64
		r, err := Extract(&b, policy, func(seal.Tree, uint64) bool { return true }, func(x *Extracted) error {
			if want := record(int(x.Offset - tree.Base)); !bytes.Equal(x.Raw, want) {
				t.Errorf("offset %d is proven to be %q", x.Offset, x.Raw)
			}
			taken++
			return nil
		})
		if err != nil && !errors.Is(err, ErrUnreadable) {
			t.Fatal(err)
		}
		if whole := bytes.Equal(slices.Concat(list, nodes, events), good) && from == 103 && to == 106 && disclosed == 2 && others == 1 && extra == nil && !proofs; whole && !r.Intact {
			t.Errorf("refused as it should be: %+v", r.Problems)
		}
		if err == nil && r.Intact && (taken != disclosed || r.Events != disclosed || to > 0 && to-from != disclosed+others) {
			t.Errorf("intact with %d events of %d, range %d to %d", taken, disclosed, from, to)
		}
	})
}
