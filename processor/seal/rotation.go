package seal

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Rotation hands a log from one key to another. It lists the newest checkpoint
// of every tree: what the old key signed beyond is not accepted, so that a key
// which is stolen later proves nothing about the past and nothing new.
type Rotation struct {
	Log      string
	Old, New ed25519.PublicKey
	Heads    []Checkpoint // one of each tree, by origin
	Time     time.Time    // to the second
}

const rotationTitle = "custody/key-rotation/v1"

func (r *Rotation) text() string {
	var sb strings.Builder
	fmt.Fprintf(&sb, "%s\nold %s\nnew %s\ntime %s\n", rotationTitle, VerifierKey(r.Log, r.Old), VerifierKey(r.Log, r.New), r.Time.UTC().Format(time.RFC3339))
	for _, h := range r.Heads {
		fmt.Fprintf(&sb, "%s %d %s\n", h.Origin, h.Size, base64.StdEncoding.EncodeToString(h.Root[:]))
	}
	return sb.String()
}

// SignRotation returns the note, signed by the key that goes and the one that comes.
func SignRotation(from, to *Key, heads []Checkpoint, at time.Time) ([]byte, error) {
	if from.name != to.name {
		return nil, fmt.Errorf("rotate key: both must be of one log, these are of %q and %q", from.name, to.name)
	}
	if from.public.Equal(to.public) {
		return nil, errors.New("rotate key: the new key is the old one")
	}
	heads = slices.Clone(heads)
	slices.SortFunc(heads, func(a, b Checkpoint) int { return strings.Compare(a.Origin, b.Origin) })
	r := &Rotation{from.name, from.public, to.public, heads, at}
	n := &note.Note{Text: r.text()}
	for _, k := range []*Key{from, to} {
		v, err := verifier(k.name, k.public)
		if err != nil {
			return nil, err
		}
		signed, err := note.Sign(n, &noteSigner{v, k.signer})
		if err != nil {
			return nil, fmt.Errorf("rotate key: %w", err)
		}
		if n, err = openNote(signed, r); err != nil {
			return nil, fmt.Errorf("rotate key: the signature does not verify: %w", err)
		}
	}
	return note.Sign(n)
}

// Verifier implements note.Verifiers with the two keys.
func (r *Rotation) Verifier(name string, hash uint32) (note.Verifier, error) {
	for _, public := range []ed25519.PublicKey{r.Old, r.New} {
		v, err := verifier(r.Log, public)
		if err == nil && v.Name() == name && v.KeyHash() == hash {
			return v, nil
		}
	}
	return nil, &note.UnknownVerifierError{Name: name, KeyHash: hash}
}

// ParseRotation reads a rotation and verifies both signatures. Whether its keys
// are to be trusted is the reader's question.
func ParseRotation(signed []byte) (*Rotation, error) {
	lines := strings.Split(string(signed), "\n")
	if len(lines) < 5 || lines[0] != rotationTitle {
		return nil, errors.New("rotation record: it is not one")
	}
	r := &Rotation{}
	var err1, err2, err3 error
	r.Log, r.Old, err1 = ParseVerifier(strings.TrimPrefix(lines[1], "old "))
	_, r.New, err2 = ParseVerifier(strings.TrimPrefix(lines[2], "new "))
	r.Time, err3 = time.Parse("time "+time.RFC3339, lines[3])
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("rotation record: %w", err)
	}
	for _, line := range lines[4:] {
		if line == "" {
			break
		}
		h, err := parseHead(line)
		if err != nil {
			return nil, err
		}
		r.Heads = append(r.Heads, h)
	}
	n, err := openNote(signed, r)
	if err != nil {
		return nil, fmt.Errorf("rotation record: %w", err)
	}
	if len(n.Sigs) != 2 || n.Text != r.text() || r.Old.Equal(r.New) {
		return nil, errors.New("rotation record: want its one form and the signatures of two keys")
	}
	return r, nil
}

func parseHead(line string) (Checkpoint, error) {
	fields := strings.Split(line, " ")
	if len(fields) != 3 {
		return Checkpoint{}, fmt.Errorf("rotation record: %q is no tree", line)
	}
	h, err := ParseCheckpoint(strings.Join(fields, "\n") + "\n")
	if err != nil {
		return h, fmt.Errorf("rotation record: %w", err)
	}
	return h, nil
}

// head returns what the rotation says of a tree.
func (r *Rotation) head(origin string) (Checkpoint, error) {
	for _, h := range r.Heads {
		if h.Origin == origin {
			return h, nil
		}
	}
	return Checkpoint{}, errors.New("the tree is younger than the key's rotation, " + strconv.Quote(origin))
}
