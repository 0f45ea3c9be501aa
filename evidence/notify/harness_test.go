package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/export"
	"github.com/custody-audit/custody/evidence/notify"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/worklist"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// bench is a real ClickHouse with the story and what is found in it.
type bench struct {
	testing.TB
	clickhouse *embeddedtest.ClickHouse
	conn       driver.Conn
	handler    driver.Conn
	rules      *detect.Set
}

func newBench(t testing.TB) *bench {
	t.Helper()
	c := embeddedtest.StartClickHouse(t)
	var records []*table.Record
	for i, e := range story.Events() {
		records = append(records, &table.Record{Position: table.Position{Topic: "custody.events", Epoch: "e", Offset: int64(i)}, LogTime: e.ObservedTime.Go(), State: table.Stored, Raw: e.Canonical(), ContentHash: e.ContentHash(), Event: e})
	}
	c.Store(t, records...)
	engine, err := detect.New(detect.Config{ClickHouse: c.Conn(embedded.Detector), Sessions: c.Sessions(embedded.Detector), Logger: quiet})
	if err == nil {
		_, err = engine.Once(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	rules, err := detect.ReadSet("")
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t, c, c.Conn(embedded.Detector), c.Conn(embedded.Handler), rules}
}

var quiet = slog.New(slog.DiscardHandler)

// run runs a notifier until the test, or who calls what it returns, ends it.
func (b *bench) run(change func(*notify.Config), outlets ...notify.Outlet) (stop func()) {
	b.Helper()
	cfg := notify.Config{ClickHouse: b.conn, Rules: b.rules, Outlets: outlets, Interval: 20 * time.Millisecond, FirstPause: 5 * time.Millisecond, LastPause: 50 * time.Millisecond, Logger: quiet}
	if change != nil {
		change(&cfg)
	}
	n, err := notify.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- errors.Join(n.Run(ctx), n.Close()) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(stop)
	return stop
}

func (b *bench) findings() []*worklist.Finding {
	b.Helper()
	list, err := worklist.List(b.Context(), b.conn, worklist.Filter{Status: worklist.All, Limit: 10_000})
	if err != nil {
		b.Fatal(err)
	}
	return list
}

// comments changes a finding.
func (b *bench) comments(f *worklist.Finding, comment string) {
	b.Helper()
	a := &worklist.Act{ID: uuid.New(), Time: time.Now(), Action: worklist.Comment, ActorSub: "bob", Comment: comment}
	if err := worklist.Append(b.Context(), b.handler, f, a); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) does(f *worklist.Finding, action worklist.Action, until time.Time) {
	b.Helper()
	a := &worklist.Act{ID: uuid.New(), Time: time.Now(), Action: action, ActorSub: "bob", Comment: "why", Until: until}
	if err := worklist.Append(b.Context(), b.handler, f, a); err != nil {
		b.Fatal(err)
	}
}

// received is a message as a receiver has it.
type received struct {
	id  string
	doc export.OCSFFinding
}

// receiver is a webhook that checks signatures by somebody else's library.
type receiver struct {
	*httptest.Server
	verify *standardwebhooks.Webhook

	mu      sync.Mutex
	got     []received                                      // guarded by mu; that were answered with 2xx
	refused map[string]int                                  // guarded by mu; by id
	bad     []error                                         // guarded by mu
	answer  func(received, http.ResponseWriter) (took bool) // guarded by mu
}

const secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

func newReceiver(t testing.TB, secret string) *receiver {
	t.Helper()
	verify, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{verify: verify, refused: map[string]int{}, answer: func(received, http.ResponseWriter) bool { return true }}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	m := received{id: req.Header.Get("webhook-id")}
	if err == nil {
		err = r.verify.Verify(body, req.Header)
	}
	if err == nil {
		err = json.Unmarshal(body, &m.doc)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil:
		r.bad = append(r.bad, err)
		w.WriteHeader(http.StatusUnauthorized)
	case r.answer(m, w):
		r.got = append(r.got, m)
	default:
		r.refused[m.id]++
	}
}

func (r *receiver) answers(f func(received, http.ResponseWriter) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

// taken returns what was taken so far.
func (r *receiver) taken() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received{}, r.got...)
}

func webhook(t testing.TB, url string, attempts int, secrets ...string) notify.Outlet {
	t.Helper()
	if len(secrets) == 0 {
		secrets = []string{secret}
	}
	w, err := notify.NewWebhook(notify.WebhookConfig{URL: url, Secrets: secrets})
	if err != nil {
		t.Fatal(err)
	}
	return notify.Outlet{Name: "webhook", Sink: w, Attempts: attempts}
}

// toldAll waits until the newest state of every finding was told.
func (b *bench) toldAll(taken func() []received) {
	b.Helper()
	embeddedtest.Eventually(b.TB, time.Minute, "every finding is told as it stands", func(context.Context) error {
		has := map[string]bool{}
		for _, m := range taken() {
			has[m.id] = true
		}
		for _, f := range b.findings() {
			if id := uuid.NewSHA1(uuid.Nil, []byte(f.Key+" "+f.Revision)).String(); !has[id] {
				return fmt.Errorf("%s of %s is not told", f.Rule, f.Tenant)
			}
		}
		return nil
	})
}
