package seal_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/custody-audit/custody/processor/seal"
)

const logName = "audit.example/custody"

var tree = seal.Tree{Topic: "custody.events", Partition: 3, Epoch: "00c0ffee00c0ffee", Base: 120}

func newKey(t *testing.T) *seal.Key {
	t.Helper()
	k, err := seal.CreateKey(filepath.Join(t.TempDir(), "key"), logName)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ring(t *testing.T, trusted *seal.Key, rotations ...*seal.Rotation) *seal.Keyring {
	t.Helper()
	k, err := seal.NewKeyring(logName, trusted.Public(), rotations)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func signed(t *testing.T, k *seal.Key, c seal.Checkpoint) []byte {
	t.Helper()
	b, err := k.SignCheckpoint(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func checkpoint(n uint64) seal.Checkpoint {
	return seal.Checkpoint{Origin: tree.Origin(logName), Size: n, Root: leaf(n)}
}

func TestOrigin(t *testing.T) {
	const want = "audit.example/custody/custody.events/3/00c0ffee00c0ffee/120"
	if got := tree.Origin(logName); got != want {
		t.Errorf("origin %q, want %q", got, want)
	}
	log, got, err := seal.ParseOrigin(want)
	if err != nil || log != logName || got != tree {
		t.Errorf("%q reads as %q %+v, %v", want, log, got, err)
	}
	for _, bad := range []string{"", "a", "a/b/c/d/e", "l/t/1/e/01", "l/t/-1/e/0", "l/t/+1/e/0", "/t/1/e/0", "l/../1/e/0", "../l/t/1/e/0", "l//1/e/0", "l/t/1/e/9223372036854775808", "l /t/1/e/0", "l+/t/1/e/0", "l/t/1//0"} {
		if log, got, err := seal.ParseOrigin(bad); err == nil {
			t.Errorf("%q reads as log %q, %+v", bad, log, got)
		}
	}
}

// The checkpoints are those of c2sp.org/tlog-checkpoint, says torchwood.
func TestTorchwoodReadsCheckpoints(t *testing.T) {
	k := newKey(t)
	c := checkpoint(700)
	v, err := note.NewVerifier(seal.VerifierKey(c.Origin, k.Public()))
	if err != nil {
		t.Fatal(err)
	}
	policy := torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(c.Origin), torchwood.SingleVerifierPolicy(v))
	got, _, err := torchwood.VerifyCheckpoint(signed(t, k, c), policy)
	if err != nil {
		t.Fatal(err)
	}
	if got.Origin != c.Origin || got.Tree != c.Tree() || got.String() != c.Text() {
		t.Errorf("torchwood reads %+v, want %+v", got, c)
	}
	// As a line of a policy file, too.
	policy, err = torchwood.ParsePolicy([]byte("log " + seal.VerifierKey(c.Origin, k.Public()) + "\nquorum none\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := torchwood.VerifyCheckpoint(signed(t, k, c), policy); err != nil {
		t.Error(err)
	}
}

func TestKeyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sub", "key")
	k, err := seal.CreateKey(file, logName)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
	if _, err := seal.CreateKey(file, logName); !errors.Is(err, os.ErrExist) {
		t.Errorf("a key was written over another: %v", err)
	}
	again, err := seal.ReadKey(file)
	if err != nil || !again.Public().Equal(k.Public()) || again.Name() != logName {
		t.Errorf("the file holds another key: %v", err)
	}
	name, public, err := seal.ParseVerifier(again.Verifier())
	if err != nil || name != logName || !public.Equal(k.Public()) {
		t.Errorf("the verifier key reads as %q, %v", name, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	broken := strings.Replace(string(text), "custody+", "other+", 1)
	if _, err := seal.ParseKey(broken); err == nil || strings.Contains(err.Error(), strings.TrimSpace(broken[len(broken)-20:])) {
		t.Errorf("a broken key: %v", err)
	}
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := seal.NewKey(logName, private)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ring(t, signer).OpenCheckpoint(signed(t, signer, checkpoint(1))); err != nil {
		t.Errorf("a key that is a crypto.Signer: %v", err)
	}
}

func TestOpenCheckpoint(t *testing.T) {
	k, other := newKey(t), newKey(t)
	c := checkpoint(700)
	good := signed(t, k, c)
	got, at, err := ring(t, k).OpenCheckpoint(good)
	if err != nil || got != c || at != tree {
		t.Errorf("reads as %+v of %+v, %v", got, at, err)
	}
	if _, _, err := ring(t, other).OpenCheckpoint(good); err == nil {
		t.Error("another key's checkpoint was taken")
	}
	for i := range good { // whatever byte is changed
		bad := []byte(string(good))
		bad[i] ^= 1
		if got, _, err := ring(t, k).OpenCheckpoint(bad); err == nil {
			t.Errorf("taken with byte %d changed, as %+v: %q", i, got, bad)
		}
	}
	if _, err := k.SignCheckpoint(seal.Checkpoint{Origin: tree.Origin("other.example"), Size: 1}); err == nil {
		t.Error("signed for another log")
	}
}

func TestRotation(t *testing.T) {
	first, second, third := newKey(t), newKey(t), newKey(t)
	rotate := func(from, to *seal.Key, heads ...seal.Checkpoint) *seal.Rotation {
		t.Helper()
		b, err := seal.SignRotation(from, to, heads, time.Unix(1_700_000_000, 0))
		if err != nil {
			t.Fatal(err)
		}
		r, err := seal.ParseRotation(b)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			bad := []byte(string(b))
			bad[i] ^= 1
			if _, err := seal.ParseRotation(bad); err == nil {
				t.Errorf("taken with byte %d changed: %q", i, bad)
			}
		}
		return r
	}
	one, two := rotate(first, second, checkpoint(700)), rotate(second, third, checkpoint(900))
	for name, k := range map[string]*seal.Keyring{"from the first": ring(t, first, one, two), "from the last": ring(t, third, two, one)} {
		for _, c := range []struct {
			by   *seal.Key
			size uint64
			ok   bool
		}{{first, 500, true}, {first, 700, true}, {first, 701, false}, {second, 900, true}, {second, 901, false}, {third, 5000, true}} {
			if _, _, err := k.OpenCheckpoint(signed(t, c.by, checkpoint(c.size))); (err == nil) != c.ok {
				t.Errorf("trusting %s, size %d: %v", name, c.size, err)
			}
		}
		if !k.Current().Equal(third.Public()) {
			t.Errorf("trusting %s: another key is current", name)
		}
	}
	// The old key at a tree that the rotation does not know, and at its last size with another root.
	k := ring(t, first, one)
	fork := checkpoint(700)
	fork.Root = leaf(1)
	young := tree
	young.Epoch = "00000000000000aa"
	for _, c := range []seal.Checkpoint{fork, {Origin: young.Origin(logName), Size: 1, Root: leaf(1)}} {
		if _, _, err := k.OpenCheckpoint(signed(t, first, c)); err == nil {
			t.Errorf("taken from a key that was replaced: %+v", c)
		}
	}
	if _, err := seal.NewKeyring(logName, first.Public(), []*seal.Rotation{one, rotate(first, third)}); err == nil {
		t.Error("a key was rotated to two others")
	}
	if k := ring(t, first, two); !k.Current().Equal(first.Public()) {
		t.Error("a rotation of other keys was followed")
	}
}

func TestGap(t *testing.T) {
	k := newKey(t)
	next := tree
	next.Epoch, next.Base = "0123456789abcdef", 5000
	g := seal.Gap{Closed: tree, Size: 700, Root: leaf(700), Next: next, LostFrom: 820, LostTo: 5000, Reason: seal.Overrun, Time: time.Unix(1_700_000_000, 0).UTC()}
	b, err := k.SignGap(g)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ring(t, k).OpenGap(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(g, got); diff != "" {
		t.Errorf("reads as another (-want +got):\n%s", diff)
	}
	for i := range b {
		bad := []byte(string(b))
		bad[i] ^= 1
		if _, err := ring(t, k).OpenGap(bad); err == nil {
			t.Errorf("taken with byte %d changed: %q", i, bad)
		}
	}
	for name, change := range map[string]func(*seal.Gap){
		"reason": func(g *seal.Gap) { g.Reason = "boredom" }, "same epoch": func(g *seal.Gap) { g.Next.Epoch = g.Closed.Epoch },
		"other partition": func(g *seal.Gap) { g.Next.Partition++ }, "backwards": func(g *seal.Gap) { g.LostTo = 1 },
	} {
		bad := g
		change(&bad)
		if _, err := k.SignGap(bad); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
	// One kind of note is not taken for another.
	if _, err := ring(t, k).OpenGap(signed(t, k, checkpoint(1))); err == nil {
		t.Error("a checkpoint was taken for a gap record")
	}
	if _, _, err := ring(t, k).OpenCheckpoint(b); err == nil {
		t.Error("a gap record was taken for a checkpoint")
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add(checkpoint(0).Text())
	f.Add(checkpoint(1<<62).Text() + "extension\n")
	f.Add("a\n1\nAAAA\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := seal.ParseCheckpoint(text)
		o, other := torchwood.ParseCheckpoint(text)
		if err != nil {
			return
		}
		if other != nil || c.Text() != text || o.Tree != c.Tree() || o.Origin != c.Origin {
			t.Errorf("%q reads as %+v; torchwood reads %+v, %v", text, c, o, other)
		}
	})
}

func FuzzParseOrigin(f *testing.F) {
	f.Add(tree.Origin(logName))
	f.Add("l/../1/e/0")
	f.Fuzz(func(t *testing.T, origin string) {
		log, of, err := seal.ParseOrigin(origin)
		if err != nil {
			return
		}
		if of.Origin(log) != origin || filepath.Clean(origin) != origin || !filepath.IsLocal(origin) {
			t.Errorf("%q reads as log %q, %+v", origin, log, of)
		}
	})
}

func FuzzParseRotation(f *testing.F) {
	from, err1 := seal.NewKey(logName, ed25519.NewKeyFromSeed(make([]byte, 32))) // the same in every process of the fuzzer
	to, err2 := seal.NewKey(logName, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)))
	good, err3 := seal.SignRotation(from, to, []seal.Checkpoint{checkpoint(7)}, time.Unix(1_700_000_000, 0))
	want, err4 := seal.ParseRotation(good)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, signed []byte) {
		if r, err := seal.ParseRotation(signed); err == nil && !cmp.Equal(r, want) {
			t.Errorf("%q reads as %+v", signed, r)
		}
	})
}

// The first key of a ring is the one that replaced no other, whichever is trusted.
func TestFirstKey(t *testing.T) {
	keys := []*seal.Key{newKey(t), newKey(t), newKey(t)}
	var rotations []*seal.Rotation
	for i := range 2 {
		b, err := seal.SignRotation(keys[i], keys[i+1], nil, time.Unix(1_700_000_000, 0))
		if err != nil {
			t.Fatal(err)
		}
		r, err := seal.ParseRotation(b)
		if err != nil {
			t.Fatal(err)
		}
		rotations = append(rotations, r)
	}
	for i, trusted := range keys {
		if got := ring(t, trusted, rotations...); !got.First().Equal(keys[0].Public()) || !got.Current().Equal(keys[2].Public()) {
			t.Errorf("trusting key %d: the first or the newest is another", i)
		}
	}
}
