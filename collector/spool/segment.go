package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/schemas/event"
)

// A segment is a file of frames:
//
//	magic     16 bytes   "custody spool 1\n"
//	frame     length     uint32, little endian, of the payload
//	          checksum   uint32, little endian, CRC-32C of the payload
//	          payload    the canonical bytes of one event
//	frame ...
const (
	magic       = "custody spool 1\n"
	frameHeader = 8
	extension   = ".spool"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segment is one file. path never changes; file is written to by one goroutine.
type segment struct {
	path   string
	file   *os.File
	size   int64 // durable bytes, header included; guarded by Spool.mu
	sealed bool  // takes no more frames; guarded by Spool.mu
}

func (g *segment) close() { g.file.Close() }

func segmentName(number uint64) string { return fmt.Sprintf("%016x%s", number, extension) }

// encode returns the frames of the events.
func encode(events []collector.Canonical) []byte {
	n := 0
	for _, e := range events {
		n += frameHeader + len(e.Bytes)
	}
	b := make([]byte, 0, n)
	for _, e := range events {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(e.Bytes)))
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(e.Bytes, castagnoli))
		b = append(b, e.Bytes...)
	}
	return b
}

// Errors of a frame.
var (
	errTorn    = errors.New("the frame ends before its end")
	errCorrupt = errors.New("the frame's checksum is wrong")
)

// frame returns the payload at the start of b and the length of the frame. With
// errCorrupt the length is what the header says.
func frame(b []byte) (payload []byte, length int, err error) {
	if len(b) < frameHeader {
		return nil, 0, errTorn
	}
	n := binary.LittleEndian.Uint32(b)
	if n == 0 || n > event.MaxBytes || int(n) > len(b)-frameHeader {
		return nil, 0, errTorn
	}
	length = frameHeader + int(n)
	payload = b[frameHeader:length]
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, length, errCorrupt
	}
	return payload, length, nil
}

// recover opens the segments of an earlier process, in order.
func (s *Spool) recover() error {
	entries, err := os.ReadDir(s.cfg.Dir) // sorted by name, which is the order
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), extension)
		if !ok {
			continue
		}
		var number uint64
		if _, err := fmt.Sscanf(name, "%016x", &number); err != nil {
			return fmt.Errorf("file %s is no segment: %w", e.Name(), err)
		}
		s.next = number + 1
		if err := s.adopt(filepath.Join(s.cfg.Dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// adopt checks a segment and cuts off a torn tail. It is not written to again.
func (s *Spool) adopt(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	good, bad := check(b)
	if good == 0 { // the process died before the segment's beginning was durable
		return os.Remove(path)
	}
	if bad > 0 {
		s.cfg.Logger.Error("frames of the spool are damaged; they are skipped, and the segment is kept", "segment", path, "frames", bad)
		if err := os.WriteFile(strings.TrimSuffix(path, extension)+".damaged", b, 0o600); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if good < int64(len(b)) {
		s.cfg.Logger.Warn("the spool's last write was not finished; its rest is cut off", "segment", path, "bytes", int64(len(b))-good)
		if err := errors.Join(f.Truncate(good), f.Sync()); err != nil {
			f.Close()
			return err
		}
	}
	if good == int64(len(magic)) {
		f.Close()
		return os.Remove(path)
	}
	s.segments = append(s.segments, &segment{path: path, file: f, size: good, sealed: true})
	s.bytes += good
	return nil
}

// check walks the frames of a segment. good is where the last whole frame ends:
// what is behind it was torn. A frame with a wrong checksum and a whole one
// behind it is no torn write but damage: it is counted and stays.
func check(b []byte) (good int64, bad int) {
	if len(b) < len(magic) || string(b[:len(magic)]) != magic {
		return 0, 0
	}
	at, pending := len(magic), 0
	good = int64(at)
	for {
		_, length, err := frame(b[at:])
		switch {
		case errors.Is(err, errTorn):
			return good, bad
		case errors.Is(err, errCorrupt):
			pending++
			at += length
		default:
			at += length
			good, bad, pending = int64(at), bad+pending, 0
		}
	}
}
