package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/custody-audit/custody/evidence/export"
	"github.com/custody-audit/custody/evidence/notify"
	"github.com/custody-audit/custody/processor/worklist"
	"github.com/custody-audit/custody/schemas/topic"
)

// hook is a webhook that refuses for good until it is opened.
type hook struct {
	verify *standardwebhooks.Webhook
	mu     sync.Mutex
	open   bool                 // guarded by mu
	got    []export.OCSFFinding // guarded by mu
	wrong  []error              // guarded by mu
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	var o export.OCSFFinding
	if err == nil {
		err = h.verify.Verify(body, r.Header)
	}
	if err == nil {
		err = json.Unmarshal(body, &o)
	}
	switch {
	case err != nil:
		h.wrong = append(h.wrong, err)
		w.WriteHeader(http.StatusBadRequest)
	case !h.open:
		w.WriteHeader(http.StatusGone)
	default:
		h.got = append(h.got, o)
	}
}

func (h *hook) told() (names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range h.got {
		names = append(names, o.ActivityName)
	}
	return names
}

// An installation tells of what it finds and what is done about it: Kafka and a
// webhook, which is told again what it refused.
func TestNotify(t *testing.T) {
	t.Parallel()
	const secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	verify, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	h, file := &hook{verify: verify}, filepath.Join(t.TempDir(), "secret")
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := newHouse(t, "--notify-webhook-url", server.URL, "--notify-webhook-secret-file", file)
	e.send(granted(time.Now(), "*"))
	f := e.found(1, "--rule", "wildcard_grant")[0]
	var letters []*notify.DeadLetter
	eventually(t, time.Minute, "the webhook's refusal is a dead letter", func(context.Context) bool {
		letters = verb[[]*notify.DeadLetter](e, "notify", "undelivered", "--outlet", "webhook")
		return len(letters) > 0
	})
	if letters[0].Key != f.Key || !strings.Contains(letters[0].Error, "410 Gone") {
		t.Errorf("dead letter %+v", letters[0])
	}
	h.mu.Lock()
	h.open = true
	h.mu.Unlock()
	ask(t, "notify", "again", "--outlet", "webhook", "--data-dir", e.dir)
	eventually(t, time.Minute, "the webhook is told again", func(context.Context) bool { return len(h.told()) == 1 })
	ask(t, "findings", "resolve", f.Key[:12], "--reason", "narrowed", "--data-dir", e.dir)
	eventually(t, time.Minute, "and of what is done", func(context.Context) bool {
		told := h.told()
		return len(told) == 2 && told[1] == "Close"
	})
	if len(h.wrong) > 0 {
		t.Errorf("not signed: %v", h.wrong)
	}
	var local endpoint
	b, err := os.ReadFile(endpointFile(e.dir))
	if err == nil {
		err = json.Unmarshal(b, &local)
	}
	if err != nil {
		t.Fatal(err)
	}
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{local.Kafka}, Topic: topic.Findings, MaxWait: 100 * time.Millisecond})
	defer reader.Close()
	for closed := false; !closed; {
		m, err := reader.ReadMessage(t.Context())
		var o export.OCSFFinding
		if err == nil {
			err = json.Unmarshal(m.Value, &o)
		}
		if err != nil {
			t.Fatal(err)
		}
		closed = o.Info.UID == f.Key && o.ActivityName == "Close" && o.Comment == "narrowed" && o.ClassUID == 2008
	}
	mistaken(e, server.URL, file)
	killed(e, file)
}

// killed kills a second notifier while a receiver has a message and did not answer
// yet. The next one tells it again, under the same id.
func killed(e *house, file string) {
	e.Helper()
	asked, answer := make(chan string, 100), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("webhook-id")
		io.Copy(io.Discard, r.Body) // so that the end of the connection is noticed
		select {
		case <-answer:
		case <-r.Context().Done():
		}
	}))
	e.Cleanup(server.Close)
	args := []string{"notify", "--data-dir", e.dir, "--telemetry-address", "", "--notify-name", "second", "--notify-kafka-enabled=false", "--notify-webhook-url", server.URL, "--notify-webhook-secret-file", file}
	first := start(e.T, "findings are told", args...)
	id := <-asked
	if err := first.Process.Kill(); err != nil {
		e.Fatal(err)
	}
	first.Wait() // says that it was killed
	close(answer)
	start(e.T, "findings are told", args...)
	if again := <-asked; again != id {
		e.Errorf("after a kill the first message is %s, was %s", again, id)
	}
	for range len(verb[[]*worklist.Finding](e, "findings", "list", "--all")) - 1 {
		<-asked
	}
}

// mistaken settings end the verb with one line that names them.
func mistaken(e *house, url, file string) {
	e.Helper()
	for want, args := range map[string]string{
		"notify.webhook.url: want https":           "--notify-webhook-url http://soc.example/ --notify-webhook-secret-file " + file,
		"notify.webhook: want url and secret_file": "--notify-webhook-url " + url,
		"whsec_ and base64":                        "--notify-webhook-url " + url + " --notify-webhook-secret-file " + endpointFile(e.dir),
		"is beyond this machine":                   "--notify-syslog-address siem.example:514",
		"notify.syslog.tls.enabled":                "--notify-syslog-address 127.0.0.1:514 --notify-syslog-tls-ca-file x",
		"nobody is to be told":                     "--clickhouse-addresses 127.0.0.1:1",
		"required flag(s) \"outlet\"":              "again",
	} {
		line := append([]string{"notify"}, strings.Fields(args)...)
		if args != "again" {
			line = append(line, "--notify-kafka-enabled=false", "--telemetry-address", "", "--data-dir", e.dir)
		}
		if _, err := try(e.T, line...); err == nil || !strings.Contains(err.Error(), want) {
			e.Errorf("custody %v: %v, want %q", line, err, want)
		}
	}
}
