package proof

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
)

// A bundle is a zip file in one form only, so that every byte of it follows from
// its names and contents: nothing is compressed, nothing dated, no extra fields,
// the directory in the order of the files and nothing behind it.

// Signatures and lengths of the parts of a zip file (APPNOTE.TXT, 4.3).
const (
	localMagic     = 0x04034b50
	directoryMagic = 0x02014b50
	endMagic       = 0x06054b50
	localLength    = 30
	zipVersion     = 10     // nothing but stored files
	zipDate        = 0x0021 // 1980-01-01, the first day that zip knows
	maxNameLength  = 512
)

// entry is one file of a bundle.
type entry struct {
	name string
	size uint32
	crc  uint32
	sum  [sha256.Size]byte
	open func() io.Reader // nil while reading
}

// newEntry is a file whose content is at hand.
func newEntry(name string, content []byte) entry {
	return entry{name, uint32(len(content)), crc32.ChecksumIEEE(content), sha256.Sum256(content), func() io.Reader { return bytes.NewReader(content) }}
}

func (e *entry) file() File {
	return File{e.name, uint64(e.size), base64.StdEncoding.EncodeToString(e.sum[:])}
}

// common is what local header and directory have in common.
func (e *entry) common(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint16(b, zipVersion)
	b = le.AppendUint16(b, 0) // flags
	b = le.AppendUint16(b, 0) // method: stored
	b = le.AppendUint16(b, 0) // time
	b = le.AppendUint16(b, zipDate)
	b = le.AppendUint32(b, e.crc)
	b = le.AppendUint32(b, e.size)
	b = le.AppendUint32(b, e.size)
	b = le.AppendUint16(b, uint16(len(e.name)))
	return le.AppendUint16(b, 0) // extra
}

func (e *entry) header() []byte {
	b := e.common(binary.LittleEndian.AppendUint32(nil, localMagic))
	return append(b, e.name...)
}

// directory is what follows the files.
func directory(entries []entry) ([]byte, error) {
	le := binary.LittleEndian
	var b []byte
	at := uint64(0)
	for i := range entries {
		e := &entries[i]
		b = le.AppendUint32(b, directoryMagic)
		b = le.AppendUint16(b, zipVersion)
		b = e.common(b)
		b = append(b, make([]byte, 2+2+2+4)...) // comment, disk, attributes
		b = le.AppendUint32(b, uint32(at))
		b = append(b, e.name...)
		at += uint64(localLength+len(e.name)) + uint64(e.size)
	}
	if at+uint64(len(b)) > math.MaxUint32 || len(entries) > math.MaxUint16 {
		return nil, errors.New("the bundle has more than 4 GiB: take a smaller range")
	}
	size := len(b)
	b = le.AppendUint32(b, endMagic)
	b = le.AppendUint32(b, 0) // disks
	b = le.AppendUint16(b, uint16(len(entries)))
	b = le.AppendUint16(b, uint16(len(entries)))
	b = le.AppendUint32(b, uint32(size))
	b = le.AppendUint32(b, uint32(at))
	return le.AppendUint16(b, 0), nil // comment
}

// writeArchive writes a bundle.
func writeArchive(w io.Writer, entries []entry) error {
	end, err := directory(entries)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<16)
	for i := range entries {
		if _, err := out.Write(entries[i].header()); err != nil {
			return fmt.Errorf("write bundle: %w", err)
		}
		if _, err := io.Copy(out, entries[i].open()); err != nil {
			return fmt.Errorf("write bundle: %s: %w", entries[i].name, err)
		}
	}
	_, err = out.Write(end)
	if err := errors.Join(err, out.Flush()); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

// errForm says that a zip file is not in the one form.
var errForm = errors.New("the zip file is not in its one form")

// archive reads a bundle from front to end.
type archive struct {
	r       *bufio.Reader
	entries []entry // those that were begun
	body    *body   // of the last
}

func newArchive(r io.Reader) *archive { return &archive{r: bufio.NewReaderSize(r, 1<<16)} }

// body is the content of a file, and what is computed while it is read.
type body struct {
	r    *bufio.Reader
	left uint32
	crc  hash.Hash32
	sum  hash.Hash
}

// Read implements [io.Reader]; a file that ends early is an io.ErrUnexpectedEOF.
func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.r.Read(p[:min(len(p), int(b.left))])
	b.left -= uint32(n)
	b.crc.Write(p[:n])
	b.sum.Write(p[:n])
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// next returns the next file, io.EOF behind the last. The one before must have
// been read and checked.
func (a *archive) next() (string, io.Reader, error) {
	magic, err := a.r.Peek(4)
	if err != nil {
		return "", nil, unexpected(err)
	}
	if binary.LittleEndian.Uint32(magic) != localMagic {
		return "", nil, io.EOF
	}
	header := make([]byte, localLength)
	if _, err := io.ReadFull(a.r, header); err != nil {
		return "", nil, unexpected(err)
	}
	length := binary.LittleEndian.Uint16(header[26:])
	if length > maxNameLength || len(a.entries) == math.MaxUint16 {
		return "", nil, errForm
	}
	name := make([]byte, length)
	if _, err := io.ReadFull(a.r, name); err != nil {
		return "", nil, unexpected(err)
	}
	e := entry{name: string(name), crc: binary.LittleEndian.Uint32(header[14:]), size: binary.LittleEndian.Uint32(header[18:])}
	if !bytes.Equal(append(header, name...), e.header()) {
		return "", nil, errForm
	}
	a.entries = append(a.entries, e)
	a.body = &body{a.r, e.size, crc32.NewIEEE(), sha256.New()}
	return e.name, a.body, nil
}

// check ends a file: what of it was not read is read.
func (a *archive) check() (*entry, error) {
	if _, err := io.Copy(io.Discard, a.body); err != nil {
		return nil, err
	}
	e := &a.entries[len(a.entries)-1]
	a.body.sum.Sum(e.sum[:0])
	if a.body.crc.Sum32() != e.crc {
		return e, fmt.Errorf("%w: the checksum of %.100q is another", errForm, e.name)
	}
	return e, nil
}

// end checks what follows the last file.
func (a *archive) end() error {
	want, err := directory(a.entries)
	if err != nil {
		return errForm
	}
	got, err := io.ReadAll(io.LimitReader(a.r, int64(len(want))+1))
	if err != nil {
		return err
	}
	if len(got) < len(want) && bytes.HasPrefix(want, got) {
		return io.ErrUnexpectedEOF
	}
	if !bytes.Equal(got, want) {
		return errForm
	}
	return nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
