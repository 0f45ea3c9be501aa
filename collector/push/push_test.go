package push_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/push"
	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/collector/registry"
	"github.com/custody-audit/custody/schemas/event"
)

// count stands for Kafka.
type count struct{ events int }

func (c *count) Publish(_ context.Context, events []collector.Canonical) error {
	c.events += len(events)
	return nil
}

// words is a format in which a record is its number of events.
func words(record []byte) ([]*event.Event, error) {
	switch string(record) {
	case "0":
		return nil, nil
	case "2":
		a, _ := words([]byte("1"))
		b, _ := words([]byte("1"))
		b[0].Source.EventID = "b"
		return append(a, b...), nil
	case "1":
		return []*event.Event{{Kind: event.Session, Type: "task.start", Time: 1, Outcome: event.Success, Source: event.Source{EventID: "a"}, Correlation: event.Correlation{TaskID: "t"}}}, nil
	}
	return nil, errors.New("want a number, got " + string(record))
}

func TestPush(t *testing.T) {
	key, hash := registry.NewKey()
	other, otherHash := registry.NewKey()
	sources, err := registry.New(registry.Config{Logger: slog.New(slog.DiscardHandler), Sources: []collector.Source{
		{ID: "a", Tenant: "acme", KeySHA256: hash}, {ID: "b", Tenant: "acme", Type: "native", KeySHA256: otherHash},
	}})
	if err != nil {
		t.Fatal(err)
	}
	redactor, err := redact.New("", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &count{}
	gateway, err := collector.NewGateway(collector.GatewayConfig{Publisher: c, Redactor: redactor, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(push.Handler(sources, gateway, map[string]push.Parser{"words": push.Same(words)}))
	defer s.Close()

	for name, r := range map[string]struct {
		path, key, body string
		status, events  int
		answer          string
	}{
		"one, none, two":   {"words", key, "1\n0\n2", 200, 3, `{"accepted":2,"ignored":1,"rejected":[]}`},
		"an array":         {"words", key, "[1, 0]", 200, 1, `{"accepted":1,"ignored":1,"rejected":[]}`},
		"one is malformed": {"words", key, "1\nx", 200, 1, `"index":1`},
		"all malformed":    {"words", key, "x", 200, 0, `want a number`},
		"quotes a secret":  {"words", key, "cst_" + strings.Repeat("a", 43), 200, 0, `got [redacted]`},
		"unknown type":     {"verbs", key, "1", 404, 0, `want one of [words]`},
		"another's key":    {"words", other, "1", 403, 0, `of type \"native\"`},
		"no key":           {"words", "", "1", 401, 0, `Authorization`},
		"nothing":          {"words", key, "", 400, 0, `empty`},
	} {
		t.Run(name, func(t *testing.T) {
			c.events = 0
			req, err := http.NewRequest(http.MethodPost, s.URL+push.Path+r.path, strings.NewReader(r.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+r.key)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != r.status || c.events != r.events || !strings.Contains(string(text), r.answer) {
				t.Errorf("%d %s (%v), %d events; want %d, %s, %d", res.StatusCode, text, err, c.events, r.status, r.answer, r.events)
			}
		})
	}
}

// A body with an origin gives its events ids by their place, the same each time.
func TestOrigin(t *testing.T) {
	key, hash := registry.NewKey()
	sources, err := registry.New(registry.Config{Logger: slog.New(slog.DiscardHandler), Sources: []collector.Source{{ID: "a", Tenant: "acme", KeySHA256: hash}}})
	if err != nil {
		t.Fatal(err)
	}
	redactor, err := redact.New("", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &ids{}
	gateway, err := collector.NewGateway(collector.GatewayConfig{Publisher: c, Redactor: redactor, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	nameless := func(record []byte) ([]*event.Event, error) {
		events, err := words(record)
		for _, e := range events {
			e.Source.EventID = ""
		}
		return events, err
	}
	h := push.Handler(sources, gateway, map[string]push.Parser{"words": push.Same(nameless)})
	post := func(origin, body string) int {
		req := httptest.NewRequest(http.MethodPost, "/v1/push/words", strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set(collector.HeaderOrigin, origin)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		return w.Code
	}
	for origin, want := range map[string]int{"F:0": 200, "F": 400, ":1": 400, "F:-1": 400, "F:x": 400, "a b:1": 400, "F:9999999999999999999": 400} {
		if got := post(origin, "1"); got != want {
			t.Errorf("origin %q: %d, want %d", origin, got, want)
		}
	}
	c.got = nil
	post("F:100", "1\n1\n2\n")
	post("F:102", "1\n2\n") // the second line, from where it begins
	want := []string{"F:100/0", "F:102/0", "F:104/0", "F:104/1", "F:102/0", "F:104/0", "F:104/1"}
	if !slices.Equal(want, c.got) {
		t.Errorf("ids %q, want %q", c.got, want)
	}
}

type ids struct{ got []string }

func (i *ids) Publish(_ context.Context, events []collector.Canonical) error {
	for _, e := range events {
		i.got = append(i.got, e.Event.Source.EventID)
	}
	return nil
}
