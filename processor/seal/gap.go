package seal

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Reason says why an epoch ended.
type Reason string

// The reasons.
const (
	Overrun   Reason = "retention_overrun" // Kafka dropped records before they were read
	Recreated Reason = "topic_recreated"   // the log ends before the offset that was read last
	Changed   Reason = "log_changed"       // records that were read once read differently now
	Unknown   Reason = "offset_unknown"    // the group's offset was lost, or set by another tool
)

var reasons = []Reason{Overrun, Recreated, Changed, Unknown}

// Gap is the end of a tree and the beginning of the next in the same partition:
// what lies between is not in the store. The newest checkpoint of the closed
// tree is what its readers have; Size and Root are what was read last.
type Gap struct {
	Closed Tree
	Size   uint64
	Root   Hash
	Next   Tree
	// LostFrom and LostTo are the offsets that were never read, to exclusive;
	// equal when none or it is not known which.
	LostFrom, LostTo uint64
	Reason           Reason
	Time             time.Time // to the second
}

const gapTitle = "custody/log-gap/v1"

// text is what the log's key signs.
func (g Gap) text(log string) string {
	return fmt.Sprintf("%s\n%s\n%d\n%s\n%s\nlost %d %d\nreason %s\ntime %s\n", gapTitle, g.Closed.Origin(log), g.Size, base64.StdEncoding.EncodeToString(g.Root[:]),
		g.Next.Origin(log), g.LostFrom, g.LostTo, g.Reason, g.Time.UTC().Format(time.RFC3339))
}

func (g Gap) validate() error {
	switch {
	case g.Closed.Topic != g.Next.Topic || g.Closed.Partition != g.Next.Partition || g.Closed.Epoch == g.Next.Epoch:
		return errors.New("gap: want two epochs of one partition")
	case g.LostTo < g.LostFrom:
		return fmt.Errorf("gap: lost offsets %d to %d: the end is before the start", g.LostFrom, g.LostTo)
	case !slices.Contains(reasons, g.Reason):
		return fmt.Errorf("gap: reason %q: want one of %v", g.Reason, reasons)
	}
	return nil
}

// parseGap reads the text of a gap record of a log.
func parseGap(log, text string) (Gap, error) {
	var g Gap
	lines := strings.Split(text, "\n")
	if len(lines) != 9 || lines[0] != gapTitle {
		return g, errors.New("gap record: it is not one")
	}
	_, closed, err1 := ParseOrigin(lines[1])
	_, next, err2 := ParseOrigin(lines[4])
	root, err3 := base64.StdEncoding.DecodeString(lines[3])
	_, err4 := fmt.Sscanf(strings.Join([]string{lines[2], lines[5], lines[6]}, "\n"), "%d\nlost %d %d\nreason %s", &g.Size, &g.LostFrom, &g.LostTo, &g.Reason)
	at, err5 := time.Parse("time "+time.RFC3339, lines[7])
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return g, fmt.Errorf("gap record: %w", err)
	}
	g.Closed, g.Next, g.Time = closed, next, at
	if len(root) != tlog.HashSize {
		return g, errors.New("gap record: the root is not a hash")
	}
	g.Root = Hash(root)
	if g.text(log) != text {
		return g, errors.New("gap record: it is not in its one form")
	}
	return g, g.validate()
}

// SignGap returns the signed note of a gap record.
func (k *Key) SignGap(g Gap) ([]byte, error) {
	if err := g.validate(); err != nil {
		return nil, err
	}
	return k.sign(k.name, g.text(k.name))
}
