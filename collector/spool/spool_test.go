package spool_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/spool"
	"github.com/custody-audit/custody/schemas/event"
)

// kafka stands for Kafka: it keeps the order of what it took, and can be away.
type kafka struct {
	mu    sync.Mutex
	away  bool          // guarded by mu
	ids   []string      // guarded by mu
	arise chan struct{} // receives at each batch taken
}

func newKafka() *kafka { return &kafka{arise: make(chan struct{}, 1000)} }

func (k *kafka) Publish(_ context.Context, events []collector.Canonical) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.away {
		return fmt.Errorf("%w: no broker", collector.ErrUnavailable)
	}
	for _, e := range events {
		k.ids = append(k.ids, e.Event.Source.EventID)
	}
	select {
	case k.arise <- struct{}{}:
	default:
	}
	return nil
}

func (k *kafka) set(away bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.away = away
}

// wait returns the ids once there are n.
func (k *kafka) wait(t *testing.T, n int) []string {
	t.Helper()
	for timeout := time.After(time.Minute); ; {
		k.mu.Lock()
		ids := slices.Clone(k.ids)
		k.mu.Unlock()
		if len(ids) >= n {
			return ids
		}
		select {
		case <-k.arise:
		case <-timeout:
			t.Fatalf("%d events after 20 s, want %d", len(ids), n)
		}
	}
}

func canonical(id string) collector.Canonical {
	e := &event.Event{
		ID: event.NewID("acme", "s", id, 1_790_000_000_000_000), SchemaVersion: event.SchemaVersion, Kind: event.Session, Type: "task.start",
		Time: 1_790_000_000_000_000, ObservedTime: 1_790_000_000_000_000, Tenant: "acme", Outcome: event.Success,
		Source: event.Source{ID: "s", Type: "native", EventID: id}, Correlation: event.Correlation{TaskID: "t"}, Salt: event.NewSalt(),
	}
	return collector.Canonical{Event: e, Bytes: e.Canonical()}
}

// open starts a spool and returns what stops it.
func open(t *testing.T, cfg spool.Config) (*spool.Spool, func()) {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Backoff = 20 * time.Millisecond
	s, err := spool.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

func publish(t *testing.T, s *spool.Spool, ids ...string) {
	t.Helper()
	var events []collector.Canonical
	for _, id := range ids {
		events = append(events, canonical(id))
	}
	if err := s.Publish(t.Context(), events); err != nil {
		t.Fatal(err)
	}
}

func numbers(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("e%04d", i))
	}
	return out
}

// Events overtake nothing: before, while and after Kafka is away, across
// segments, and over a restart.
func TestOrder(t *testing.T) {
	k, dir := newKafka(), t.TempDir()
	cfg := spool.Config{Dir: dir, Next: k, SegmentBytes: 4 << 10}
	s, stop := open(t, cfg)
	publish(t, s, numbers(0, 10)...)
	if st := s.Stats(); !st.Direct || st.Bytes != 0 {
		t.Errorf("Kafka answers, and %+v", st)
	}
	k.set(true)
	for _, id := range numbers(10, 60) {
		publish(t, s, id)
	}
	if st := s.Stats(); st.Direct || st.Segments < 3 {
		t.Errorf("Kafka is away, and %+v", st)
	}
	stop()
	s, _ = open(t, cfg)
	publish(t, s, numbers(60, 70)...)
	k.set(false)
	publish(t, s, numbers(70, 80)...)
	if diff := cmp.Diff(numbers(0, 80), k.wait(t, 80)); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	waitDirect(t, s)
	publish(t, s, "last")
	if left, _ := filepath.Glob(filepath.Join(dir, "*.spool")); len(left) > 0 || s.Stats().Bytes != 0 {
		t.Errorf("replayed, and %v is left, %+v", left, s.Stats())
	}
}

func waitDirect(t *testing.T, s *spool.Spool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !s.Stats().Direct; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never direct again: %+v", s.Stats())
		}
	}
}

