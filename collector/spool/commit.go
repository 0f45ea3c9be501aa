package spool

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/custody-audit/custody/collector"
)

// commit is what becomes durable with one fdatasync: the frames of everybody who
// came while the last one was under way.
type commit struct {
	frames []byte
	events int
	done   chan struct{} // closed when err is set
	err    error
}

func newCommit() *commit { return &commit{done: make(chan struct{})} }

// write is the goroutine that owns the files' ends.
func (s *Spool) write(ctx context.Context) {
	for {
		select {
		case <-s.wake:
			s.commit(s.take(false))
		case <-ctx.Done():
			s.commit(s.take(true))
			return
		}
	}
}

func (s *Spool) take(last bool) *commit {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.open
	s.open, s.writing, s.stopped = newCommit(), len(c.frames) > 0, last
	return c
}

// commit writes what was taken and tells those who wait for it.
func (s *Spool) commit(c *commit) {
	defer close(c.done)
	if len(c.frames) == 0 {
		return
	}
	seg, err := s.writable()
	if err == nil {
		err = seg.append(c.frames)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer signal(s.grown)
	s.writing = false
	if err != nil {
		s.cfg.Logger.Error("the spool cannot be written", "dir", s.cfg.Dir, "events", c.events, "error", err)
		c.err = fmt.Errorf("%w: write spool: %w", collector.ErrUnavailable, err)
		s.bytes -= int64(len(c.frames))
		if seg != nil {
			seg.sealed = true // nobody knows what of its end is on disk
		}
		return
	}
	seg.size += int64(len(c.frames))
	s.tel.kept.Add(context.Background(), int64(c.events))
	s.tel.bytes.Record(context.Background(), s.bytes)
}

// writable returns the last segment, or a new one when that is full or broken.
func (s *Spool) writable() (*segment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.segments); n > 0 {
		if last := s.segments[n-1]; !last.sealed && last.size < s.cfg.SegmentBytes {
			return last, nil
		}
		s.segments[n-1].sealed = true
	}
	seg, err := createSegment(s.cfg.Dir, s.next)
	if err != nil {
		return nil, err
	}
	s.next++
	s.segments = append(s.segments, seg)
	s.bytes += seg.size
	return seg, nil
}

// append makes the frames durable behind size, which does not change meanwhile:
// only the writer, which calls this, changes it.
func (g *segment) append(frames []byte) error {
	_, err := g.file.WriteAt(frames, g.size)
	if err == nil {
		err = syncData(g.file)
	}
	if err != nil {
		g.file.Truncate(g.size) // best effort: recovery cuts the tail as well
	}
	return err
}

func createSegment(dir string, number uint64) (*segment, error) {
	path := filepath.Join(dir, segmentName(number))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err = f.WriteString(magic); err == nil {
		if err = f.Sync(); err == nil {
			err = syncFolder(dir)
		}
	}
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, err
	}
	return &segment{path: path, file: f, size: int64(len(magic))}, nil
}

// syncFolder makes a new name in a folder durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
