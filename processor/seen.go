package processor

import (
	"context"
	"encoding/binary"
	"sync"

	guuid "github.com/google/uuid"

	"github.com/custody-audit/custody/schemas/event"
)

type uuid = guuid.UUID

// parseUUID reads an id that Validate accepted.
func parseUUID(s string) uuid {
	u, _ := event.ParseID(s)
	return u
}

// seen remembers which ids are stored, so that ClickHouse need not be asked for
// each event whether it came before. It never forgets an id within a bucket of
// time that it holds: what it has not seen is new. What it has seen may be new
// all the same, and is looked up. Ids are kept as 64 bits of fingerprint.
//
// It is shared by the workers of a process and begins anew with each generation
// of the group: only then can others have stored records of our partitions.
type seen struct {
	// load returns the ids stored within the buckets given.
	load func(ctx context.Context, buckets []int64) (map[int64][]uuid, error)
	// newest returns a bucket after which nothing is stored.
	newest func(ctx context.Context) (int64, error)
	limit  int // ids that are held

	mu      sync.Mutex
	known   bool  // horizon was asked for; guarded by mu, as what follows
	horizon int64 // nothing was stored after this bucket when the generation began
	buckets map[int64]*bucket
	held    int
	clock   int64
}

// bucketWidth is how much of the events' time shares a bucket. An event's time
// is what its source says; a source that scatters its times makes this process
// load more buckets, which is bounded by one query for each block.
const bucketWidth = 10 * 1_000_000 // microseconds

func bucketOf(t event.Time) int64 { return int64(t) / bucketWidth }

type bucket struct {
	ids idSet
	// partial buckets hold not all ids, because they are too many: each of their
	// events is looked up.
	partial bool
	used    int64
}

// reset forgets everything.
func (s *seen) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known, s.horizon, s.buckets, s.held = false, 0, map[int64]*bucket{}, 0
}

// doubtful adds the block's ids and returns those that were there before, in
// the store or in the block. The caller looks them up.
func (s *seen) doubtful(ctx context.Context, events []identity) (map[uuid]bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.hold(ctx, events); err != nil {
		return nil, err
	}
	doubtful := map[uuid]bool{}
	last, at := (*bucket)(nil), int64(-1)
	for i := range events {
		e := &events[i]
		if n := bucketOf(e.time); n != at {
			last, at = s.buckets[n], n
		}
		if last.partial || !last.ids.add(fingerprint(e.id)) {
			doubtful[e.id] = true
		}
	}
	s.trim()
	return doubtful, nil
}

// hold makes sure that the events' buckets are there.
func (s *seen) hold(ctx context.Context, events []identity) error {
	if !s.known {
		horizon, err := s.newest(ctx)
		if err != nil {
			return err
		}
		s.horizon, s.known = horizon, true
	}
	s.clock++
	var missing []int64
	last := int64(-1)
	for i := range events {
		n := bucketOf(events[i].time)
		if n == last {
			continue
		}
		last = n
		b := s.buckets[n]
		if b == nil {
			b = &bucket{}
			s.buckets[n] = b
			if n <= s.horizon {
				missing = append(missing, n)
			}
		}
		b.used = s.clock
	}
	if len(missing) == 0 {
		return nil
	}
	stored, err := s.load(ctx, missing)
	if err != nil {
		for _, n := range missing {
			delete(s.buckets, n)
		}
		return err
	}
	for n, ids := range stored {
		b := s.buckets[n]
		if len(ids) > s.limit/2 {
			b.partial = true
			continue
		}
		for _, id := range ids {
			b.ids.add(fingerprint(id))
		}
	}
	return nil
}

// trim forgets the buckets that were not used for longest. They can be loaded
// again, so the horizon moves beyond them.
func (s *seen) trim() {
	s.held = 0
	for _, b := range s.buckets {
		if b.ids.n > s.limit/2 {
			b.ids, b.partial = idSet{}, true
		}
		s.held += b.ids.n
	}
	for s.held > s.limit || len(s.buckets) > maxBuckets {
		var oldest int64
		var victim *bucket
		for n, b := range s.buckets {
			if b.used < s.clock && (victim == nil || b.used < victim.used) {
				oldest, victim = n, b
			}
		}
		if victim == nil {
			return // all are of this block
		}
		s.held -= victim.ids.n
		s.horizon = max(s.horizon, oldest)
		delete(s.buckets, oldest)
	}
}

// maxBuckets bounds what empty buckets cost.
const maxBuckets = 10_000

func fingerprint(id uuid) uint64 {
	f := binary.BigEndian.Uint64(id[8:]) ^ binary.BigEndian.Uint64(id[:8])*0x9e3779b97f4a7c15
	return max(f, 1) // 0 is an empty place
}

// idSet is a set of fingerprints with open addressing.
type idSet struct {
	slots []uint64
	n     int
}

// add returns false when f was there.
func (s *idSet) add(f uint64) bool {
	if s.n*10 >= len(s.slots)*7 {
		s.grow()
	}
	if !s.place(f) {
		return false
	}
	s.n++
	return true
}

func (s *idSet) place(f uint64) bool {
	mask := uint64(len(s.slots) - 1)
	for i := f & mask; ; i = (i + 1) & mask {
		switch s.slots[i] {
		case 0:
			s.slots[i] = f
			return true
		case f:
			return false
		}
	}
}

func (s *idSet) grow() {
	old := s.slots
	s.slots = make([]uint64, max(2*len(old), 64))
	for _, f := range old {
		if f != 0 {
			s.place(f)
		}
	}
}
