package tail

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// position is how far a file is acknowledged, and how to know it again under
// another name.
type position struct {
	// ID names the file in origins. It is random: equal lines at equal places of
	// two files are two events.
	ID string `json:"id"`
	// Offset of the first byte that is not acknowledged.
	Offset int64 `json:"offset"`
	// Hash is the SHA-256 of the first Length bytes, in hex.
	Hash   string `json:"hash"`
	Length int64  `json:"length"`

	head []byte // the first Length bytes
}

// maxPrint is how many bytes at most a file is known by.
const maxPrint = 4096

func newPosition(offset int64) position {
	return position{ID: rand.Text(), Offset: offset, Hash: print(nil)}
}

// origin names the next byte, for the collector.
func (p *position) origin() string { return fmt.Sprintf("%s:%d", p.ID, p.Offset) }

// pass goes on over bytes that were acknowledged. What the file begins with is
// noted from what was sent: the file may begin anew at any moment.
func (p *position) pass(sent []byte, skipped int64) {
	if int64(len(p.head)) == p.Offset {
		p.note(sent)
	}
	p.Offset += int64(len(sent)) + skipped
}

// note adds to what the file begins with.
func (p *position) note(b []byte) {
	p.head = append(p.head, b[:min(len(b), maxPrint-len(p.head))]...)
	p.Hash, p.Length = print(p.head), int64(len(p.head))
}

// matches tells whether a file begins as the one of the position does.
func (p *position) matches(f io.ReaderAt) bool {
	b := make([]byte, p.Length)
	n, err := f.ReadAt(b, 0)
	if int64(n) != p.Length || err != nil && !errors.Is(err, io.EOF) || print(b) != p.Hash {
		return false
	}
	p.head = b
	return true
}

func print(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// save replaces the checkpoint so that it survives loss of power.
func (p *position) save(path string) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	return nil
}

// loadPosition reads the checkpoint, and when it was written.
func loadPosition(path string) (p position, written time.Time, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return position{}, time.Time{}, err
	}
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if info, e := os.Stat(path); e == nil {
		written = info.ModTime()
	}
	if err == nil && (p.ID == "" || p.Offset < 0 || p.Length < 0 || p.Length > maxPrint) {
		err = errors.New("it is none")
	}
	if err != nil {
		return position{}, time.Time{}, fmt.Errorf("read checkpoint %s: %w; remove it to begin anew", path, err)
	}
	return p, written, nil
}

// resume goes on where the checkpoint says.
func (t *Tail) resume() error {
	at, written, err := loadPosition(t.cfg.Checkpoint)
	if errors.Is(err, fs.ErrNotExist) {
		return t.first()
	}
	if err != nil {
		return err
	}
	t.at = at
	return t.search(written)
}

// search finds the file of the position under whatever name it has now. When it is
// gone, what follows it was written after the given time.
func (t *Tail) search(written time.Time) error {
	t.close()
	if t.file = find(&t.at, t.cfg.Path); t.file != nil {
		return nil
	}
	rotated, err := t.later(time.Unix(0, 0)) // now: it may be rotated while we look
	if err != nil {
		return err
	}
	for _, path := range rotated {
		if t.file = find(&t.at, path); t.file != nil {
			return nil
		}
	}
	t.cfg.Logger.Warn("the file of the checkpoint is gone; lines of it that were not sent are lost", "offset", t.at.Offset)
	t.after = written
	return nil
}

// first begins with a file for which there is no checkpoint.
func (t *Tail) first() error {
	if !t.cfg.FromEnd {
		return nil
	}
	f, err := os.Open(t.cfg.Path)
	if err != nil {
		return nil // Run waits for it
	}
	at := newPosition(0)
	info, err := f.Stat()
	if err == nil {
		head := make([]byte, min(info.Size(), maxPrint))
		_, err = f.ReadAt(head, 0)
		at.note(head)
		at.Offset = info.Size()
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	t.file, t.at = f, at
	return nil
}

// find opens the file if it is the one of the position.
func find(p *position, path string) *os.File {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	if info, err := f.Stat(); err != nil || info.Size() < p.Offset || !p.matches(f) {
		f.Close()
		return nil
	}
	return f
}

// compressed files cannot be read on.
var compressed = []string{".gz", ".bz2", ".xz", ".zst"}

// later lists the rotated files that were written at a time or after it and are
// not done, oldest first; none after the zero time.
func (t *Tail) later(after time.Time) ([]string, error) {
	if after.IsZero() {
		return nil, nil
	}
	folder, base := filepath.Split(t.cfg.Path)
	entries, err := os.ReadDir(cmp.Or(folder, "."))
	if err != nil {
		return nil, err
	}
	written := map[string]time.Time{}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), base)
		if !ok || rest == "" || !strings.ContainsAny(rest[:1], ".-") || !e.Type().IsRegular() || slices.Contains(compressed, filepath.Ext(rest)) {
			continue
		}
		info, err := e.Info()
		done := func(old os.FileInfo) bool { return os.SameFile(info, old) }
		if err == nil && !info.ModTime().Before(after) && !slices.ContainsFunc(t.done, done) {
			written[filepath.Join(folder, e.Name())] = info.ModTime()
		}
	}
	return slices.SortedFunc(maps.Keys(written), func(a, b string) int { return written[a].Compare(written[b]) }), nil
}
