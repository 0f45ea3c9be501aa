package processor

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	guuid "github.com/google/uuid"

	"github.com/custody-audit/custody/schemas/event"
)

// idStore is what seen asks, in memory.
type idStore struct {
	ids     map[uuid]event.Time
	loads   int
	horizon int64
}

func (s *idStore) load(_ context.Context, buckets []int64) (map[int64][]uuid, error) {
	s.loads++
	out := map[int64][]uuid{}
	for id, t := range s.ids {
		for _, b := range buckets {
			if bucketOf(t) == b {
				out[b] = append(out[b], id)
			}
		}
	}
	return out, nil
}

func (s *idStore) newest(context.Context) (int64, error) {
	newest := s.horizon
	for _, t := range s.ids {
		newest = max(newest, bucketOf(t))
	}
	return newest, nil
}

// Whatever is stored, came earlier in the block, was forgotten or was stored by
// another process before this generation is in doubt; what is new is not, unless
// its bucket holds too many to keep.
func TestSeen(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1 << 20, 400, 60} {
		r := rand.New(rand.NewPCG(1, uint64(limit)))
		st := &idStore{ids: map[uuid]event.Time{}}
		s := &seen{load: st.load, newest: st.newest, limit: limit}
		s.reset()
		var all []identity
		wrong := 0
		for range 300 {
			if r.IntN(20) == 0 { // another generation, before which others stored
				for range 30 {
					e := identity{id: randomID(r), time: event.Time(r.Int64N(40 * bucketWidth))}
					st.ids[e.id] = e.time
					all = append(all, e)
				}
				s.reset()
			}
			var block []identity
			want := map[uuid]bool{}
			fresh := map[uuid]bool{}
			for range r.IntN(30) {
				e := identity{id: randomID(r), time: event.Time(r.Int64N(40 * bucketWidth))}
				if len(all) > 0 && r.IntN(3) == 0 {
					e = all[r.IntN(len(all))]
				}
				if _, stored := st.ids[e.id]; stored || fresh[e.id] {
					want[e.id] = true
				}
				fresh[e.id] = true
				block, all = append(block, e), append(all, e)
			}
			got, err := s.doubtful(t.Context(), block)
			if err != nil {
				t.Fatal(err)
			}
			for id := range want {
				if !got[id] {
					t.Fatalf("limit %d: a known id is not in doubt", limit)
				}
			}
			wrong += len(got) - len(want)
			for _, e := range block {
				st.ids[e.id] = e.time
			}
			for _, b := range s.buckets {
				if s.held > limit && b.used < s.clock {
					t.Fatalf("limit %d: %d ids are held, some not of the last block", limit, s.held)
				}
			}
		}
		if limit == 1<<20 && wrong > 0 {
			t.Errorf("%d new ids were in doubt", wrong)
		}
	}
}

// Events of the present cost no query: nothing can be stored of a time that has
// not come when the generation begins.
func TestSeenOfThePresent(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	st := &idStore{ids: map[uuid]event.Time{randomID(r): 50 * bucketWidth}}
	s := &seen{load: st.load, newest: st.newest, limit: 1000}
	s.reset()
	for i := range 500 {
		if got, err := s.doubtful(t.Context(), []identity{{id: randomID(r), time: event.Time(51+i) * bucketWidth}}); err != nil || len(got) > 0 {
			t.Fatal(got, err)
		}
	}
	if st.loads > 0 {
		t.Errorf("%d loads", st.loads)
	}
}

func randomID(r *rand.Rand) (id guuid.UUID) {
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	return id
}

func TestWatchdog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d watchdog
		idle := func(after time.Duration, offset, high int64) error {
			time.Sleep(after)
			return d.idle(offset, high)
		}
		for range 100 {
			if err := idle(time.Second, 10, 10); err != nil {
				t.Fatalf("at the log's end: %v", err)
			}
		}
		for range 2 { // the log grows, and records come before 30 s are over
			for range 29 {
				if err := idle(time.Second, 10, 20); err != nil {
					t.Fatal(err)
				}
			}
			d.fed()
		}
		if err := idle(0, 10, 20); err != nil {
			t.Fatal(err)
		}
		if err := idle(stallTime+1, 10, 20); err == nil {
			t.Error("nothing came for 30 s, and the watchdog is silent")
		}
	})
}

func BenchmarkSeen(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	st := &idStore{}
	s := &seen{load: st.load, newest: st.newest, limit: maxSeen}
	s.reset()
	events := make([]identity, 40_000)
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		b.StopTimer()
		for j := range events {
			events[j] = identity{id: randomID(r), time: event.Time(i * bucketWidth)}
		}
		b.StartTimer()
		if _, err := s.doubtful(b.Context(), events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(events)), "ns/event")
}
