package fetch

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// What cannot be read is an error with its reason, unless something before it could.
func TestBroken(t *testing.T) {
	good := func() []byte { return encode(t, 5, protocol.Lz4, records(20)...) }
	alter := func(edit func([]byte) []byte) []byte { return edit(good()) }
	for _, c := range []struct {
		what, want string
		batch      []byte
	}{
		{"a bit", "CRC", alter(func(b []byte) []byte { b[len(b)-9] ^= 4; return b })},
		{"an old format", "format 1", alter(func(b []byte) []byte { b[posMagic] = 1; return b })},
		{"no length", "a batch of 12 bytes", alter(func(b []byte) []byte { binary.BigEndian.PutUint32(b[posLength:], 0); return b })},
		{"a negative length", "none", alter(func(b []byte) []byte { binary.BigEndian.PutUint32(b[posLength:], math.MaxUint32); return b })},
		{"an unknown compression", "compression 7", alter(func(b []byte) []byte { b[posAttributes+1] = 7; return seal(b) })},
		{"the wrong compression", "decompress zstd", alter(func(b []byte) []byte { b[posAttributes+1] = 4; return seal(b) })},
		{"a frame that is cut", "decompress lz4", alter(func(b []byte) []byte { return seal(shorten(b[:len(b)-12])) })},
		{"records of nothing", "record 0 of 20 is cut", alter(func(b []byte) []byte { return seal(shorten(append(b[:headerSize], lz4Empty...))) })},
		{"a record longer than its batch", "record 0 of 1 is cut", one([]byte{200, 1, 0, 0, 0})},
		{"a value longer than its record", "record 0 of 1 is not readable", one([]byte{12, 0, 0, 0, 1, 10, 0})},
		{"a record of nothing", "record 0 of 1 is not readable", one([]byte{0})},
		{"an offset before its batch", "record 0 of 1 is not readable", one([]byte{12, 0, 0, 1, 1, 1, 0})},
	} {
		if _, _, err := ours(answer(t, 11, 0, c.batch), 11, 0, math.MaxInt64); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
		got, _, err := ours(answer(t, 11, 0, encode(t, 0, 0, records(5)...), c.batch), 11, 0, math.MaxInt64)
		if err != nil || len(got) != 5 {
			t.Errorf("%s, behind a good one: %d records, %v", c.what, len(got), err)
		}
	}
}

// A batch that says more than it has gives what it has, and then is an error.
func TestTooFew(t *testing.T) {
	b := encode(t, 5, protocol.Lz4, records(20)...)
	b[posRecords+3], b[posLastDelta+3] = 21, 20
	raw := answer(t, 11, 0, seal(b))
	if got, _, err := ours(raw, 11, 5, math.MaxInt64); err != nil || len(got) != 20 {
		t.Errorf("%d records, %v", len(got), err)
	}
	if _, _, err := ours(raw, 11, 25, math.MaxInt64); err == nil || !strings.Contains(err.Error(), "record 20 of 21 is cut") {
		t.Error(err)
	}
}

// lz4Empty is a frame of nothing.
var lz4Empty = []byte{0x04, 0x22, 0x4D, 0x18, 0x60, 0x40, 0x82, 0, 0, 0, 0}

// shorten gives a batch that was cut the length that it has now.
func shorten(b []byte) []byte {
	binary.BigEndian.PutUint32(b[posLength:], uint32(len(b)-posLength-4))
	return b
}

// one is a batch of one record with such bytes.
func one(record []byte) []byte {
	b := make([]byte, headerSize, headerSize+len(record))
	b[posMagic], b[posRecords+3] = 2, 1
	return seal(shorten(append(b, record...)))
}

// Kafka cuts a response where its bound is: the rest is asked for again.
func TestCut(t *testing.T) {
	first, second := encode(t, 0, 0, records(5)...), encode(t, 5, 0, records(5)...)
	for n := range len(second) {
		got, _, err := ours(answer(t, 11, 0, first, second[:n]), 11, 0, math.MaxInt64)
		if err != nil || len(got) != 5 {
			t.Fatalf("%d bytes of the second: %d records, %v", n, len(got), err)
		}
	}
}

