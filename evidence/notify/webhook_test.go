package notify_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/notify"
	"github.com/custody-audit/custody/processor/worklist"
)

// Every finding is told once, signed; each change is told; after a restart nothing
// is told again; and the end of an exception is a change.
func TestWebhook(t *testing.T) {
	t.Parallel()
	b, r := newBench(t), newReceiver(t, secret)
	stop := b.run(nil, webhook(t, r.URL, 3))
	b.toldAll(r.taken)
	first := r.taken()
	if n := len(b.findings()); len(first) != n {
		t.Errorf("%d messages for %d findings", len(first), n)
	}
	for i, m := range first {
		if m.doc.ActivityName != "Create" || m.doc.Metadata.UID != m.id || i > 0 && m.doc.Time < first[i-1].doc.Time {
			t.Errorf("message %d: %+v", i, m.doc)
		}
	}
	f := b.findings()[0]
	b.does(f, worklist.Acknowledge, time.Time{})
	b.toldAll(r.taken)
	if last := r.taken()[len(first):]; len(last) != 1 || last[0].doc.Info.UID != f.Key || last[0].doc.ActivityName != "Update" || last[0].doc.Status != "In Progress" || last[0].id == first[0].id {
		t.Errorf("the change: %+v", last)
	}
	stop()
	b.does(f, worklist.Except, time.Now().Add(8*time.Second)) // while nobody tells
	told := len(r.taken())
	b.run(nil, webhook(t, r.URL, 3))
	embeddedtest.Eventually(t, time.Minute, "the exception and its end are told", func(context.Context) error {
		rest := r.taken()[told:]
		if len(rest) != 2 {
			return fmt.Errorf("%d messages", len(rest))
		}
		if rest[0].doc.Status != "Suppressed" || rest[1].doc.Status != "New" || rest[0].doc.Info.UID != f.Key || rest[1].doc.Info.UID != f.Key {
			t.Errorf("told %+v", rest)
		}
		return nil
	})
	if len(r.bad) > 0 {
		t.Error(r.bad)
	}
}

// A receiver that fails is tried again with the same id, also in the middle of a
// batch; while it fails the order stays.
func TestWebhookIsTriedAgain(t *testing.T) {
	t.Parallel()
	b, r := newBench(t), newReceiver(t, secret)
	fails := map[string]int{}
	r.answers(func(m received, w http.ResponseWriter) bool {
		fails[m.id]++
		switch fails[m.id] {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			panic(http.ErrAbortHandler) // the connection ends
		case 3:
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
		default:
			return true
		}
		return false
	})
	b.run(nil, webhook(t, r.URL, 10))
	b.toldAll(r.taken)
	got := r.taken()
	if !slices.IsSortedFunc(got, func(x, y received) int { return int(x.doc.Time - y.doc.Time) }) || len(got) != len(b.findings()) {
		t.Errorf("%d messages, or in another order", len(got))
	}
	letters, err := notify.Undelivered(t.Context(), b.conn, "", "", 10)
	if err != nil || len(letters) != 0 {
		t.Errorf("dead letters %v, %v", letters, err)
	}
}

// What is refused until the last attempt, or for good, is a dead letter; the rest
// goes on, and the dead letter is told when somebody wants it.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	b, r := newBench(t), newReceiver(t, secret)
	list := b.findings()
	never, gone := list[0], list[1]
	r.answers(func(m received, w http.ResponseWriter) bool {
		switch m.doc.Info.UID {
		case never.Key:
			w.WriteHeader(http.StatusInternalServerError)
		case gone.Key:
			w.WriteHeader(http.StatusGone)
		default:
			return true
		}
		return false
	})
	b.run(nil, webhook(t, r.URL, 4))
	var letters []*notify.DeadLetter
	embeddedtest.Eventually(t, time.Minute, "two dead letters, and the rest", func(ctx context.Context) (err error) {
		if letters, err = notify.Undelivered(ctx, b.conn, "", "webhook", 10); err == nil && (len(letters) != 2 || len(r.taken()) != len(list)-2) {
			err = fmt.Errorf("%d dead letters, %d told of %d", len(letters), len(r.taken()), len(list))
		}
		return err
	})
	for _, l := range letters {
		want := map[string]uint32{never.Key: 4, gone.Key: 1}[l.Key]
		if l.Attempts != want || l.Error == "" || !strings.Contains(l.Payload, l.Key) || uint32(r.refused[l.ID.String()]) != want {
			t.Errorf("dead letter %+v, refused %d times", l, r.refused[l.ID.String()])
		}
	}
	r.answers(func(received, http.ResponseWriter) bool { return true })
	if err := notify.Again(t.Context(), b.conn, letters); err != nil {
		t.Fatal(err)
	}
	b.toldAll(r.taken)
	if n := len(r.taken()); n != len(list) {
		t.Errorf("%d told, want %d", n, len(list))
	}
}

