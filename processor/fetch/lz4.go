package fetch

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/pierrec/lz4/v4"
	"github.com/segmentio/kafka-go/compress"
)

// Of an LZ4 frame: what it begins with, the bits of the byte after that, and the
// bit of a block's size which says that the block is not compressed.
const (
	lz4Magic           = 0x184D2204
	lz4Independent     = 1 << 5
	lz4BlockChecksum   = 1 << 4
	lz4ContentSize     = 1 << 3
	lz4ContentChecksum = 1 << 2
	lz4Dictionary      = 1 << 0
	lz4Stored          = 1 << 31
)

var errLZ4 = errors.New("the frame is not readable")

// appendLZ4 decompresses frames block by block to where they are wanted. Their
// own checksums are left alone: the batch has one over all of it.
func appendLZ4(dst, src []byte) ([]byte, error) {
	for limit := len(dst) + maxBatch; len(src) > 0; {
		if len(src) < 7 || binary.LittleEndian.Uint32(src) != lz4Magic || src[5]>>4 < 4 {
			return dst, errLZ4
		}
		if src[4]&(lz4Independent|lz4Dictionary) != lz4Independent {
			return appendStream(dst, src, compress.Lz4) // few producers write this
		}
		var err error
		if dst, src, err = appendLZ4Frame(dst, src, limit); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// appendLZ4Frame returns also what follows the frame.
func appendLZ4Frame(dst, src []byte, limit int) ([]byte, []byte, error) {
	flags, largest := src[4], 1<<(8+2*(src[5]>>4&7)) // 64 KiB to 4 MiB
	d := decoder{rest: src[7:]}
	if flags&lz4ContentSize != 0 {
		d.take(8)
	}
	for {
		b := d.take(4)
		if b == nil {
			return dst, nil, errLZ4
		}
		size := binary.LittleEndian.Uint32(b)
		if size == 0 {
			break
		}
		block := d.take(int(size &^ lz4Stored))
		if flags&lz4BlockChecksum != 0 {
			d.take(4)
		}
		var err error
		switch {
		case d.short:
			err = errLZ4
		case size&lz4Stored != 0:
			dst = append(dst, block...)
		default:
			dst, err = appendLZ4Block(dst, block, largest)
		}
		if err == nil && len(dst) > limit {
			err = errTooLarge
		}
		if err != nil {
			return dst, nil, err
		}
	}
	if flags&lz4ContentChecksum != 0 {
		d.take(4)
	}
	return dst, d.rest, nil
}

// appendLZ4Block makes the room that such a block mostly needs, and what it needs
// at most only when that was too little.
func appendLZ4Block(dst, block []byte, largest int) ([]byte, error) {
	for room := min(8*len(block), largest); ; room = largest {
		dst = slices.Grow(dst, room)
		n, err := lz4.UncompressBlock(block, dst[len(dst):min(len(dst)+largest, cap(dst))])
		if err == nil {
			return dst[:len(dst)+n], nil
		}
		if room == largest {
			return dst, err
		}
	}
}
