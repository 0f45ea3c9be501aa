// Package deadletter reads custody.deadletter, where the processor leaves what it
// could make no event of, and puts back what can be read by now.
//
// It reads ranges of the log and joins no group, so it changes nothing and takes
// nothing from the processors; it holds one fetch in memory. What a letter says
// of its tenant and source is from the record's headers: a claim of whoever
// wrote it. It does not guarantee that a letter is there once: the processor
// writes one again after a crash.
package deadletter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/topic"
)

// Position is where a letter lies.
type Position struct {
	Partition int
	Offset    int64
}

// String is PARTITION/OFFSET.
func (p Position) String() string { return fmt.Sprintf("%d/%d", p.Partition, p.Offset) }

// MarshalText implements [encoding.TextMarshaler].
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *Position) UnmarshalText(b []byte) (err error) {
	*p, err = ParsePosition(string(b))
	return err
}

// ParsePosition reads PARTITION/OFFSET.
func ParsePosition(text string) (Position, error) {
	var p Position
	var rest string
	if n, _ := fmt.Sscanf(text, "%d/%d%s", &p.Partition, &p.Offset, &rest); n != 2 || p.Partition < 0 || p.Offset < 0 {
		return p, fmt.Errorf("position %q: want PARTITION/OFFSET, as \"custody deadletter list\" shows it", text)
	}
	return p, nil
}

// Letter is a record that was no event when it was processed.
type Letter struct {
	Position Position     `json:"position"`
	Time     time.Time    `json:"time"`   // when it was buried, by the clock of the processor
	Tenant   string       `json:"tenant"` // as the record's headers claim
	Source   string       `json:"source"` // as the record's headers claim
	Reason   string       `json:"reason"` // why it was no event
	Origin   topic.Origin `json:"origin"` // zero when nothing says it
	Size     int          `json:"size"`   // bytes

	Key, Value []byte         `json:"-"` // of the record
	Headers    []kafka.Header `json:"-"` // of the record
}

// newLetter reads a message; one that the processor did not write has no origin.
func newLetter(p Position, at time.Time, key, value []byte, headers []kafka.Header) *Letter {
	l := &Letter{Position: p, Time: at.UTC(), Size: len(value), Key: key, Value: value}
	var err error
	if l.Origin, l.Headers, err = topic.Buried(headers); err != nil {
		l.Reason = "not written by a processor: " + err.Error()
	} else {
		l.Reason = l.Origin.Reason
	}
	l.Tenant, l.Source = topic.Header(l.Headers, topic.HeaderTenant), topic.Header(l.Headers, topic.HeaderSource)
	return l
}

// Readable returns nil when this version makes an event of the record.
func (l *Letter) Readable() error {
	e, _, err := event.DecodeLenient(l.Value)
	if err != nil {
		return err
	}
	return e.Validate()
}

// Filter says which letters are meant; empty fields mean all.
type Filter struct {
	Tenant, Source string
	Reason         string    // part of it
	Since, Until   time.Time // when they were buried; Until is not included
	At             []Position
}

func (f *Filter) match(l *Letter) bool {
	return (f.Tenant == "" || l.Tenant == f.Tenant) && (f.Source == "" || l.Source == f.Source) && strings.Contains(l.Reason, f.Reason) &&
		!l.Time.Before(f.Since) && (f.Until.IsZero() || l.Time.Before(f.Until))
}

// Reader reads a dead-letter topic.
type Reader struct {
	client *kafka.Client
	topic  string
}

// New returns a reader of the topic.
func New(client *kafka.Client, topic string) *Reader { return &Reader{client, topic} }

// Each gives visit the letters that are there now and match, in the order of the
// log, one partition after the other. It returns how many it read.
func (r *Reader) Each(ctx context.Context, f Filter, visit func(*Letter) error) (int, error) {
	ranges, err := r.ranges(ctx, &f)
	if err != nil {
		return 0, err
	}
	read := 0
	for _, in := range ranges {
		for in.from < in.end {
			next, err := r.fetch(ctx, in, func(l *Letter) error {
				read++
				if !f.match(l) {
					return nil
				}
				return visit(l)
			})
			if err != nil {
				return read, err
			}
			in.from = next
		}
	}
	return read, nil
}

// At returns the letter at a position.
func (r *Reader) At(ctx context.Context, p Position) (*Letter, error) {
	var found *Letter
	_, err := r.Each(ctx, Filter{At: []Position{p}}, func(l *Letter) error { found = l; return nil })
	if err == nil && found == nil {
		err = fmt.Errorf("no dead letter at %s: Kafka does not have it yet, or not any more", p)
	}
	return found, err
}

// patience bounds one fetch; the range is known to be there.
const patience = 10 * time.Second

// fetch visits what one fetch gives of the range and returns where it ended.
func (r *Reader) fetch(ctx context.Context, in span, visit func(*Letter) error) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	res, err := settled(ctx, func() (*kafka.FetchResponse, error) {
		res, err := r.client.Fetch(ctx, &kafka.FetchRequest{Topic: r.topic, Partition: in.partition, Offset: in.from, MinBytes: 1, MaxBytes: 4 << 20, MaxWait: patience})
		if err == nil {
			err = res.Error
		}
		return res, err
	})
	if errors.Is(err, kafka.OffsetOutOfRange) {
		return r.skip(ctx, in)
	}
	if err != nil {
		return 0, fmt.Errorf("read dead letters from %s: %w", Position{in.partition, in.from}, err)
	}
	next := in.from
	for next < in.end {
		record, err := res.Records.ReadRecord()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // the last batch may be cut
			break
		}
		if err != nil {
			return 0, fmt.Errorf("read dead letters from %s: %w", Position{in.partition, next}, err)
		}
		if record.Offset < next {
			continue // a batch begins before the offset asked for
		}
		if record.Offset >= in.end {
			return in.end, nil
		}
		next = record.Offset + 1
		key, err1 := kafka.ReadAll(record.Key)
		value, err2 := kafka.ReadAll(record.Value)
		if err := errors.Join(err1, err2); err != nil {
			return 0, fmt.Errorf("read dead letter %s: %w", Position{in.partition, record.Offset}, err)
		}
		if err := visit(newLetter(Position{in.partition, record.Offset}, record.Time, key, value, record.Headers)); err != nil {
			return 0, err
		}
	}
	if next == in.from {
		return 0, fmt.Errorf("kafka does not give the dead letters from %s on", Position{in.partition, in.from})
	}
	return next, nil
}

// skip goes on where the log begins by now: its retention is over for the rest.
func (r *Reader) skip(ctx context.Context, in span) (int64, error) {
	first, _, err := r.bounds(ctx, in.partition)
	if err == nil && first <= in.from {
		err = fmt.Errorf("kafka does not give the dead letters from %s on", Position{in.partition, in.from})
	}
	return first, err
}
