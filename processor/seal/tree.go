package seal

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// Tree names a tree: one incarnation of a partition's log.
type Tree struct {
	Topic     string
	Partition int
	Epoch     string // incarnation of the partition's log
	Base      uint64 // offset of the first leaf
}

// Origin is the tree's name in checkpoints, unique for ever: the name of the
// log, which is that of its key, and what the tree is. The base is part of it
// because it says which leaf is which offset, and the signature covers it.
func (t Tree) Origin(log string) string {
	return log + "/" + t.Topic + "/" + strconv.Itoa(t.Partition) + "/" + t.Epoch + "/" + strconv.FormatUint(t.Base, 10)
}

func (t Tree) String() string {
	return fmt.Sprintf("topic %s partition %d epoch %s", t.Topic, t.Partition, t.Epoch)
}

// ParseOrigin takes an origin apart.
func ParseOrigin(origin string) (log string, t Tree, err error) {
	parts := strings.Split(origin, "/")
	n := len(parts)
	if n < 5 {
		return "", t, fmt.Errorf("origin %q: want LOG/TOPIC/PARTITION/EPOCH/BASE", origin)
	}
	log, t.Topic, t.Epoch = strings.Join(parts[:n-4], "/"), parts[n-4], parts[n-2]
	var err1, err2 error
	t.Partition, err1 = strconv.Atoi(parts[n-3])
	t.Base, err2 = strconv.ParseUint(parts[n-1], 10, 63)
	if err1 != nil || err2 != nil || t.Partition < 0 || !ValidName(log) || t.Origin(log) != origin || !isElement(t.Topic) || !isElement(t.Epoch) {
		return "", t, fmt.Errorf("origin %q: want LOG/TOPIC/PARTITION/EPOCH/BASE", origin)
	}
	return log, t, nil
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$`)

// ValidName says whether s can name a log or a witness: a URL without scheme,
// such as example.com/audit, of at most 128 bytes. It is also a path below the
// folder of checkpoints, so it has no element "..".
func ValidName(s string) bool {
	return len(s) <= 128 && namePattern.MatchString(s) && path.Clean(s) == s && s != "." && s != ".." && !strings.HasPrefix(s, "../")
}

// isElement says whether s is one element of a path.
func isElement(s string) bool { return ValidName(s) && !strings.Contains(s, "/") }