// Whatever a notifier is interrupted by, every finding is told as it stands, and
// nothing is told in an older state after a newer one.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	b, r := newBench(t), newReceiver(t, secret)
	r.answers(func(_ received, w http.ResponseWriter) bool {
		if rand.N(4) == 0 {
			w.WriteHeader(http.StatusBadGateway)
			return false
		}
		return true
	})
	list := b.findings()
	for range 12 {
		stop := b.run(nil, webhook(t, r.URL, 0))
		for range 4 {
			b.comments(list[rand.N(len(list))], "more")
		}
		if rand.N(3) > 0 {
			wanted := len(r.taken()) + 1 + rand.N(3)
			embeddedtest.Eventually(t, time.Minute, "something is told", func(context.Context) error {
				if n := len(r.taken()); n < wanted {
					return fmt.Errorf("%d of %d", n, wanted)
				}
				return nil
			})
		}
		stop()
	}
	b.run(nil, webhook(t, r.URL, 0))
	b.toldAll(r.taken)
	newest := map[string]int64{}
	for _, m := range r.taken() {
		if m.doc.Info.ModifiedTime < newest[m.doc.Info.UID] {
			t.Errorf("an older state of %s is told after a newer one", m.doc.Info.UID)
		}
		newest[m.doc.Info.UID] = m.doc.Info.ModifiedTime
	}
	t.Logf("%d messages for %d findings", len(r.taken()), len(list))
}

// A secret that is replaced is good beside the old one; a wrong one is none.
func TestSecrets(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	old, fresh := newReceiver(t, secret), newReceiver(t, other)
	outlets := []notify.Outlet{webhook(t, old.URL, 1, secret, other), webhook(t, fresh.URL, 1, secret, other), webhook(t, fresh.URL, 1, secret)}
	for i := range outlets {
		outlets[i].Name = fmt.Sprintf("hook-%d", i)
	}
	b.run(nil, outlets...)
	b.toldAll(old.taken)
	b.toldAll(fresh.taken)
	embeddedtest.Eventually(t, time.Minute, "what is signed wrongly is refused", func(ctx context.Context) error {
		letters, err := notify.Undelivered(ctx, b.conn, "", "hook-2", 100)
		if err == nil && len(letters) != len(b.findings()) {
			err = fmt.Errorf("%d dead letters", len(letters))
		}
		return err
	})
	if n := len(b.findings()); len(old.bad) != 0 || len(fresh.bad) != n || len(fresh.taken()) != n {
		t.Errorf("refused %d and %d, want 0 and %d", len(old.bad), len(fresh.bad), n)
	}
	for _, bad := range []notify.WebhookConfig{
		{URL: "ftp://x", Secrets: []string{secret}}, {URL: "https://u:p@x", Secrets: []string{secret}}, {URL: "https://x"},
		{URL: "https://x", Secrets: []string{"whsec_c2hvcnQ="}}, {URL: "https://x", Secrets: []string{strings.TrimPrefix(secret, "whsec_")}}, {URL: "https://x", Secrets: []string{"whsec_%"}},
	} {
		if _, err := notify.NewWebhook(bad); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// What is not to be told is not.
func TestNarrowed(t *testing.T) {
	t.Parallel()
	b, r := newBench(t), newReceiver(t, secret)
	b.run(func(c *notify.Config) { c.Tenants, c.AtLeast = []string{"globex"}, "high" }, webhook(t, r.URL, 1))
	want := 0
	for _, f := range b.findings() {
		if f.Tenant == "globex" && (f.Severity == "high" || f.Severity == "critical") {
			want++
		}
	}
	embeddedtest.Eventually(t, time.Minute, "all that is to be told", func(context.Context) error {
		if n := len(r.taken()); n != want {
			return fmt.Errorf("%d of %d", n, want)
		}
		return nil
	})
	for _, m := range r.taken() {
		if m.doc.Metadata.TenantUID != "globex" || m.doc.SeverityID < 4 {
			t.Errorf("told %+v", m.doc)
		}
	}
}

// More findings than a batch holds are told in order, each once.
func TestMany(t *testing.T) {
	t.Parallel()
	b, r := newBench(t), newReceiver(t, secret)
	const many = 3*notify.BatchMessages + 17
	if err := b.clickhouse.Conn(embedded.Admin).Exec(t.Context(), fmt.Sprintf(`INSERT INTO finding_states (tenant, key, rule, severity, status, summary, coverage, opened_time, changed_time)
		SELECT 'acme', lower(hex(SHA256(toString(number)))), 'x', 'low', 'open', toString(number), 'recorded', now64(6) - toIntervalMillisecond(number) AS t, t FROM numbers(%d)`, many)); err != nil {
		t.Fatal(err)
	}
	b.run(nil, webhook(t, r.URL, 1))
	b.toldAll(r.taken)
	got := r.taken()
	if len(got) != len(b.findings()) || !slices.IsSortedFunc(got, func(x, y received) int { return int(x.doc.Time - y.doc.Time) }) {
		t.Errorf("%d messages for %d findings, or in another order", len(got), len(b.findings()))
	}
}
