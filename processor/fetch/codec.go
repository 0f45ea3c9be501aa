package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"
)

// maxBatch bounds what a batch is decompressed to: 1 MiB of it, the most that
// custody.events takes, cannot be more in LZ4.
const maxBatch = 256 << 20

var errTooLarge = fmt.Errorf("it is more than %d MiB", maxBatch>>20)

// decompress appends what src holds to dst.
func decompress(dst, src []byte, c compress.Compression) ([]byte, error) {
	switch c {
	case compress.None:
		return append(dst, src...), nil
	case compress.Zstd:
		d, err := zstdDecoder()
		if err != nil {
			return dst, err
		}
		return d.DecodeAll(src, dst)
	case compress.Lz4:
		return appendLZ4(dst, src)
	case compress.Snappy:
		return appendSnappy(dst, src)
	}
	return appendStream(dst, src, c)
}

// zstdDecoder is one for all readers: it has a state for each core.
var zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxBatch))
})

// appendStream decompresses by kafka-go's codec, which reads and writes piece by piece.
func appendStream(dst, src []byte, c compress.Compression) ([]byte, error) {
	codec := c.Codec()
	if codec == nil {
		return dst, fmt.Errorf("compression %d is not known", int8(c))
	}
	r := codec.NewReader(bytes.NewReader(src))
	defer r.Close()
	limit := len(dst) + maxBatch
	for {
		dst = slices.Grow(dst, 64<<10)
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case errors.Is(err, io.EOF):
			return dst, nil
		case err != nil:
			return dst, err
		case len(dst) > limit:
			return dst, errTooLarge
		}
	}
}

// xerial is what the Java client's Snappy begins with, two numbers behind it;
// blocks with their length follow. Without it the whole is one block.
const xerial = "\x82SNAPPY\x00"

// appendSnappy asks a block for its size before it makes room for it.
func appendSnappy(dst, src []byte) ([]byte, error) {
	d := decoder{rest: src}
	framed := bytes.HasPrefix(src, []byte(xerial))
	if framed {
		d.take(len(xerial) + 8)
	}
	for limit := len(dst) + maxBatch; len(d.rest) > 0; {
		block := d.rest
		if framed {
			block = d.take(int(d.int32()))
		} else {
			d.rest = nil
		}
		n, err := snappy.DecodedLen(block)
		if err != nil || d.short {
			return dst, snappy.ErrCorrupt
		}
		if n > limit-len(dst) {
			return dst, errTooLarge
		}
		dst = slices.Grow(dst, n)
		if _, err := snappy.Decode(dst[len(dst):len(dst)+n], block); err != nil {
			return dst, err
		}
		dst = dst[:len(dst)+n]
	}
	return dst, nil
}
