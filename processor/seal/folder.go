package seal

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Folder publishes notes outside ClickHouse, in files whose paths are the names
// of what they are about: ORIGIN/checkpoint is the newest of a tree,
// ORIGIN/witnessed the newest that a witness cosigned, ORIGIN/gap the record of
// the tree's end, ORIGIN/retention-ID one of what was deleted by policy, LOG/rotation-OLD-NEW a change of keys. Served over HTTP, a
// tree's origin is then where its checkpoint is found.
//
// What a method returned is durable; a reader sees the old file or the new one.
// Several processes may publish into one folder: the larger tree stays. The
// folder is worth what its permissions are: who can write there and to
// ClickHouse can roll both back, which witnesses and copies elsewhere show.
type Folder struct{ dir string }

// OpenFolder makes the folder where there is none.
func OpenFolder(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("folder of checkpoints: %w", err)
	}
	return &Folder{dir}, nil
}

const (
	fileCheckpoint = "checkpoint"
	fileWitnessed  = "witnessed"
	fileGap        = "gap"
	rotationPrefix = "rotation-"

	retentionPrefix = "retention-"

	maxFile = 1 << 20 // a rotation names every tree, some 6,000 at most
)

// putHead publishes a checkpoint as the newest, unless a larger one is there.
func (f *Folder) putHead(name string, c Checkpoint, signed []byte) error {
	return f.put(c.Origin, name, signed, func(old []byte) bool {
		was, err := ParseCheckpoint(noteText(old))
		return err != nil || was.Size <= c.Size // what is not readable is replaced: it is an anchor no more
	})
}

// put writes a file below a name, if replaces agrees or there is none.
func (f *Folder) put(name, file string, content []byte, replaces func(old []byte) bool) (err error) {
	dir := filepath.Join(f.dir, filepath.FromSlash(name))
	if err := makeDir(dir); err != nil {
		return fmt.Errorf("publish %s: %w", name, err)
	}
	lock, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("publish %s: %w", name, err)
	}
	defer lock.Close() // unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("publish %s: lock: %w", name, err)
	}
	path := filepath.Join(dir, file)
	old, err := os.ReadFile(path)
	if err == nil && !replaces(old) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("publish %s: %w", name, err)
	}
	if err := writeFile(path, content); err != nil {
		return fmt.Errorf("publish %s: %w", name, err)
	}
	if err := lock.Sync(); err != nil {
		return fmt.Errorf("publish %s: %w", name, err)
	}
	return nil
}

// writeFile replaces a file whole. The directory is still to be synced.
func writeFile(path string, content []byte) error {
	tmp := path + ".new" // one writer at a time, by the lock
	file, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// makeDir makes a folder and those above it durable.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// read returns a file below a name, nil for none.
func (f *Folder) read(name, file string) ([]byte, error) {
	path := filepath.Join(f.dir, filepath.FromSlash(name), file)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s: the note is too large", path)
	}
	return b, err
}

// Rotations are the changes of a log's keys. A file that is not one is an error.
func (f *Folder) Rotations(log string) ([]*Rotation, error) {
	notes, err := f.RotationNotes(log)
	if err != nil {
		return nil, err
	}
	var out []*Rotation
	for _, b := range notes {
		r, err := ParseRotation(b)
		if err != nil {
			return nil, fmt.Errorf("read rotations of log %s: %w", log, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// RotationNotes are the notes of those changes, in the order of their files' names.
func (f *Folder) RotationNotes(log string) ([][]byte, error) {
	entries, err := os.ReadDir(filepath.Join(f.dir, filepath.FromSlash(log)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read rotations: %w", err)
	}
	var out [][]byte
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), rotationPrefix) || e.IsDir() || strings.HasSuffix(e.Name(), ".new") {
			continue
		}
		b, err := f.read(log, e.Name())
		if err != nil {
			return nil, fmt.Errorf("read rotations: %w", err)
		}
		out = append(out, b)
	}
	return out, nil
}

// Keyring trusts a key of a log and those that the published rotations lead to.
// Without a folder it is that key alone.
func (f *Folder) Keyring(log string, trusted ed25519.PublicKey) (*Keyring, error) {
	if f == nil {
		return NewKeyring(log, trusted, nil)
	}
	rotations, err := f.Rotations(log)
	if err != nil {
		return nil, err
	}
	return NewKeyring(log, trusted, rotations)
}

// PutRotation publishes a change of keys; one that is there stays.
func (f *Folder) PutRotation(signed []byte) error {
	r, err := ParseRotation(signed)
	if err != nil {
		return err
	}
	return f.put(r.Log, rotationPrefix+short(r.Old)+"-"+short(r.New), signed, func([]byte) bool { return false })
}

// Published is what the folder has of a tree.
type Published struct {
	Checkpoint []byte // the newest
	Witnessed  []byte // the newest with a cosignature; nil for none
	Gap        []byte // the record of the tree's end; nil while it grows
}

// Trees returns what is published of each tree of a log, by origin. Nothing is
// verified.
func (f *Folder) Trees(log string) (map[string]Published, error) {
	out := map[string]Published{}
	root := filepath.Join(f.dir, filepath.FromSlash(log))
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == root {
			return fs.SkipAll
		}
		if err != nil || !d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(f.dir, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if l, _, err := ParseOrigin(name); err != nil || l != log {
			return nil
		}
		p, err := f.Tree(name)
		out[name] = p
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read folder of checkpoints: %w", err)
	}
	return out, nil
}

// Tree returns what is published of one tree.
func (f *Folder) Tree(origin string) (p Published, err error) {
	var errs [3]error
	p.Checkpoint, errs[0] = f.read(origin, fileCheckpoint)
	p.Witnessed, errs[1] = f.read(origin, fileWitnessed)
	p.Gap, errs[2] = f.read(origin, fileGap)
	return p, errors.Join(errs[:]...)
}
