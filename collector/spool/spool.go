// Package spool keeps events on disk while Kafka is away. It stands between the
// gateway and the Kafka publisher and is a publisher itself.
//
// While Kafka answers, events go straight to it. When it does not, they are
// written to segments of the spool's folder and acknowledged after fdatasync, and
// so is everything that follows until the spool has been replayed, in order, and
// is empty again. What was acknowledged survives kill -9 of the process and loss
// of power, as far as the disk keeps its word; it does not survive loss of the
// disk. Replay is at least once: a segment that was replayed in part is replayed
// again after a crash, and the processor stores the second copy as a duplicate.
//
// The spool is bounded in bytes and by the free space of its disk. When it is
// full, Publish refuses with an error that wraps [collector.ErrUnavailable].
package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/custody-audit/custody/collector"
)

// Config configures a Spool.
type Config struct {
	// Dir holds the segments, of one process at a time. Required.
	Dir string
	// Next is where events go: Kafka. Required.
	Next collector.Publisher
	// MaxBytes bounds what the spool may hold; 0 is 1 GiB. Too small a spool
	// refuses events in a short outage; sources that keep none lose them.
	MaxBytes int64
	// MinFreeBytes of the disk are left to others; 0 is 256 MiB, negative none.
	MinFreeBytes int64
	// SegmentBytes is when the next segment begins; 0 is 8 MiB. It bounds what is
	// replayed twice after a crash.
	SegmentBytes int64
	// Backoff is the longest wait before Kafka is tried again; 0 is 2 s.
	Backoff time.Duration

	Logger *slog.Logger
	Meter  metric.Meter // nil counts nothing
}

func (c *Config) setDefaults() error {
	if c.Dir == "" || c.Next == nil || c.Logger == nil {
		return errors.New("spool: Dir, Next and Logger are required")
	}
	if c.MaxBytes < 0 || c.SegmentBytes < 0 || c.Backoff < 0 {
		return errors.New("spool: MaxBytes, SegmentBytes and Backoff must not be negative")
	}
	def(&c.MaxBytes, 1<<30)
	def(&c.MinFreeBytes, 256<<20)
	def(&c.SegmentBytes, 8<<20)
	def(&c.Backoff, 2*time.Second)
	return nil
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// ErrFull says that the spool takes nothing more until Kafka has taken some of it.
var ErrFull = fmt.Errorf("%w: the spool is full", collector.ErrUnavailable)

// Spool is a publisher that outlives Kafka's absence. It is safe for concurrent use.
type Spool struct {
	cfg  Config
	tel  *telemetry
	lock *os.File

	mu       sync.Mutex
	direct   bool       // nothing is spooled: events go to Next; guarded by mu
	segments []*segment // in order; the last one is written to; guarded by mu
	bytes    int64      // of all segments and of what waits for them; guarded by mu
	next     uint64     // number of the next segment; guarded by mu
	open     *commit    // what waits for the next fdatasync; guarded by mu
	writing  bool       // a commit is under way; guarded by mu
	stopped  bool       // the writer is gone; guarded by mu

	wake  chan struct{} // for the writer: something waits
	grown chan struct{} // for the replay: a commit has ended
}

var _ collector.Publisher = (*Spool)(nil)

// Open recovers what an earlier process left and returns the spool; the caller
// owes a Run. A tail that was being written when that process died is cut off:
// nobody was told that it is durable.
func Open(cfg Config) (*Spool, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	s := &Spool{cfg: cfg, open: newCommit(), wake: make(chan struct{}, 1), grown: make(chan struct{}, 1)}
	var err error
	if s.tel, err = newTelemetry(cfg.Meter); err != nil {
		return nil, err
	}
	s.tel.limit.Record(context.Background(), cfg.MaxBytes)
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if s.lock, err = lockFolder(cfg.Dir); err != nil {
		return nil, err
	}
	if err := s.recover(); err != nil {
		s.lock.Close()
		return nil, fmt.Errorf("recover spool %s: %w", cfg.Dir, err)
	}
	s.direct = len(s.segments) == 0
	return s, nil
}

func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("spool folder %s is in use by another collector: give each its own", dir)
	}
	return f, nil
}

// Publish implements [collector.Publisher].
func (s *Spool) Publish(ctx context.Context, events []collector.Canonical) error {
	if s.isDirect() {
		err := s.cfg.Next.Publish(ctx, events)
		if err == nil || !errors.Is(err, collector.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		// Kafka may have it all the same, and then gets it twice.
	}
	return s.keep(ctx, events)
}

func (s *Spool) isDirect() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.direct
}

// keep returns when the events are on disk.
func (s *Spool) keep(ctx context.Context, events []collector.Canonical) error {
	mine, err := s.enqueue(encode(events), len(events))
	if err != nil {
		s.tel.full.Add(ctx, int64(len(events)))
		return err
	}
	signal(s.wake)
	<-mine.done // however late: the caller must not hear "no" of what is kept
	return mine.err
}

func (s *Spool) enqueue(frames []byte, events int) (*commit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped:
		return nil, fmt.Errorf("%w: the spool is closed", collector.ErrUnavailable)
	case s.bytes+int64(len(frames)) > s.cfg.MaxBytes || s.diskFull():
		return nil, ErrFull
	}
	s.direct = false
	s.bytes += int64(len(frames))
	s.open.frames = append(s.open.frames, frames...)
	s.open.events += events
	return s.open, nil
}

// diskFull asks the file system; an answer that it does not give is no.
func (s *Spool) diskFull() bool {
	var st syscall.Statfs_t
	if s.cfg.MinFreeBytes < 0 || syscall.Statfs(s.cfg.Dir, &st) != nil {
		return false
	}
	return int64(st.Bavail)*int64(st.Bsize) < s.cfg.MinFreeBytes
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run writes what is published and replays it, until ctx is done and what was
// being written is on disk. What is left is replayed by the next process.
func (s *Spool) Run(ctx context.Context) error {
	var work sync.WaitGroup
	work.Go(func() { s.replay(ctx) })
	s.write(ctx)
	work.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segments {
		seg.close()
	}
	return s.lock.Close()
}

// Stats is how full the spool is.
type Stats struct {
	Bytes, MaxBytes int64
	Segments        int
	Direct          bool // nothing is spooled
}

// Stats returns how full the spool is now.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{s.bytes, s.cfg.MaxBytes, len(s.segments), s.direct}
}

// Full tells whether the spool refuses events now.
func (s *Spool) Full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes >= s.cfg.MaxBytes || s.diskFull()
}
