package tail_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/push"
	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/collector/registry"
	"github.com/custody-audit/custody/collector/tail"
	"github.com/custody-audit/custody/schemas/event"
)

// parseLine reads {"n": NUMBER}; it gives the event no id of its own.
func parseLine(record []byte) ([]*event.Event, error) {
	var line struct {
		N *int `json:"n"`
	}
	if err := json.Unmarshal(record, &line); err != nil || line.N == nil {
		return nil, errors.New("want a number n")
	}
	return []*event.Event{{Kind: event.Session, Type: "test.line", Time: 1, Outcome: event.Success, Correlation: event.Correlation{TaskID: fmt.Sprint(*line.N)}}}, nil
}

// collect is the collector's push endpoint in front of a store that knows an id
// only once, as the processor does.
type collect struct {
	*httptest.Server
	key string

	mu     sync.Mutex
	lines  map[string]string // task ids by event id; guarded by mu
	twice  int               // guarded by mu
	refuse atomic.Int64      // so many requests get 503, after they were stored every other time
}

func (c *collect) Publish(_ context.Context, events []collector.Canonical) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := c.refuse.Add(-1)
	if left >= 0 && left%2 == 0 {
		return collector.ErrUnavailable
	}
	for _, e := range events {
		if _, known := c.lines[e.Event.ID]; known {
			c.twice++
		}
		c.lines[e.Event.ID] = e.Event.Correlation.TaskID
	}
	if left >= 0 { // stored, and the sender does not know
		return collector.ErrUnavailable
	}
	return nil
}

func newCollect(t *testing.T) *collect {
	t.Helper()
	key, hash := registry.NewKey()
	sources, err := registry.New(registry.Config{Logger: quiet, Sources: []collector.Source{{ID: "s", Tenant: "acme", KeySHA256: hash}}})
	if err != nil {
		t.Fatal(err)
	}
	redactor, err := redact.New("", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &collect{key: key, lines: map[string]string{}}
	gateway, err := collector.NewGateway(collector.GatewayConfig{Publisher: c, Redactor: redactor, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	handler := push.Handler(sources, gateway, map[string]push.Parser{"line": push.Same(parseLine)})
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(shortWait{w}, r)
	}))
	t.Cleanup(c.Close)
	return c
}

// shortWait asks for no patience.
type shortWait struct{ http.ResponseWriter }

func (w shortWait) WriteHeader(status int) {
	w.Header().Del("Retry-After")
	w.ResponseWriter.WriteHeader(status)
}

// await waits until the lines 0 to n-1 are stored, each once.
func (c *collect) await(t *testing.T, n int) {
	t.Helper()
	var got []string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		c.mu.Lock()
		got = got[:0]
		for _, line := range c.lines {
			got = append(got, line)
		}
		c.mu.Unlock()
		if len(got) >= n {
			break
		}
	}
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint(i))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		t.Fatalf("%d lines written, %d stored, of them %d different", n, len(got), len(slices.Compact(got)))
	}
}

var quiet = slog.New(slog.DiscardHandler)

// place is a folder with a log and its tail.
type place struct {
	*testing.T
	*collect
	log, checkpoint string
	written         int
}

func newPlace(t *testing.T) *place {
	dir := t.TempDir()
	return &place{T: t, collect: newCollect(t), log: filepath.Join(dir, "audit.log"), checkpoint: filepath.Join(dir, "checkpoint.json")}
}

func config(url, key, log, checkpoint string, logger *slog.Logger) tail.Config {
	return tail.Config{
		Path: log, Checkpoint: checkpoint, URL: url, Type: "line", Key: func() (string, error) { return key, nil },
		Poll: 2 * time.Millisecond, Settle: 30 * time.Millisecond, Logger: logger,
	}
}

func (p *place) start(change func(*tail.Config)) (stop func()) {
	p.Helper()
	cfg := config(p.URL, p.key, p.log, p.checkpoint, quiet)
	if change != nil {
		change(&cfg)
	}
	t, err := tail.New(cfg)
	if err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithCancel(p.Context())
	done := make(chan error, 1)
	go func() { done <- t.Run(ctx) }()
	return func() {
		p.Helper()
		cancel()
		if err := <-done; err != nil {
			p.Error(err)
		}
	}
}

// write appends n lines to a file, by an open one if there is one.
func (p *place) write(f *os.File, n int) {
	p.Helper()
	if f == nil {
		f = p.append()
		defer f.Close()
	}
	var b strings.Builder
	for range n {
		fmt.Fprintf(&b, "{\"n\":%d}\n", p.written)
		p.written++
	}
	if _, err := f.WriteString(b.String()); err != nil {
		p.Fatal(err)
	}
}

func (p *place) append() *os.File {
	p.Helper()
	f, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		p.Fatal(err)
	}
	return f
}

func (p *place) rename(to string) {
	p.Helper()
	if err := os.Rename(p.log, p.log+to); err != nil {
		p.Fatal(err)
	}
}

func (p *place) all() { p.Helper(); p.await(p.T, p.written) }

func TestFollowsAFileThatComesLater(t *testing.T) {
	p := newPlace(t)
	defer p.start(nil)()
	p.write(nil, 10)
	p.all()
	p.write(nil, 20_000) // several batches
	p.all()
}

