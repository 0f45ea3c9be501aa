package proof

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/processor/seal"
)

// encoding is base64 with padding, of which there is one text for one value.
var encoding = base64.StdEncoding.Strict()

// appendLeaf writes a leaf as a line "OFFSET HASH LENGTH", with "-" for the length
// of a record that is withheld.
func appendLeaf(b []byte, base uint64, l *Leaf) []byte {
	b = strconv.AppendUint(b, base+l.Index, 10)
	b = encoding.AppendEncode(append(b, ' '), l.Hash[:])
	if !l.Open {
		return append(b, " -\n"...)
	}
	return append(strconv.AppendUint(append(b, ' '), l.Length, 10), '\n')
}

func parseLeaf(line []byte, base uint64) (l Leaf, err error) {
	fields := bytes.SplitN(line, []byte(" "), 4)
	if len(fields) != 3 {
		return l, errors.New("want OFFSET HASH LENGTH")
	}
	offset, err := parseNumber(fields[0])
	if err != nil || offset < base {
		return l, fmt.Errorf("offset %q: want a number from %d", fields[0], base)
	}
	l.Index = offset - base
	if l.Hash, err = parseHash(fields[1]); err != nil {
		return l, err
	}
	if l.Open = string(fields[2]) != "-"; l.Open {
		l.Length, err = parseNumber(fields[2])
	}
	return l, err
}

// parseNumber reads a number in its one form.
func parseNumber(b []byte) (uint64, error) {
	n, err := strconv.ParseUint(string(b), 10, 63)
	if err != nil || len(b) > 1 && b[0] == '0' || b[0] == '+' {
		return 0, fmt.Errorf("%.30q is not a number", b)
	}
	return n, nil
}

func parseHash(b []byte) (h Hash, err error) {
	var raw [tlog.HashSize + 1]byte
	if len(b) != encoding.EncodedLen(tlog.HashSize) || bytes.ContainsAny(b, "\r\n") {
		return h, fmt.Errorf("%.50q is not a hash", b)
	}
	if n, err := encoding.Decode(raw[:], b); err != nil || n != tlog.HashSize {
		return h, fmt.Errorf("%.50q is not a hash", b)
	}
	return Hash(raw[:tlog.HashSize]), nil
}

// eachLine calls visit with lines that all end in a newline.
func eachLine(content []byte, visit func(line []byte) error) error {
	for number := 1; len(content) > 0; number++ {
		line, rest, ok := bytes.Cut(content, []byte("\n"))
		if !ok {
			return fmt.Errorf("line %d does not end", number)
		}
		if err := visit(line); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		content = rest
	}
	return nil
}

func formatHashes(hashes []Hash) []byte {
	var b []byte
	for _, h := range hashes {
		b = append(encoding.AppendEncode(b, h[:]), '\n')
	}
	return b
}

func parseHashes(content []byte) (hashes []Hash, err error) {
	err = eachLine(content, func(line []byte) error {
		h, err := parseHash(line)
		hashes = append(hashes, h)
		return err
	})
	return hashes, err
}

// formatTlogProof writes a proof in the form of c2sp.org/tlog-proof.
func formatTlogProof(index uint64, p tlog.RecordProof, checkpoint []byte) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "c2sp.org/tlog-proof@v1\nindex %d\n", index)
	for _, h := range p {
		b.WriteString(encoding.EncodeToString(h[:]) + "\n")
	}
	return append([]byte(b.String()+"\n"), checkpoint...)
}

// cosigners are the names of those beside the log who signed a checkpoint, as it
// says. Nothing is verified.
func cosigners(signed []byte) (names []string) {
	_, lines, _ := bytes.Cut(signed, []byte("\n\n"))
	own, _, _ := bytes.Cut(signed, []byte("\n"))
	for line := range strings.Lines(string(lines)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[1] != string(own) {
			names = append(names, fields[1])
		}
	}
	return names
}

// oneSignature says whether a note has one signature and nothing else.
func oneSignature(signed []byte, text string) bool {
	rest, ok := bytes.CutPrefix(signed, []byte(text+"\n"))
	return ok && bytes.Count(rest, []byte("\n")) == 1 && bytes.HasSuffix(rest, []byte("\n")) && len(rest) < seal.MaxNote
}
