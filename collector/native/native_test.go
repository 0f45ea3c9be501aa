package native_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/native"
	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/collector/registry"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// memory is the one thing that is not real here: it stands for Kafka, which the
// pipeline's tests in cmd/custody use.
type memory struct {
	mu     sync.Mutex
	events []*event.Event
	err    error
}

func (m *memory) Publish(_ context.Context, events []collector.Canonical) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	for _, c := range events {
		e, err := event.Decode(c.Bytes)
		if err != nil {
			return err
		}
		m.events = append(m.events, e)
	}
	return nil
}

type server struct {
	*httptest.Server
	t      *testing.T
	key    string
	stored *memory
}

func newServer(t *testing.T) *server {
	t.Helper()
	key, hash := registry.NewKey()
	sources, err := registry.New(registry.Config{Logger: slog.New(slog.DiscardHandler), Sources: []collector.Source{
		{ID: "github-mcp", Tenant: "acme", Type: "native", Servers: []string{"github-mcp", "deploy-mcp"}, KeySHA256: hash},
	}})
	if err != nil {
		t.Fatal(err)
	}
	redactor, err := redact.New("", nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{}
	gateway, err := collector.NewGateway(collector.GatewayConfig{Publisher: m, Redactor: redactor, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(native.Handler(sources, gateway))
	t.Cleanup(s.Close)
	return &server{s, t, key, m}
}

// post sends body and returns status and answer.
func (s *server) post(contentType string, body []byte, header ...string) (int, collector.Result, string) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.URL+native.Path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", "Bearer "+s.key)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var result collector.Result
	if err := json.Unmarshal(text, &result); err != nil {
		s.t.Fatalf("answer %q: %v", text, err)
	}
	return res.StatusCode, result, string(text)
}

// sent is an event as a server sends it: without what the collector sets.
func sent(name string) []byte {
	e := story.Named(name)
	e.ID, e.Tenant, e.ObservedTime, e.Salt, e.Source.ID, e.Source.Type = "", "", 0, "", "", ""
	e.Server.ID = "github-mcp"
	return e.Canonical()
}

func TestFormats(t *testing.T) {
	one := sent("deploy-call")
	cloud := func(data []byte) string {
		return `{"specversion":"1.0","id":"7","source":"/mcp","type":"mcp.tools.call","datacontenttype":"application/json","data":` + string(data) + `}`
	}
	for _, c := range []struct {
		name, contentType, body string
		accepted                int
	}{
		{"object", "application/json", string(one), 1},
		{"object without type", "", string(one), 1},
		{"array", "application/json; charset=utf-8", "[" + string(one) + "," + string(one) + "]", 2},
		{"empty array", "application/json", "[]", 0},
		{"lines", "application/x-ndjson", string(one) + "\n\n" + string(one) + "\r\n", 2},
		{"lines called JSON", "application/json", string(one) + "\n" + string(one), 2},
		{"CloudEvent", "application/cloudevents+json", cloud(one), 1},
		{"CloudEvents batch", "application/cloudevents-batch+json", "[" + cloud(one) + "," + cloud(one) + "," + cloud(one) + "]", 3},
	} {
		for _, encoding := range []string{"", "gzip", "zstd"} {
			s := newServer(t)
			status, result, text := s.post(c.contentType, compress(t, encoding, []byte(c.body)), "Content-Encoding", encoding)
			if status != 200 || result.Accepted != c.accepted || len(result.Rejected) != 0 || len(s.stored.events) != c.accepted {
				t.Errorf("%s %s: %d %s, stored %d", c.name, encoding, status, text, len(s.stored.events))
			}
			for _, e := range s.stored.events {
				if e.Tenant != "acme" || e.Source.ID != "github-mcp" || e.Source.Type != "native" || e.ObservedTime == 0 || e.Salt == "" {
					t.Errorf("%s: envelope is %+v", c.name, e)
				}
			}
		}
	}
}

func compress(t *testing.T, encoding string, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&buf)
	case "zstd":
		w, _ = zstd.NewWriter(&buf)
	default:
		return b
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// A re-delivery gets the same id, another source event another one.
func TestIDs(t *testing.T) {
	s := newServer(t)
	for _, name := range []string{"deploy-call", "deploy-call", "merge-call"} {
		s.post("application/json", sent(name))
	}
	ids := []string{s.stored.events[0].ID, s.stored.events[1].ID, s.stored.events[2].ID}
	if ids[0] != ids[1] || ids[0] == ids[2] {
		t.Errorf("ids %v", ids)
	}
}

func TestRefusedBodies(t *testing.T) {
	huge := bytes.Repeat([]byte(" "), 50<<20)
	for _, c := range []struct {
		name, contentType string
		body              []byte
		header            []string
		status            int
		want              string
	}{
		{"not JSON", "application/json", []byte("hello"), nil, 400, "not JSON at byte 0"},
		{"broken array", "application/json", []byte(`[{"kind":"session"},`), nil, 400, "array is not JSON"},
		{"empty", "application/json", nil, nil, 400, "body is empty"},
		{"another media type", "text/xml", []byte("<a/>"), nil, 415, "Content-Type"},
		{"another encoding", "application/json", []byte("x"), []string{"Content-Encoding", "br"}, 415, "Content-Encoding"},
		{"not gzip", "application/json", []byte("{}"), []string{"Content-Encoding", "gzip"}, 400, "not gzip"},
		{"not zstd", "application/json", []byte("{}"), []string{"Content-Encoding", "zstd"}, 400, "not zstd"},
		{"50 MB", "application/json", huge, nil, 413, "larger than 4 MiB"},
		{"gzip bomb", "application/json", compress(t, "gzip", huge), []string{"Content-Encoding", "gzip"}, 413, "larger than 16 MiB"},
		{"zstd bomb", "application/json", compress(t, "zstd", huge), []string{"Content-Encoding", "zstd"}, 413, "larger than 16 MiB"},
		{"too many", "application/x-ndjson", bytes.Repeat([]byte("{}\n"), collector.MaxRecords+1), nil, 413, "at most 10000"},
		{"no key", "application/json", []byte("{}"), []string{"Authorization", ""}, 401, "Authorization"},
		{"wrong key", "application/json", []byte("{}"), []string{"Authorization", "Bearer cst_guess"}, 401, "no configured source"},
	} {
		s := newServer(t)
		status, _, text := s.post(c.contentType, c.body, c.header...)
		if status != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s: got %d %.300s, want %d with %q", c.name, status, text, c.status, c.want)
		}
		if len(s.stored.events) != 0 {
			t.Errorf("%s: %d events stored", c.name, len(s.stored.events))
		}
	}
}

func TestOneBadAmongAHundred(t *testing.T) {
	s := newServer(t)
	var lines [][]byte
	for range 100 {
		lines = append(lines, sent("deploy-call"))
	}
	lines[41] = bytes.Replace(lines[41], []byte(`"kind":"tool_invocation"`), []byte(`"kind":"tool"`), 1)
	lines[77] = []byte(`{"broken`)
	status, result, text := s.post("application/x-ndjson", bytes.Join(lines, []byte("\n")))
	if status != 200 || result.Accepted != 98 || len(s.stored.events) != 98 {
		t.Errorf("got %d %s, stored %d", status, text, len(s.stored.events))
	}
	var got []string
	for _, r := range result.Rejected {
		got = append(got, fmt.Sprintf("%d %s", r.Index, r.Problems[0].Field))
	}
	if want := "[41 kind 77 ]"; fmt.Sprint(got) != want {
		t.Errorf("rejected %v, want %s", got, want)
	}
}

func TestForeignEnvelope(t *testing.T) {
	s := newServer(t)
	for field, value := range map[string]string{"tenant": `"globex"`, "source": `{"id":"other"}`, "server": `{"id":"vault-mcp"}`} {
		body := `{"kind":"session","time":"2026-10-05T09:00:00Z","outcome":"success","correlation":{"task_id":"t"},"` + field + `":` + value + `}`
		status, result, text := s.post("application/json", []byte(body))
		if status != 403 || len(result.Rejected) != 1 || !strings.Contains(text, field) {
			t.Errorf("%s: got %d %s", field, status, text)
		}
	}
	if len(s.stored.events) != 3 {
		t.Errorf("%d events stored, want one about each attempt", len(s.stored.events))
	}
	for _, e := range s.stored.events {
		if e.Type != collector.TypeClaim || e.Tenant != "acme" {
			t.Errorf("stored %s", e.Canonical())
		}
	}
}

func TestTooLargeAnEvent(t *testing.T) {
	s := newServer(t)
	big := `{"kind":"session","attributes":{"a":"` + strings.Repeat("x", 300<<10) + `"}}`
	status, result, text := s.post("application/json", []byte("["+big+","+string(sent("deploy-call"))+"]"))
	if status != 200 || result.Accepted != 1 || !strings.Contains(text, "larger than 262144 bytes") {
		t.Errorf("got %d %.300s", status, text)
	}
}

func TestUnavailable(t *testing.T) {
	s := newServer(t)
	s.stored.err = fmt.Errorf("%w: kafka is away", collector.ErrUnavailable)
	status, _, text := s.post("application/json", sent("deploy-call"))
	if status != 503 {
		t.Errorf("got %d %s", status, text)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("application/json", sent("deploy-call"))
	f.Add("application/x-ndjson", []byte("{}\n{}"))
	f.Add("application/cloudevents-batch+json", []byte(`[{"specversion":"1.0","id":"1","source":"/a","type":"b","data":{}}]`))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		items, err := native.Parse(contentType, body)
		if err != nil && items != nil {
			t.Error("items and an error")
		}
		for _, item := range items {
			if (len(item.Events) == 0) == (item.Problems == nil) {
				t.Errorf("an item is an event or has problems: %+v", item)
			}
		}
	})
}