// Many callers, while Kafka comes and goes: each acknowledged event arrives, and
// each caller's own events in its order.
func TestManyCallers(t *testing.T) {
	k := newKafka()
	s, stop := open(t, spool.Config{Dir: t.TempDir(), Next: k, SegmentBytes: 16 << 10})
	var flap sync.WaitGroup
	halt := make(chan struct{})
	flap.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-halt:
				k.set(false)
				return
			case <-time.After(5 * time.Millisecond):
				k.set(i%2 == 0)
			}
		}
	})
	const callers, each = 32, 60
	var work sync.WaitGroup
	for c := range callers {
		work.Go(func() {
			for i := range each {
				if err := s.Publish(t.Context(), []collector.Canonical{canonical(fmt.Sprintf("%02d-%04d", c, i))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	close(halt)
	flap.Wait()
	waitDirect(t, s)
	ids := k.wait(t, callers*each)
	stop()
	for c := range callers {
		var mine []string
		for _, id := range ids {
			if strings.HasPrefix(id, fmt.Sprintf("%02d-", c)) {
				mine = append(mine, id)
			}
		}
		if len(mine) != each || !slices.IsSorted(mine) {
			t.Errorf("caller %d: %d events, sorted %v", c, len(mine), slices.IsSorted(mine))
		}
	}
}

// A full spool refuses, loses nothing of what it took, and takes again when it has room.
func TestFull(t *testing.T) {
	k := newKafka()
	k.set(true)
	s, _ := open(t, spool.Config{Dir: t.TempDir(), Next: k, MaxBytes: 8 << 10})
	var taken []string
	for _, id := range numbers(0, 200) {
		err := s.Publish(t.Context(), []collector.Canonical{canonical(id)})
		if err == nil {
			taken = append(taken, id)
			continue
		}
		if !errors.Is(err, spool.ErrFull) || !errors.Is(err, collector.ErrUnavailable) {
			t.Fatal(err)
		}
		break
	}
	if st := s.Stats(); len(taken) == 0 || len(taken) == 200 || st.Bytes > st.MaxBytes {
		t.Fatalf("took %d, %+v", len(taken), st)
	}
	k.set(false)
	k.wait(t, len(taken))
	waitDirect(t, s)
	publish(t, s, "again")
	if diff := cmp.Diff(append(taken, "again"), k.wait(t, len(taken)+1)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDiskFull(t *testing.T) {
	k := newKafka()
	k.set(true)
	s, _ := open(t, spool.Config{Dir: t.TempDir(), Next: k, MinFreeBytes: 1 << 60})
	if err := s.Publish(t.Context(), []collector.Canonical{canonical("a")}); !errors.Is(err, spool.ErrFull) {
		t.Errorf("error %v", err)
	}
}

func TestOneProcessForOneFolder(t *testing.T) {
	dir := t.TempDir()
	open(t, spool.Config{Dir: dir, Next: newKafka()})
	_, err := spool.Open(spool.Config{Dir: dir, Next: newKafka(), Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("error %v", err)
	}
}

// filled leaves a folder with one segment of these events.
func filled(t *testing.T, ids []string) (dir, segment string) {
	t.Helper()
	k := newKafka()
	k.set(true)
	dir = t.TempDir()
	s, stop := open(t, spool.Config{Dir: dir, Next: k})
	for _, id := range ids {
		publish(t, s, id)
	}
	stop()
	segments, err := filepath.Glob(filepath.Join(dir, "*.spool"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("segments %v, %v", segments, err)
	}
	return dir, segments[0]
}

// recovered returns what a spool replays from a folder.
func recovered(t *testing.T, dir string) []string {
	t.Helper()
	k := newKafka()
	s, stop := open(t, spool.Config{Dir: dir, Next: k})
	waitDirect(t, s)
	stop()
	return k.ids
}

// Wherever the last write was torn, what was whole before it is there.
func TestTornTail(t *testing.T) {
	dir, segment := filled(t, numbers(0, 3))
	whole, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	last := len(whole) / 3 * 2 // the frames are of about the same size
	for cut := last; cut < len(whole); cut += 7 {
		if err := os.WriteFile(segment, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		got := recovered(t, dir)
		if want := numbers(0, len(got)); len(got) < 1 || len(got) > 2 || cmp.Diff(want, got) != "" {
			t.Errorf("cut at %d of %d: %v", cut, len(whole), got)
		}
	}
	garbage := append(slices.Clone(whole), "\x05\x00\x00\x00\x00\x00\x00\x00abcde"...) // as long as it says, and not what was meant
	if err := os.WriteFile(segment, garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(numbers(0, 3), recovered(t, dir)); diff != "" {
		t.Errorf("garbage behind (-want +got):\n%s", diff)
	}
}

// A damaged frame costs itself and no other, and is kept for whoever looks into it.
func TestDamage(t *testing.T) {
	dir, segment := filled(t, numbers(0, 5))
	b, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(segment, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"e0000", "e0001", "e0003", "e0004"}, recovered(t, dir)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, "*.damaged")); len(kept) != 1 {
		t.Errorf("kept %v", kept)
	}
}

// childVariable makes the test binary a process that spools without end and
// says what was acknowledged.
const childVariable = "CUSTODY_TEST_SPOOL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		spoolForever(dir)
	}
	os.Exit(m.Run())
}

func spoolForever(dir string) {
	k := newKafka()
	k.set(true)
	s, err := spool.Open(spool.Config{Dir: dir, Next: k, SegmentBytes: 32 << 10, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go s.Run(context.Background())
	out := make(chan string)
	for c := range 8 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), c, i)
				if s.Publish(context.Background(), []collector.Canonical{canonical(id)}) == nil {
					out <- id
				}
			}
		}()
	}
	for id := range out {
		fmt.Println(id)
	}
}

// What was acknowledged before kill -9 is replayed by the next process.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	const kills = 10
	for round := range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+dir)
		stdout, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stdout)
		for n := 0; lines.Scan(); n++ {
			acknowledged[lines.Text()] = true
			if n == 50+37*round {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
	}
	got := map[string]int{}
	for _, id := range recovered(t, dir) {
		got[id]++
	}
	missing, twice := 0, 0
	for id := range acknowledged {
		if got[id] == 0 {
			missing++
		}
		if got[id] > 1 {
			twice++
		}
	}
	t.Logf("%d kills, %d acknowledged, %d on disk", kills, len(acknowledged), len(got))
	if len(acknowledged) < kills*50 || missing > 0 || twice > 0 {
		t.Errorf("%d acknowledged events are missing, %d are there twice", missing, twice)
	}
}

func BenchmarkKeep(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			k := newKafka()
			k.set(true)
			s, err := spool.Open(spool.Config{Dir: b.TempDir(), Next: k, MaxBytes: 16 << 30, SegmentBytes: 64 << 20, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			e := []collector.Canonical{canonical("a")}
			b.SetParallelism(callers)
			b.SetBytes(int64(len(e[0].Bytes)))
			b.ResetTimer()
			if callers == 1 {
				for b.Loop() {
					s.Publish(ctx, e)
				}
			} else {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						s.Publish(ctx, e)
					}
				})
			}
			b.StopTimer()
			cancel()
			<-done
		})
	}
}
