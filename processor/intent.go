package processor

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/custody-audit/custody/processor/seal"
)

// position is where a partition's log was read to.
type position struct {
	offset int64
	epoch  string    // incarnation of the partition's log: 16 hex digits
	edge   seal.Edge // of the tree whose leaves are the epoch's records before offset
	last   seal.Hash // the last leaf; zero for none
}

// base is the offset of the epoch's first record.
func (p *position) base() int64 { return p.offset - int64(p.edge.Size()) }

// commit is what stands in Kafka for one partition: the position from which
// nothing is known to be stored, and what was about to be.
type commit struct {
	position
	intent *intent
}

// intent says that the block from the committed offset to end may be stored,
// partly stored or not stored.
type intent struct {
	end  int64  // first offset after the block
	root string // hex of the tree's hash with the block
}

const metadataVersion = "custody/2"

// metadata is the commit's text in Kafka, for example
// "custody/2 epoch=00c0ffee00c0ffee edge=2:n4bQgYhMfWWaL last=2c26b46b end=120 root=9f86d081".
func (c commit) metadata() string {
	s := append([]byte(metadataVersion+" epoch="+c.epoch+" edge="), c.edge.AppendText(nil)...)
	if c.edge.Size() > 0 {
		s = append(s, " last="+hex.EncodeToString(c.last[:])...)
	}
	if c.intent != nil {
		s = append(s, " end="+strconv.FormatInt(c.intent.end, 10)+" root="+c.intent.root...)
	}
	return string(s)
}

// parseCommit reads a commit. Metadata that is not ours (somebody reset the
// offsets with another tool, or an older version wrote it) has no epoch: a new
// one begins, and what was stored before is recognised as duplicate by its ids.
func parseCommit(offset int64, metadata string) (commit, error) {
	c := commit{position: position{offset: offset}}
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
	var err error
	if c.edge, err = seal.ParseEdge(fields["edge"]); err != nil {
		return c, fmt.Errorf("commit metadata %q at offset %d: %w", metadata, offset, err)
	}
	if c.base() < 0 {
		return c, fmt.Errorf("commit metadata %q at offset %d: the tree has more leaves than the log had records", metadata, offset)
	}
	if c.edge.Size() > 0 {
		last, err := hex.DecodeString(fields["last"])
		if err != nil || len(last) != len(c.last) {
			return c, fmt.Errorf("commit metadata %q at offset %d: the last leaf is not readable", metadata, offset)
		}
		c.last = seal.Hash(last)
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
