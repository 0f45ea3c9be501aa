package witness

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// maxProof is the most lines of a consistency proof, by the specification.
const maxProof = 63

// formatRequest is the body of add-checkpoint.
func formatRequest(old uint64, proof tlog.TreeProof, signed []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", old)
	for _, h := range proof {
		fmt.Fprintf(&b, "%s\n", h)
	}
	b.WriteByte('\n')
	b.Write(signed)
	return b.Bytes()
}

var errRequest = errors.New("want \"old SIZE\", the lines of a consistency proof, an empty line and a checkpoint")

// parseRequest is the other side of formatRequest.
func parseRequest(body []byte) (old uint64, proof tlog.TreeProof, signed []byte, err error) {
	head, signed, found := bytes.Cut(body, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || len(lines) > 1+maxProof {
		return 0, nil, nil, errRequest
	}
	size, found := strings.CutPrefix(lines[0], "old ")
	old, err = strconv.ParseUint(size, 10, 63)
	if err != nil || !found || strconv.FormatUint(old, 10) != size {
		return 0, nil, nil, errRequest
	}
	for _, line := range lines[1:] {
		h, err := tlog.ParseHash(line)
		if err != nil {
			return 0, nil, nil, errRequest
		}
		proof = append(proof, h)
	}
	return old, proof, signed, nil
}
