package proof

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Ranges are what a bundle is to account for: a time by the log's clock, in every
// partition, or offsets of some partitions. The zero value is none.
type Ranges struct {
	from, to time.Time
	offsets  map[int]span // by partition
}

// ParseRanges reads ranges: one "TIME/TIME" in RFC 3339, or any number of
// "PARTITION:FROM-TO" in offsets. Ends are exclusive.
func ParseRanges(texts []string) (r Ranges, err error) {
	for _, text := range texts {
		if strings.Contains(text, "/") {
			if len(texts) > 1 {
				return r, fmt.Errorf("range %q: want one range of time, or only ranges of offsets", text)
			}
			return parseTimes(text)
		}
		partition, at, err := parseOffsets(text)
		if err != nil {
			return r, err
		}
		if _, twice := r.offsets[partition]; twice {
			return r, fmt.Errorf("range %q: partition %d has one already", text, partition)
		}
		if r.offsets == nil {
			r.offsets = map[int]span{}
		}
		r.offsets[partition] = at
	}
	return r, nil
}

func parseTimes(text string) (r Ranges, err error) {
	from, to, _ := strings.Cut(text, "/")
	var err1, err2 error
	r.from, err1 = time.Parse(time.RFC3339, from)
	r.to, err2 = time.Parse(time.RFC3339, to)
	if err1 != nil || err2 != nil || !r.from.Before(r.to) {
		return Ranges{}, fmt.Errorf("range %q: want two times, such as 2026-10-01T00:00:00Z/2027-01-01T00:00:00Z", text)
	}
	return r, nil
}

func parseOffsets(text string) (partition int, at span, err error) {
	p, offsets, _ := strings.Cut(text, ":")
	from, to, _ := strings.Cut(offsets, "-")
	partition, err1 := strconv.Atoi(p)
	at.from, err = strconv.ParseUint(from, 10, 63)
	var err2 error
	at.to, err2 = strconv.ParseUint(to, 10, 63)
	if err != nil || err1 != nil || err2 != nil || partition < 0 || at.from >= at.to {
		return 0, at, fmt.Errorf("range %q: want PARTITION:FROM-TO, such as 3:100-500, or two times with a slash between", text)
	}
	return partition, at, nil
}

func (r *Ranges) none() bool  { return r.offsets == nil && r.from.IsZero() }
func (r *Ranges) times() bool { return !r.from.IsZero() }

func (r *Ranges) after() string  { return rangeTime(r.from) }
func (r *Ranges) before() string { return rangeTime(r.to) }

func rangeTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
