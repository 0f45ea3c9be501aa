package processor

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// commit is what stands in Kafka for one partition: the offset from which
// nothing is known to be stored, and in the metadata the rest.
type commit struct {
	offset int64
	epoch  string // incarnation of the partition's log: 16 hex digits
	intent *intent
}

// intent says that the block from the committed offset to end may be stored,
// partly stored or not stored.
type intent struct {
	end  int64  // first offset after the block
	root string // hex digest of the block's leaf hashes
}

const metadataVersion = "custody/1"

// metadata is the commit's text in Kafka, for example
// "custody/1 epoch=00c0ffee00c0ffee end=120 root=9f86d081".
func (c commit) metadata() string {
	s := metadataVersion + " epoch=" + c.epoch
	if c.intent != nil {
		s += " end=" + strconv.FormatInt(c.intent.end, 10) + " root=" + c.intent.root
	}
	return s
}

// parseCommit reads a commit. Metadata that is not ours (somebody reset the
// offsets with another tool) has no epoch: a new one begins, and what was
// stored before is recognised as duplicate by its ids.
func parseCommit(offset int64, metadata string) (commit, error) {
	c := commit{offset: offset}
	version, rest, _ := strings.Cut(metadata, " ")
	if version != metadataVersion {
		return c, nil
	}
	fields := map[string]string{}
	for f := range strings.FieldsSeq(rest) {
		k, v, _ := strings.Cut(f, "=")
		fields[k] = v
	}
	c.epoch = fields["epoch"]
	if b, err := hex.DecodeString(c.epoch); err != nil || len(b) != 8 {
		return c, fmt.Errorf("commit metadata %q: epoch is not 16 hex digits", metadata)
	}
	if fields["end"] == "" {
		return c, nil
	}
	end, err := strconv.ParseInt(fields["end"], 10, 64)
	if err != nil || end <= offset || fields["root"] == "" {
		return c, fmt.Errorf("commit metadata %q at offset %d: the intent is not readable", metadata, offset)
	}
	c.intent = &intent{end, fields["root"]}
	return c, nil
}

func newEpoch() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
