package seal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxNote bounds a signed note that is read: room for a checkpoint with some
// hundred cosignatures.
const MaxNote = 64 << 10

// Checkpoint is the head of a tree, in the form of c2sp.org/tlog-checkpoint.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   Hash
	// Extension is empty or lines that end in newlines. Custody writes none.
	Extension string
}

// Text is what is signed.
func (c Checkpoint) Text() string {
	return c.Origin + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n" + c.Extension
}

// Tree is the checkpoint's tree in the terms of tlog.
func (c Checkpoint) Tree() tlog.Tree { return tlog.Tree{N: int64(c.Size), Hash: c.Root} }

// ParseCheckpoint reads the text of a checkpoint, without signatures.
func ParseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 4 || lines[0] == "" {
		return Checkpoint{}, errors.New("checkpoint: want origin, size and root, a line each")
	}
	c := Checkpoint{Origin: lines[0], Extension: lines[3]}
	var err error
	if c.Size, err = strconv.ParseUint(lines[1], 10, 63); err != nil {
		return Checkpoint{}, errors.New("checkpoint: the second line is not a size")
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || copy(c.Root[:], root) != tlog.HashSize || len(root) != tlog.HashSize {
		return Checkpoint{}, errors.New("checkpoint: the third line is not a hash")
	}
	if c.Extension != "" && !strings.HasSuffix(c.Extension, "\n") || strings.Contains("\n"+c.Extension, "\n\n") || c.Text() != text {
		return Checkpoint{}, errors.New("checkpoint: it is not in its one form")
	}
	return c, nil
}

// origin returns the first line of a note, of which nothing is verified.
func origin(signed []byte) string {
	line, _, _ := strings.Cut(string(signed[:min(len(signed), 1024)]), "\n")
	return line
}

// noteText is the text of a note, without signatures and not verified.
func noteText(signed []byte) string {
	text, _, _ := bytes.Cut(signed, []byte("\n\n")) // a checkpoint has no empty line
	return string(text) + "\n"
}

// openNote is note.Open, and refuses a signature that is not in its one form:
// base64 may end in bits that mean nothing.
func openNote(signed []byte, known note.Verifiers) (*note.Note, error) {
	n, err := note.Open(signed, known)
	if err != nil {
		return nil, err
	}
	for _, s := range n.Sigs {
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return nil, fmt.Errorf("signature of %s: %w", s.Name, err)
		}
	}
	return n, nil
}
