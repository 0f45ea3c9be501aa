package witness

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/mod/sumdb/note"

	"github.com/custody-audit/custody/processor/seal"
)

// state is what a witness has signed: for each origin the newest checkpoint, with
// its own cosignature, in a file that is named by the origin's hash. It is all
// that a witness must not lose: with an older state it would sign a fork.
type state struct {
	dir  string
	lock *os.File
	own  note.Verifier
}

// openState takes the folder for this process alone.
func openState(dir string, own note.Verifier) (*state, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("witness state: %w", err)
	}
	lock, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("witness state: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("witness state: %s is in use by another witness: %w", dir, err), lock.Close())
	}
	return &state{dir, lock, own}, nil
}

func (s *state) close() error { return s.lock.Close() }

// originHash names an origin in files and URLs.
func originHash(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return hex.EncodeToString(sum[:])
}

// load returns the newest checkpoint of an origin hash with its note; no note is
// none. A file that this witness did not sign is an error: it would be worse to
// begin anew.
func (s *state) load(hash string) (seal.Checkpoint, []byte, error) {
	path := filepath.Join(s.dir, hash)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return seal.Checkpoint{}, nil, nil
	}
	if err != nil {
		return seal.Checkpoint{}, nil, fmt.Errorf("witness state: %w", err)
	}
	n, err := note.Open(b, note.VerifierList(s.own))
	if err != nil {
		return seal.Checkpoint{}, nil, fmt.Errorf("witness state: %s is not what this witness signed: %w", path, err)
	}
	c, err := seal.ParseCheckpoint(n.Text)
	if err == nil && originHash(c.Origin) != hash {
		err = errors.New("it is of another origin")
	}
	if err != nil {
		return c, nil, fmt.Errorf("witness state: %s: %w", path, err)
	}
	return c, b, nil
}

// save replaces the newest checkpoint of an origin; afterwards it is durable.
func (s *state) save(hash string, signed []byte) error {
	path := filepath.Join(s.dir, hash)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("witness state: %w", err)
	}
	_, err = f.Write(signed)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("witness state: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("witness state: %w", err)
	}
	if err := s.lock.Sync(); err != nil {
		return fmt.Errorf("witness state: %w", err)
	}
	return nil
}