func TestRotationByRename(t *testing.T) {
	p := newPlace(t)
	p.write(nil, 10)
	defer p.start(nil)()
	p.all() // before that, it does not know the file
	for i := range 3 {
		f := p.append()
		p.write(f, 100)
		p.rename(fmt.Sprintf(".%d", i))
		p.write(f, 50) // the writer has not noticed yet
		p.write(nil, 100)
		p.write(f, 50)
		f.WriteString(fmt.Sprintf(`{"n":%d}`, p.written)) // its last line has no end
		p.written++
		f.Close()
		p.all()
	}
}

func TestCopyTruncate(t *testing.T) {
	p := newPlace(t)
	defer p.start(nil)()
	for range 3 {
		p.write(nil, 500)
		p.all() // what is not read yet, nobody can save
		if err := os.Truncate(p.log, 0); err != nil {
			t.Fatal(err)
		}
		p.write(nil, 800) // longer than before: the size does not tell
		p.all()
		if err := os.Truncate(p.log, 0); err != nil {
			t.Fatal(err)
		}
		p.write(nil, 5)
		p.all()
	}
}

// While nobody reads, the file is rotated once, several times, and not at all.
func TestRestart(t *testing.T) {
	p := newPlace(t)
	p.write(nil, 100)
	for round, rotations := range []int{0, 1, 3, 0, 2} {
		stop := p.start(nil)
		p.all()
		stop()
		p.write(nil, 70)
		for i := range rotations {
			p.rename(fmt.Sprintf("-%d-%d.log", round, i))
			p.write(nil, 30)
			time.Sleep(10 * time.Millisecond) // file systems have coarse clocks
		}
		if err := os.WriteFile(p.log+".old.gz", []byte("\x1f\x8b not lines\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stop := p.start(nil)
	p.all()
	stop()
	if p.twice > 0 {
		t.Errorf("%d lines were sent twice, though every stop was in order", p.twice)
	}
}

// Refusals, and answers that do not arrive, change nothing.
func TestCollectorAway(t *testing.T) {
	p := newPlace(t)
	p.refuse.Store(3)
	p.write(nil, 100)
	defer p.start(nil)()
	for deadline := time.Now().Add(time.Minute); p.refuse.Load() >= 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the lines are not sent again")
		}
	}
	p.all()
}

func TestBadLines(t *testing.T) {
	p := newPlace(t)
	f := p.append()
	defer f.Close()
	defer p.start(nil)()
	p.write(f, 1)
	f.WriteString("this is no JSON\n\n  \n")
	p.write(f, 1)
	f.WriteString(`{"n":"` + strings.Repeat("x", 3<<20) + "\"}\n") // too long for a request
	p.write(f, 1)
	f.WriteString(`{"n":`) // half a line
	p.all()
	f.WriteString(fmt.Sprintf("%d}\n", p.written))
	p.written++
	p.all()
}

func TestFromEnd(t *testing.T) {
	p := newPlace(t)
	f := p.append()
	defer f.Close()
	f.WriteString("{\"n\":77}\n")
	defer p.start(func(cfg *tail.Config) { cfg.FromEnd = true })()
	time.Sleep(50 * time.Millisecond) // until it has looked
	p.write(f, 3)
	p.all()
}

// Each line is an event, though two are the same.
func TestEqualLines(t *testing.T) {
	p := newPlace(t)
	f := p.append()
	f.WriteString("{\"n\":0}\n{\"n\":0}\n")
	f.Close()
	defer p.start(nil)()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		n := len(p.lines)
		p.mu.Unlock()
		if n == 2 {
			return
		}
	}
	t.Error("two equal lines did not become two events")
}

func TestUnreadableCheckpoint(t *testing.T) {
	p := newPlace(t)
	if err := os.WriteFile(p.checkpoint, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	tl, err := tail.New(config(p.URL, p.key, p.log, p.checkpoint, quiet))
	if err != nil {
		t.Fatal(err)
	}
	if err := tl.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "remove it to begin anew") {
		t.Errorf("error %v", err)
	}
}

const childVariable = "CUSTODY_TEST_TAIL"

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		args := strings.Split(text, "\n")
		t, err := tail.New(config(args[0], args[1], args[2], args[3], quiet))
		if err == nil {
			err = t.Run(context.Background())
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// A tail that is killed again and again, while the file grows and is rotated,
// loses nothing; what is sent twice has the same id.
func TestKilled(t *testing.T) {
	p := newPlace(t)
	for i := range 20 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+strings.Join([]string{p.URL, p.key, p.log, p.checkpoint}, "\n"))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			p.write(nil, 40)
			time.Sleep(time.Millisecond)
		}
		for i == 0 { // before the first checkpoint, nobody knows a file that is rotated away
			if _, err := os.Stat(p.checkpoint); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if i%4 == 3 {
			p.rename(fmt.Sprintf(".%02d", i))
		}
		cmd.Process.Kill()
		cmd.Wait()
	}
	defer p.start(nil)()
	p.all()
	t.Logf("%d lines, %d sent twice", p.written, p.twice)
}
