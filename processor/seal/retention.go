package seal

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Retention says that records of a tree were deleted because their time was over.
// It binds their offsets and leaf hashes, with which the tree is still computed; that
// they were of the tenant and kind, and older, is the word of who signed.
type Retention struct {
	ID          uuid.UUID
	Tree        Tree
	Tenant      string
	Kind        string // of the rule; empty: that of kinds without one of their own
	Days        uint32
	Before      time.Time // they came to the log earlier; to the millisecond
	First, Last uint64    // offsets of the first and the last
	Count       uint64
	Digest      Hash      // see [LeavesDigest]
	Time        time.Time // to the second
}

const retentionTitle = "custody/retention/v1"

// text is what the log's key signs.
func (r *Retention) text(log string) string {
	return fmt.Sprintf("%s\n%s\nid %s\ntenant %q\nkind %q\ndays %d\nbefore %s\nrecords %d %d %d\n%s\ntime %s\n", retentionTitle, r.Tree.Origin(log), r.ID, r.Tenant, r.Kind, r.Days,
		r.Before.UTC().Format(time.RFC3339Nano), r.First, r.Last, r.Count, base64.StdEncoding.EncodeToString(r.Digest[:]), r.Time.UTC().Format(time.RFC3339))
}

// parseRetention reads the text of a retention record of a log.
func parseRetention(log, text string) (*Retention, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 11 || lines[0] != retentionTitle {
		return nil, errors.New("retention record: it is not one")
	}
	r := &Retention{}
	var err error
	if _, r.Tree, err = ParseOrigin(lines[1]); err != nil {
		return nil, fmt.Errorf("retention record: %w", err)
	}
	var id, before string
	_, err1 := fmt.Sscanf(strings.Join(lines[2:8], "\n"), "id %s\ntenant %q\nkind %q\ndays %d\nbefore %s\nrecords %d %d %d", &id, &r.Tenant, &r.Kind, &r.Days, &before, &r.First, &r.Last, &r.Count)
	digest, err2 := base64.StdEncoding.DecodeString(lines[8])
	var err3, err4, err5 error
	r.ID, err3 = uuid.Parse(id)
	r.Before, err4 = time.Parse(time.RFC3339Nano, before)
	r.Time, err5 = time.Parse("time "+time.RFC3339, lines[9])
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return nil, fmt.Errorf("retention record: %w", err)
	}
	if len(digest) != len(r.Digest) {
		return nil, errors.New("retention record: the digest is not a hash")
	}
	r.Digest = Hash(digest)
	if r.text(log) != text || r.Last < r.First || r.First < r.Tree.Base || r.Count == 0 || r.Count > r.Last-r.First+1 {
		return nil, errors.New("retention record: it is not in its one form")
	}
	return r, nil
}

// SignRetention returns the signed note of a retention record.
func (k *Key) SignRetention(r *Retention) ([]byte, error) {
	text := r.text(k.name)
	if _, err := parseRetention(k.name, text); err != nil {
		return nil, err
	}
	return k.sign(k.name, text)
}

// OpenRetention verifies a retention record.
func (k *Keyring) OpenRetention(signed []byte) (*Retention, error) {
	text, _, err := k.open(k.log, signed)
	if err != nil {
		return nil, fmt.Errorf("retention record: %w", err)
	}
	return parseRetention(k.log, text)
}

// LeavesDigest is SHA-256 over offsets, eight bytes with the highest first, and leaf
// hashes, in the order of offsets.
type LeavesDigest struct {
	first, last, count uint64
	sum                hash.Hash
}

// Add takes the next leaf. It reports one that is not behind the last.
func (d *LeavesDigest) Add(offset uint64, leaf Hash) error {
	if d.count > 0 && offset <= d.last {
		return fmt.Errorf("offset %d is not behind %d", offset, d.last)
	}
	if d.count == 0 {
		d.first, d.sum = offset, sha256.New()
	}
	d.last, d.count = offset, d.count+1
	d.sum.Write(append(binary.BigEndian.AppendUint64(nil, offset), leaf[:]...)) // a hash takes everything
	return nil
}

// Of completes a record with what was added, at least one.
func (d *LeavesDigest) Of(r *Retention) {
	r.First, r.Last, r.Count, r.Digest = d.first, d.last, d.count, Hash(d.sum.Sum(nil))
}

// Matches tells whether the record is about what was added.
func (d *LeavesDigest) Matches(r *Retention) bool {
	return d.count > 0 && r.First == d.first && r.Last == d.last && r.Count == d.count && r.Digest == Hash(d.sum.Sum(nil))
}

// PutRetention publishes a retention record outside ClickHouse.
func (f *Folder) PutRetention(log string, r *Retention, signed []byte) error {
	return f.put(r.Tree.Origin(log), retentionPrefix+r.ID.String(), signed, func([]byte) bool { return false })
}

// Retentions are the notes of the published retention records of a log.
func (f *Folder) Retentions(log string) ([][]byte, error) {
	paths, err := filepath.Glob(filepath.Join(f.dir, filepath.FromSlash(log), "*", "*", "*", "*", retentionPrefix+"*"))
	if err != nil {
		return nil, fmt.Errorf("read retention records: %w", err)
	}
	var out [][]byte
	for _, path := range paths {
		if strings.HasSuffix(path, ".new") {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read retention records: %w", err)
		}
		out = append(out, b)
	}
	return out, nil
}
