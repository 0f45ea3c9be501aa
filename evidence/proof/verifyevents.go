package proof

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/event"
)

// events checks the bytes of the disclosed records, each of which ends in a
// newline, against their leaves, and returns how many are what was sealed. How a
// file ends that is cut short its reader finds out once more.
func (v *verifier) events(origin string, t seal.Tree, size uint64, body io.Reader, open []Leaf) uint64 {
	base := t.Base
	buffer := make([]byte, 1, 1<<12) // begins with the 0 that a leaf is hashed with
	for k, l := range open {
		if l.Length > event.MaxBytes {
			v.at(Content, origin, base+l.Index, "its length is more than an event may have")
			return uint64(k)
		}
		n := int(l.Length) + 1
		if cap(buffer) < 1+n {
			buffer = make([]byte, 1, 1+2*n)
		}
		buffer = buffer[:1+n]
		got, err := io.ReadFull(body, buffer[1:])
		if err == nil && buffer[n] == '\n' && Hash(sha256.Sum256(buffer[:n])) == l.Hash {
			v.extract(t, size, l, buffer[1:n])
			continue
		}
		return uint64(k) + v.diagnose(origin, base, io.MultiReader(bytes.NewReader(buffer[1:1+got]), body), open, k)
	}
	if n, _ := io.ReadFull(body, buffer[:1]); n > 0 {
		return uint64(len(open)) + v.diagnose(origin, base, io.MultiReader(bytes.NewReader(buffer[:1]), body), open, len(open))
	}
	return uint64(len(open))
}

// diagnose says what is wrong with events from number k on: what stands there are
// lines, of which each is compared with what should be there.
func (v *verifier) diagnose(origin string, base uint64, rest io.Reader, open []Leaf, k int) (good uint64) {
	lines, err := hashLines(rest)
	if err != nil {
		return 0 // the file is cut, which its reader says
	}
	want := open[k:]
	known, left := map[Hash]int{}, map[Hash]int{}
	for _, l := range open {
		known[l.Hash]++
	}
	for _, l := range want {
		left[l.Hash]++
	}
	foreign, repeated, same := 0, 0, 0
	for i, h := range lines {
		switch {
		case known[h] == 0:
			foreign++
		case left[h] == 0:
			repeated++
		default:
			left[h]--
		}
		if same == i && i < len(want) && want[i].Hash == h {
			same++
		}
	}
	all := fmt.Sprintf("%d events are here, %d should be", k+len(lines), len(open))
	switch {
	case len(lines) == len(want):
		return v.compare(origin, base, lines, want, known, foreign == 0 && repeated == 0)
	case foreign > 0:
		v.at(Content, origin, place(base, open, k), fmt.Sprintf("from here on events are others than those that were sealed; %s", all))
	case repeated > 0:
		v.at(Duplicate, origin, place(base, open, k), "from here on an event is here more than once; "+all)
	case same == len(lines):
		v.at(Truncated, origin, place(base, open, k+same), "from here on events are missing; "+all)
	default:
		v.at(Dropped, origin, place(base, open, k), "from here on events are missing; "+all)
	}
	return 0
}

// compare says what is wrong with as many lines as there should be.
func (v *verifier) compare(origin string, base uint64, lines []Hash, want []Leaf, known map[Hash]int, moved bool) (good uint64) {
	if moved && len(want) == 0 || slices.EqualFunc(lines, want, func(h Hash, l Leaf) bool { return h == l.Hash }) {
		v.problem(Content, origin, "the events are not each followed by one newline")
	}
	for i, h := range lines {
		offset := base + want[i].Index
		switch {
		case h == want[i].Hash:
			good++
		case moved:
			v.at(Reordered, origin, offset, "another event of the bundle stands in its place")
		case known[h] > 0:
			v.at(Duplicate, origin, offset, "an event stands in its place that is here once more")
		default:
			v.at(Content, origin, offset, "its bytes are not those that were sealed")
		}
	}
	return good
}

// place is the offset of event number k, or behind the last.
func place(base uint64, open []Leaf, k int) uint64 {
	switch {
	case k < len(open):
		return base + open[k].Index
	case k > 0:
		return base + open[k-1].Index + 1
	}
	return base
}

// hashLines returns the leaf hash of each line.
func hashLines(r io.Reader) (hashes []Hash, err error) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			hashes = append(hashes, tlog.RecordHash(bytes.TrimSuffix(line, newline)))
		}
		if err == io.EOF {
			return hashes, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
