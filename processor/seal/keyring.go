package seal

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Keyring verifies what a log signed: it trusts one key and those that
// rotations lead to from there, in both directions, since both keys sign a
// rotation. It does not change after it was made.
type Keyring struct {
	log  string
	keys []ringKey
}

type ringKey struct {
	public ed25519.PublicKey
	until  *Rotation // that replaced the key; nil for the one in use
}

// NewKeyring trusts a key. Rotations may be in any order; one that leads nowhere
// is ignored, and two away from the same key are an error: the log has split.
func NewKeyring(log string, trusted ed25519.PublicKey, rotations []*Rotation) (*Keyring, error) {
	k := &Keyring{log: log, keys: []ringKey{{public: trusted}}}
	for grown := true; grown; {
		grown = false
		for _, r := range rotations {
			changed, err := k.follow(r)
			if err != nil {
				return nil, err
			}
			grown = grown || changed
		}
	}
	return k, nil
}

// follow takes a rotation up; it tells whether that is new.
func (k *Keyring) follow(r *Rotation) (bool, error) {
	from, to := k.find(r.Old), k.find(r.New)
	if r.Log != k.log || from < 0 && to < 0 {
		return false, nil
	}
	if from < 0 {
		k.keys = append(k.keys, ringKey{r.Old, r})
		return true, nil
	}
	if was := k.keys[from].until; was != nil && was.text() != r.text() {
		return false, fmt.Errorf("log %q: its key %s was rotated twice, to %s and to %s", k.log, short(r.Old), short(was.New), short(r.New))
	}
	if k.keys[from].until != nil && to >= 0 {
		return false, nil
	}
	k.keys[from].until = r
	if to < 0 {
		k.keys = append(k.keys, ringKey{public: r.New})
	}
	return true, nil
}

func (k *Keyring) find(public ed25519.PublicKey) int {
	for i := range k.keys {
		if k.keys[i].public.Equal(public) {
			return i
		}
	}
	return -1
}

func short(public ed25519.PublicKey) string { return VerifierKey("key", public)[4:12] }

// Log is the name of the log.
func (k *Keyring) Log() string { return k.log }

// Current is the key that signs now: the one that no rotation replaced.
func (k *Keyring) Current() ed25519.PublicKey {
	for _, key := range k.keys {
		if key.until == nil {
			return key.public
		}
	}
	return nil // rotations in a circle
}

// First is the key that replaced none of those that are trusted: with it and the
// rotations that a bundle has, one of any age is verified.
func (k *Keyring) First() ed25519.PublicKey {
	for _, key := range k.keys {
		if !slices.ContainsFunc(k.keys, func(other ringKey) bool { return other.until != nil && other.until.New.Equal(key.public) }) {
			return key.public
		}
	}
	return nil // rotations in a circle
}

// OpenCheckpoint verifies a checkpoint of one of the log's trees. Signatures of
// others, such as witnesses, are left alone.
func (k *Keyring) OpenCheckpoint(signed []byte) (Checkpoint, Tree, error) {
	name := origin(signed)
	log, tree, err := ParseOrigin(name)
	if err != nil {
		return Checkpoint{}, tree, err
	}
	if log != k.log {
		return Checkpoint{}, tree, fmt.Errorf("checkpoint of log %q: want one of %q", log, k.log)
	}
	text, key, err := k.open(name, signed)
	if err != nil {
		return Checkpoint{}, tree, fmt.Errorf("checkpoint of %s: %w", tree, err)
	}
	c, err := ParseCheckpoint(text)
	if err != nil || key.until == nil {
		return c, tree, err
	}
	head, err := key.until.head(name)
	if err == nil && (c.Size > head.Size || c.Size == head.Size && c.Root != head.Root) {
		err = fmt.Errorf("size %d is beyond what the key had signed when it was replaced, %d", c.Size, head.Size)
	}
	if err != nil {
		return Checkpoint{}, tree, fmt.Errorf("checkpoint of %s by a key that was replaced: %w", tree, err)
	}
	return c, tree, nil
}

// OpenGap verifies a gap record.
func (k *Keyring) OpenGap(signed []byte) (Gap, error) {
	text, _, err := k.open(k.log, signed)
	if err != nil {
		return Gap{}, fmt.Errorf("gap record: %w", err)
	}
	return parseGap(k.log, text)
}

// Open verifies a note of the log itself, see [Key.Sign], that the key in use
// signed, and returns its text.
func (k *Keyring) Open(signed []byte) (string, error) {
	text, key, err := k.open(k.log, signed)
	if err == nil && key.until != nil {
		err = errors.New("its key was replaced")
	}
	if err != nil {
		return "", fmt.Errorf("note: %w", err)
	}
	return text, nil
}

// open verifies a note that one of the keys signed under a name, preferring the
// one that is not replaced.
func (k *Keyring) open(name string, signed []byte) (string, ringKey, error) {
	if len(signed) > MaxNote {
		return "", ringKey{}, errors.New("the note is too large")
	}
	var verifiers []note.Verifier
	for _, key := range k.keys {
		v, err := verifier(name, key.public)
		if err != nil {
			return "", ringKey{}, err
		}
		verifiers = append(verifiers, v)
	}
	n, err := openNote(signed, note.VerifierList(verifiers...))
	if err != nil {
		return "", ringKey{}, fmt.Errorf("no signature of log %q: %w", k.log, err)
	}
	best := -1
	for _, s := range n.Sigs {
		for i, v := range verifiers {
			if v.KeyHash() == s.Hash && (best < 0 || k.keys[i].until == nil) {
				best = i
			}
		}
	}
	return n.Text, k.keys[best], nil
}

// String lists the keys as verifier keys, a line each.
func (k *Keyring) String() string {
	var sb strings.Builder
	for _, key := range k.keys {
		sb.WriteString(VerifierKey(k.log, key.public) + "\n")
	}
	return sb.String()
}
