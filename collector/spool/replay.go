package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/schemas/event"
)

// maxReplay bounds what is handed to Kafka at once, in bytes of the segment.
const maxReplay = 1 << 20

// replay is the goroutine that empties the spool.
func (s *Spool) replay(ctx context.Context) {
	for ctx.Err() == nil {
		if s.finished() {
			select {
			case <-s.grown:
			case <-ctx.Done():
			}
			continue
		}
		s.mu.Lock()
		seg := s.segments[0]
		s.mu.Unlock()
		s.replaySegment(ctx, seg)
	}
}

// finished lets events go to Kafka directly when nothing is left.
func (s *Spool) finished() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.segments) > 0 {
		return false
	}
	if len(s.open.frames) == 0 && !s.writing {
		if !s.direct {
			s.cfg.Logger.Info("the spool is replayed; events go to Kafka directly again")
		}
		s.direct = true
	}
	return true
}

// replaySegment hands a segment's events on and removes it. While it is being
// written to, it is followed until it stops growing.
func (s *Spool) replaySegment(ctx context.Context, seg *segment) {
	at := int64(len(magic))
	for ctx.Err() == nil {
		batch, length, err := s.read(seg, at)
		if err != nil {
			s.cfg.Logger.Error("a segment of the spool cannot be read; it is tried again", "segment", seg.path, "error", err)
			s.pause(ctx, s.cfg.Backoff)
			continue
		}
		if length == 0 {
			if s.drop(seg, at) {
				return
			}
			select { // it is being written to
			case <-s.grown:
			case <-ctx.Done():
			}
			continue
		}
		if !s.handOn(ctx, batch) {
			return
		}
		at += length
	}
}

// drop removes a segment whose frames up to at are replayed, unless there are or
// may be more.
func (s *Spool) drop(seg *segment, at int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at < seg.size {
		signal(s.grown)
		return false
	}
	if s.writing && !seg.sealed {
		return false
	}
	seg.sealed = true // the writer begins another
	s.segments = s.segments[1:]
	s.bytes -= seg.size
	s.tel.bytes.Record(context.Background(), s.bytes)
	seg.close()
	if err := os.Remove(seg.path); err != nil { // its name may come back after a loss of power: then it is replayed again
		s.cfg.Logger.Error("a replayed segment cannot be removed; it will be replayed again", "segment", seg.path, "error", err)
	}
	return true
}

// read returns the events of the next frames and the frames' length, 0 at the end.
func (s *Spool) read(seg *segment, at int64) ([]collector.Canonical, int64, error) {
	s.mu.Lock()
	end := seg.size
	s.mu.Unlock()
	b := make([]byte, min(end-at, maxReplay+event.MaxBytes+frameHeader))
	if _, err := seg.file.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	var batch []collector.Canonical
	length := 0
	for length < len(b) && length < maxReplay {
		payload, n, err := frame(b[length:])
		if errors.Is(err, errTorn) {
			if length == 0 {
				return nil, 0, fmt.Errorf("at %d: %w", at, err)
			}
			break // the rest of it lies behind what was read
		}
		length += n
		if err != nil {
			s.tel.damaged.Add(context.Background(), 1)
			continue
		}
		e, err := event.Decode(payload)
		if err != nil {
			s.tel.damaged.Add(context.Background(), 1)
			s.cfg.Logger.Error("the spool holds what is no event", "segment", seg.path, "offset", at+int64(length), "error", err)
			continue
		}
		batch = append(batch, collector.Canonical{Event: e, Bytes: payload})
	}
	return batch, int64(length), nil
}

// handOn tries until Kafka has the events; false when ctx ends first.
func (s *Spool) handOn(ctx context.Context, batch []collector.Canonical) bool {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, s.cfg.Backoff) {
		if len(batch) == 0 {
			return true
		}
		err := s.cfg.Next.Publish(ctx, batch)
		if err == nil {
			s.tel.replayed.Add(ctx, int64(len(batch)))
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		s.cfg.Logger.Warn("Kafka does not take the spooled events; they are tried again", "events", len(batch), "error", err)
		if !s.pause(ctx, wait) {
			return false
		}
	}
}

func (s *Spool) pause(ctx context.Context, wait time.Duration) bool {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
