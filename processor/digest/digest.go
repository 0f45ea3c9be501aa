// Package digest hashes two messages at a time.
//
// An instruction of SHA-256 waits for the one before it, twice as long as the
// processor needs to begin another. Two messages side by side therefore take
// hardly longer than one. Where the processor has no such instructions the
// hashes are those of crypto/sha256, and they are the same in any case.
package digest

import (
	"crypto/sha256"
	"encoding/binary"
	"unsafe"
)

// state is that of SHA-256 between two blocks.
type state [8]uint32

var initial = state{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}

const block = sha256.BlockSize

// Two returns the SHA-256 of a and of b.
func Two(a, b []byte) (x, y [sha256.Size]byte) {
	if !both {
		return sha256.Sum256(a), sha256.Sum256(b)
	}
	if len(a) <= len(b) {
		return two(a, b)
	}
	y, x = two(b, a)
	return x, y
}

// two is Two for a that is not longer than b. Lanes are filled as long as both
// have blocks; the rest of one goes alone.
func two(a, b []byte) (x, y [sha256.Size]byte) {
	s, t := initial, initial
	var aEnd, bEnd [2 * block]byte
	aLeft, bLeft := pad(&aEnd, a), pad(&bEnd, b)
	n, m := len(a)/block, len(b)/block
	blocks(&s, &t, unsafe.SliceData(a), unsafe.SliceData(b), n)

	body := b[n*block : m*block]
	k := min(aLeft, m-n)
	blocks(&s, &t, &aEnd[0], unsafe.SliceData(body), k)
	alone(&t, body[k*block:])

	end := aEnd[k*block : aLeft*block]
	k = min(len(end)/block, bLeft)
	blocks(&s, &t, unsafe.SliceData(end), &bEnd[0], k)
	alone(&s, end[k*block:])
	alone(&t, bEnd[k*block:bLeft*block])
	return s.bytes(), t.bytes()
}

// pad writes what follows the whole blocks of m: its rest and its length. It
// returns how many blocks that takes.
func pad(end *[2 * block]byte, m []byte) int {
	n := copy(end[:], m[len(m)/block*block:])
	end[n] = 0x80
	used := 1 + (n+8)/block // the length has the last eight bytes
	binary.BigEndian.PutUint64(end[used*block-8:], 8*uint64(len(m)))
	return used
}

// alone hashes whole blocks into s, and into nothing beside it.
func alone(s *state, b []byte) {
	var nothing state
	blocks(s, &nothing, unsafe.SliceData(b), unsafe.SliceData(b), len(b)/block)
}

func (s *state) bytes() (sum [sha256.Size]byte) {
	for i, w := range s {
		binary.BigEndian.PutUint32(sum[4*i:], w)
	}
	return sum
}