// Kafka's errors are kafka-go's, and a response that ends too early is one.
func TestResponse(t *testing.T) {
	for version := int16(minVersion); version <= maxVersion; version++ {
		if _, _, err := ours(answer(t, version, int16(kafka.OffsetOutOfRange)), version, 0, 1); !errors.Is(err, kafka.OffsetOutOfRange) {
			t.Errorf("v%d: %v", version, err)
		}
		raw := answer(t, version, 0, encode(t, 0, 0, records(1)...))
		for n := range len(raw) {
			if _, _, err := ours(raw[:n], version, 0, 1); err == nil {
				t.Errorf("v%d: %d of %d bytes are enough", version, n, len(raw))
			}
		}
	}
	raw := answer(t, 11, 0)
	binary.BigEndian.PutUint16(raw[4:], uint16(kafka.FetchSessionIDNotFound))
	if _, _, err := ours(raw, 11, 0, 1); !errors.Is(err, kafka.FetchSessionIDNotFound) {
		t.Error(err)
	}
	if _, err := parseResponse(answer(t, 11, 0), 11, "events", 4); err == nil {
		t.Error("another partition's answer is taken")
	}
}

// Few bytes that would become very many are refused, and not by making them.
func TestBombs(t *testing.T) {
	plain := make([]byte, 4<<20)
	var lz bytes.Buffer
	w := lz4.NewWriter(&lz)
	for range maxBatch/len(plain) + 1 {
		w.Write(plain)
	}
	w.Close()
	e, _ := zstd.NewWriter(nil)
	var small []byte
	for range maxBatch/len(plain) + 1 {
		small = e.EncodeAll(plain, small)
	}
	for what, c := range map[string]struct {
		code byte
		data []byte
	}{
		"lz4": {3, lz.Bytes()}, "lz4, linked": {3, linked(t, lz.Bytes())}, "zstd": {4, small},
		"snappy": {2, binary.AppendUvarint(nil, maxBatch+1)}, "gzip": {1, gzipped(t, maxBatch+1)},
	} {
		b := make([]byte, headerSize)
		b[posMagic], b[posRecords+3], b[posAttributes+1] = 2, 1, c.code
		_, chunk, err := ours(answer(t, 11, 0, seal(shorten(append(b, c.data...)))), 11, 0, 1)
		if err == nil || cap(chunk.data) > 2*maxBatch {
			t.Errorf("%s: %d bytes made, %v", what, cap(chunk.data), err)
		}
		t.Log(what, len(c.data), err)
	}
}

// linked is a frame that says that its blocks may need what stands before them.
func linked(t *testing.T, frame []byte) []byte {
	t.Helper()
	frame = bytes.Clone(frame)
	frame[4] &^= lz4Independent
	for sum := range 256 {
		frame[6] = byte(sum)
		if ok, _ := lz4.ValidFrameHeader(frame); ok {
			return frame
		}
	}
	t.Fatal("no checksum fits")
	return nil
}

func gzipped(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.CopyN(w, zeros{}, int64(n))
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// The forms of LZ4 and Snappy that other clients write.
func TestForms(t *testing.T) {
	var plain []byte
	for i := range 20_000 {
		plain = binary.AppendUvarint(plain, uint64(i*i))
	}
	plain = append(plain, make([]byte, 300_000)...)
	for name, options := range map[string][]lz4.Option{
		"64 KiB blocks with checksums": {lz4.BlockSizeOption(lz4.Block64Kb), lz4.BlockChecksumOption(true), lz4.ChecksumOption(false)},
		"4 MiB block with its size":    {lz4.BlockSizeOption(lz4.Block4Mb), lz4.SizeOption(uint64(len(plain)))},
		"256 KiB blocks":               {lz4.BlockSizeOption(lz4.Block256Kb), lz4.CompressionLevelOption(lz4.Level5)},
	} {
		var b bytes.Buffer
		for range 2 { // frames one after the other
			w := lz4.NewWriter(&b)
			if err := w.Apply(options...); err != nil {
				t.Fatal(err)
			}
			w.Write(plain)
			w.Close()
		}
		if name == "256 KiB blocks" {
			if got, err := appendLZ4(nil, linked(t, b.Bytes())[:b.Len()/2]); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("linked: %d bytes, %v", len(got), err)
			}
		}
		got, err := appendLZ4([]byte("before"), b.Bytes())
		if err != nil || !bytes.Equal(got, append(append([]byte("before"), plain...), plain...)) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	block := snappy.Encode(nil, plain)
	got, err := appendSnappy(nil, block)
	if err != nil || !bytes.Equal(got, plain) {
		t.Errorf("snappy without a frame: %d bytes, %v", len(got), err)
	}
}
