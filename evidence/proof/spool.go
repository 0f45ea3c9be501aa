package proof

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"os"
)

// spool keeps events on disk until the bundle is written: the manifest, which
// comes first, says their hash.
type spool struct {
	file *os.File
	w    *bufio.Writer
	size int64
}

func newSpool(dir string) (*spool, error) {
	f, err := os.CreateTemp(dir, "custody-proof-*")
	if err != nil {
		return nil, fmt.Errorf("keep events: %w", err)
	}
	// Without a name it is gone when the process is.
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("keep events: %w", err), f.Close())
	}
	return &spool{file: f, w: bufio.NewWriterSize(f, 1<<16)}, nil
}

func (s *spool) close() error { return s.file.Close() }

// spooled is the events of one tree.
type spooled struct {
	*spool
	from, to int64
	crc      hash.Hash32
	sum      hash.Hash
}

// begin is a file of events behind those that are there.
func (s *spool) begin() *spooled {
	return &spooled{s, s.size, s.size, crc32.NewIEEE(), sha256.New()}
}

// add appends an event and its newline.
func (s *spooled) add(raw []byte) error {
	for _, part := range [][]byte{raw, newline} {
		s.crc.Write(part)
		s.sum.Write(part)
		n, err := s.w.Write(part)
		s.size, s.to = s.size+int64(n), s.to+int64(n)
		if err != nil {
			return fmt.Errorf("keep events: %w", err)
		}
	}
	if s.size > math.MaxUint32 {
		return errors.New("the events have more than 4 GiB: take a smaller range")
	}
	return nil
}

var newline = []byte("\n")

func (s *spooled) entry(name string) entry {
	e := entry{name: name, size: uint32(s.to - s.from), crc: s.crc.Sum32()}
	s.sum.Sum(e.sum[:0])
	e.open = func() io.Reader {
		if err := s.w.Flush(); err != nil {
			return failing{err}
		}
		return io.NewSectionReader(s.file, s.from, s.to-s.from)
	}
	return e
}

// failing is a reader of what could not be written.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// encodeManifest writes a manifest for programs and people.
func encodeManifest(m *Manifest) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(m)
	return b.Bytes(), err
}
