package keycloak

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPagesAndBothStreams(t *testing.T) {
	f := newFixture(t)
	var ids []string
	for i := range 10 {
		id := fmt.Sprintf("u%d", i)
		f.add("events", id, start-int64(i)*10)
		ids = append(ids, id)
	}
	f.add("admin-events", "a", start-5)
	p := f.poller(t)
	look(t, p)
	look(t, p) // nothing new: no clock, no question
	f.want(t, append(ids, "a")...)
	if f.pages != 4+1 || f.issued != 1 {
		t.Errorf("%d pages and %d tokens, want 5 and 1", f.pages, f.issued)
	}
}

// An event is stored when its transaction ends, with the time of its beginning.
func TestLateEvents(t *testing.T) {
	f := newFixture(t)
	f.add("events", "first", start-1000)
	p := f.poller(t)
	look(t, p)
	f.add("events", "late", start-30_000)
	f.add("events", "next", start+500)
	f.now = start + 1000
	look(t, p)
	f.want(t, "first", "late", "next")
}

// While pages are read, others are stored: what moves is recognised.
func TestPagesMove(t *testing.T) {
	f := newFixture(t)
	for i := range 9 {
		f.add("events", fmt.Sprintf("e%d", i), start-int64(i)*10)
	}
	calls := 0
	f.cfg.Deliver = func(ctx context.Context, records [][]byte) error {
		calls++
		f.add("events", fmt.Sprintf("late%d", calls), start-5)
		return f.deliver(ctx, records)
	}
	p := f.poller(t)
	look(t, p)
	p.cfg.Deliver = f.deliver
	f.now++
	look(t, p)
	got := f.sorted()
	if len(slices.Compact(slices.Clone(got))) != len(got) || len(got) != 9+calls {
		t.Errorf("%d events, want each of %d once: %v", len(got), 9+calls, got)
	}
}

func TestTokenExpires(t *testing.T) {
	f := newFixture(t)
	f.add("events", "1", start-1)
	p := f.poller(t)
	look(t, p)
	f.token++ // the one we have is not good any more
	f.add("events", "2", start+1)
	f.now = start + 2
	look(t, p)
	f.want(t, "1", "2")
	if f.issued != 2 {
		t.Errorf("%d tokens", f.issued)
	}
}

// The checkpoint does not pass what was not delivered, through failures of
// either side and restarts.
func TestNothingIsPassedOver(t *testing.T) {
	f := newFixture(t)
	for i := range 7 {
		f.add("events", fmt.Sprintf("e%d", i), start-int64(i)*1000)
	}
	f.fails = 1
	p := f.poller(t)
	if err := p.look(t.Context()); err == nil || !strings.Contains(err.Error(), "not durable") {
		t.Fatalf("got %v", err)
	}
	f.failures = 1
	p = f.poller(t) // restarted
	if err := p.look(t.Context()); err == nil || !strings.Contains(err.Error(), "500") {
		t.Fatalf("got %v", err)
	}
	p = f.poller(t)
	look(t, p)
	p = f.poller(t)
	f.now += 10
	look(t, p) // after a clean stop nothing comes twice
	f.want(t, "e0", "e1", "e2", "e3", "e4", "e5", "e6")
}

func TestLongAbsence(t *testing.T) {
	f := newFixture(t)
	look(t, f.poller(t))
	f.add("events", "old", start+5*60_000)
	f.add("events", "new", start+170*60_000)
	f.now = start + 180*60_000
	before := f.pages
	look(t, f.poller(t))
	f.want(t, "old", "new")
	if asked := f.pages - before; asked != 2*18 {
		t.Errorf("%d pages, want one for each ten minutes of each stream", asked)
	}
}

// An older Keycloak shows no ids; equal events are told apart.
func TestWithoutIDs(t *testing.T) {
	f := newFixture(t)
	f.noIDs = true
	for range 2 {
		f.add("events", "same", start-1)
	}
	f.add("events", "other", start-2)
	look(t, f.poller(t))
	f.now += 10
	look(t, f.poller(t))
	got := f.sorted()
	if len(got) != 3 || !strings.HasPrefix(got[0], "content-") || got[0] == got[1] || got[1] == got[2] {
		t.Errorf("got %v", got)
	}
}

func TestByDay(t *testing.T) {
	f := newFixture(t)
	f.days = true
	f.add("events", "before", start-3600_000)
	f.add("events", "now", start-1)
	f.add("events", "after", start+3600_000)
	err := f.poller(t).look(t.Context())
	if err == nil || !strings.Contains(err.Error(), "ByDay") {
		t.Fatalf("got %v", err)
	}
	f.cfg.ByDay = true
	look(t, f.poller(t))
	f.want(t, "now")
}

func TestRun(t *testing.T) {
	f := newFixture(t)
	f.add("events", "1", start-1)
	ctx, stop := context.WithCancel(t.Context())
	f.cfg.Deliver = func(ctx context.Context, records [][]byte) error { defer stop(); return f.deliver(ctx, records) }
	p, err := NewPoller(f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(ctx); err != nil {
		t.Error(err)
	}
	f.want(t, "1")
}

func TestNoSecretIsShown(t *testing.T) {
	f := newFixture(t)
	f.cfg.Secret = func() (string, error) { return "wrong-" + secret, nil }
	err := f.poller(t).look(t.Context())
	if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "401 Unauthorized unauthorized_client") {
		t.Errorf("wrong secret: %v", err)
	}
	f = newFixture(t)
	f.failures = 2
	err = f.poller(t).look(t.Context())
	if err == nil || strings.Contains(err.Error(), "token-") {
		t.Errorf("trouble: %v", err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	f.failures = 1000
	p, err := NewPoller(f.cfg)
	if err == nil {
		err = p.Run(ctx)
	}
	if log := f.log.String(); err != nil || !strings.Contains(log, "500") || strings.Contains(log, secret) || strings.Contains(log, "token-") {
		t.Errorf("%v, log %s", err, log)
	}
}

func TestBadCheckpoints(t *testing.T) {
	for _, text := range []string{"", "{", "{}", `{"source":"https://other/realms/acme","user":{"to":1},"admin":{"to":1}}`} {
		f := newFixture(t)
		if err := os.WriteFile(f.cfg.Checkpoint, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := NewPoller(f.cfg)
		if err == nil {
			err = p.Run(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), "remove it to begin anew") {
			t.Errorf("%q: %v", text, err)
		}
	}
	f := newFixture(t)
	f.cfg.Checkpoint = filepath.Join(t.TempDir(), "no", "such", "folder")
	f.add("events", "1", start-1)
	p, err := NewPoller(f.cfg)
	if err == nil {
		err = p.Run(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), "write checkpoint") {
		t.Errorf("got %v", err)
	}
}

func TestPollConfig(t *testing.T) {
	_, err := NewPoller(PollConfig{BaseURL: "http://sso.acme.example", PageSize: -1, Every: -1})
	for _, want := range []string{"BaseURL", "Realm", "ClientID", "Secret", "Checkpoint", "Deliver", "Logger", "PageSize", "Every"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %s", err, want)
		}
	}
}
