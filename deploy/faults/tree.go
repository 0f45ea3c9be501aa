package faults

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/segmentio/kafka-go"
	"golang.org/x/mod/sumdb/tlog"
)

// hashes is a whole tree in memory, as tlog stores one.
type hashes struct {
	size   int64
	stored []tlog.Hash
}

// ReadHashes implements tlog.HashReader.
func (h *hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, n := range indexes {
		if n >= int64(len(h.stored)) {
			return nil, fmt.Errorf("hash %d is not there yet", n)
		}
		out[i] = h.stored[n]
	}
	return out, nil
}

func (h *hashes) add(leaf tlog.Hash) error {
	more, err := tlog.StoredHashesForRecordHash(h.size, leaf, h)
	if err != nil {
		return fmt.Errorf("grow the tree: %w", err)
	}
	h.stored = append(h.stored, more...)
	h.size++
	return nil
}

// tree compares the root of the log's tree with that of the committed edge, and
// every signed checkpoint with the tree of its size.
func (c *checker) tree(ctx context.Context, committed kafka.OffsetFetchPartition) error {
	fields := map[string]string{}
	for f := range strings.FieldsSeq(committed.Metadata) {
		k, v, _ := strings.Cut(f, "=")
		fields[k] = v
	}
	size, root, err := edgeRoot(fields["edge"])
	if err != nil {
		c.unequal("partition %d: committed metadata %q: %v", c.partition, committed.Metadata, err)
		return nil
	}
	want, err := tlog.TreeHash(c.leaves.size, &c.leaves)
	if err != nil {
		return err
	}
	if size != c.leaves.size || root != want || c.leaves.size > 0 && fields["epoch"] != c.epoch {
		c.unequal("partition %d: the committed tree is %d %s of epoch %s, that of the log %d %s of %s", c.partition, size, root, fields["epoch"], c.leaves.size, want, c.epoch)
	}
	if err := c.checkpoints(ctx); err != nil {
		return err
	}
	return c.nodes(ctx)
}

func (c *checker) unequal(format string, args ...any) {
	c.result.RootOK = false
	c.result.problem(format, args...)
}

// edgeRoot is the root of a tree whose complete subtrees are given as
// "size:hashes", the largest first (RFC 6962, section 2.1).
func edgeRoot(edge string) (size int64, root tlog.Hash, err error) {
	number, text, _ := strings.Cut(edge, ":")
	if size, err = strconv.ParseInt(number, 10, 64); err != nil {
		return 0, root, fmt.Errorf("no size: %w", err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) != bits.OnesCount64(uint64(size))*tlog.HashSize {
		return 0, root, fmt.Errorf("%d bytes of hashes: %w", len(raw), err)
	}
	if size == 0 {
		root, err = tlog.TreeHash(0, nil)
		return 0, root, err
	}
	root = tlog.Hash(raw[len(raw)-tlog.HashSize:])
	for raw = raw[:len(raw)-tlog.HashSize]; len(raw) > 0; raw = raw[:len(raw)-tlog.HashSize] {
		root = tlog.NodeHash(tlog.Hash(raw[len(raw)-tlog.HashSize:]), root)
	}
	return size, root, nil
}

// checkpoints compares every signed root with the tree of its size.
func (c *checker) checkpoints(ctx context.Context) error {
	rows, err := c.admin.Query(ctx, "SELECT epoch, base, size, root FROM checkpoints WHERE topic = ? AND partition = ?", eventsTopic, uint32(c.partition))
	if err != nil {
		return fmt.Errorf("read checkpoints: %w", err)
	}
	defer rows.Close()
	var largest uint64
	for rows.Next() {
		var epoch, root string
		var base, size uint64
		if err := rows.Scan(&epoch, &base, &size, &root); err != nil {
			return fmt.Errorf("read checkpoints: %w", err)
		}
		largest = max(largest, size)
		if epoch != c.epoch || base != 0 || size > uint64(c.leaves.size) {
			c.unequal("partition %d: a checkpoint of epoch %s, base %d and size %d is of no tree", c.partition, epoch, base, size)
			continue
		}
		want, err := tlog.TreeHash(int64(size), &c.leaves)
		if err != nil {
			return err
		}
		if root != string(want[:]) {
			c.unequal("partition %d: the checkpoint of size %d has another root than the log", c.partition, size)
		}
	}
	if largest < uint64(c.leaves.size) {
		c.unequal("partition %d: %d records are stored and the largest checkpoint is of %d", c.partition, c.leaves.size, largest)
	}
	return rows.Err()
}

// nodes compares every stored node with the tree's.
func (c *checker) nodes(ctx context.Context) error {
	rows, err := c.admin.Query(ctx, "SELECT epoch, level, index, hash FROM tree_nodes WHERE topic = ? AND partition = ?", eventsTopic, uint32(c.partition))
	if err != nil {
		return fmt.Errorf("read nodes: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var epoch, hash string
		var level uint8
		var index uint64
		if err := rows.Scan(&epoch, &level, &index, &hash); err != nil {
			return fmt.Errorf("read nodes: %w", err)
		}
		want, err := c.leaves.ReadHashes([]int64{tlog.StoredHashIndex(int(level), int64(index))})
		if err != nil || epoch != c.epoch || hash != string(want[0][:]) {
			c.unequal("partition %d: the stored node %d of level %d is not the log's", c.partition, index, level)
		}
	}
	return rows.Err()
}
