package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// What a collector answers to bad input, through the whole pipeline: the answer
// names the problem, and what is good in the batch is stored, nothing else.
func TestBadInput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sources, keys := estateSources(t)
	address := freeAddress(t)
	start(t, "takes events at", "run", "--data-dir", dir, "--collector-sources", sources, "--collector-http", address, "--collector-grpc", "127.0.0.1:0", "--telemetry-address", "")
	key := keys["acme-sts"]
	stored := 0
	good := func() string {
		stored++
		return fmt.Sprintf(`{"kind":"session","type":"task.start","time":"2026-11-24T10:00:00Z","outcome":"success","subject":{"sub":"alice","type":"human"},"correlation":{"task_id":"t"},"source":{"event_id":"e-%d"}}`, stored)
	}
	var many strings.Builder
	for i := range 101 {
		if i == 50 {
			many.WriteString(`{"kind":"session","time":7}` + "\n")
			continue
		}
		many.WriteString(good() + "\n")
	}
	const j, nd = "application/json", "application/x-ndjson"
	for _, c := range []struct {
		name, contentType, encoding string
		body                        string
		status                      int
		want                        []string
	}{
		{"not JSON", j, "", "that is not JSON", 400, []string{"not JSON at byte 0"}},
		{"nothing", j, "", "", 400, nil},
		{"wrong type", j, "", `{"kind":"session","type":"task.start","time":1764000000,"outcome":"success"}`, 400, []string{`"time"`, "want a string with an RFC 3339 time, got a number"}},
		{"300 KiB event", j, "", `{"kind":"session","type":"task.start","time":"2026-11-24T10:00:00Z","outcome":"success","attributes":{"x":"` + strings.Repeat("x", 300<<10) + `"}}`, 400, []string{"event is larger than 262144 bytes"}},
		{"50 MB body", j, "", strings.Repeat(" ", 50<<20), 413, []string{"body is larger than 4 MiB"}},
		{"gzip bomb", j, "gzip", zipped(strings.Repeat(" ", 1<<20), 200), 413, []string{"decoded body is larger than 16 MiB"}},
		{"not gzip", j, "gzip", "that is not gzip", 400, []string{"gzip"}},
		{"one bad among 101", nd, "", many.String(), 200, []string{`"accepted":100`, `"index":50`, `"time"`}},
		{"unknown field", j, "", `{"kind":"session","type":"task.start","time":"2026-11-24T10:00:00Z","outcome":"success","colour":"red"}`, 400, []string{"colour", "unknown field"}},
		{"another tenant", j, "", `{"kind":"session","type":"task.start","time":"2026-11-24T10:00:00Z","outcome":"success","tenant":"globex"}`, 403, []string{"globex"}},
		{"another content type", "text/plain", "", "x", 415, nil},
	} {
		status, answer := post(t, "http://"+address+"/v1/events", key, c.contentType, c.encoding, c.body)
		if status != c.status {
			t.Errorf("%s: status %d, want %d: %.300s", c.name, status, c.status, answer)
		}
		for _, want := range c.want {
			if !strings.Contains(answer, want) {
				t.Errorf("%s: the answer has no %s: %.300s", c.name, want, answer)
			}
		}
		t.Logf("%-22s %d %.160s", c.name, status, answer)
	}
	if status, answer := post(t, "http://"+address+"/v1/events", "no key of ours", j, "", good()); status != 401 {
		t.Errorf("an unknown key: %d %s", status, answer)
	}
	stored-- // that one
	// and the attempt to speak for another tenant is on record
	if states := countStates(t, dir, stored+1); int(states["stored"]) != stored+1 || len(states) != 1 {
		t.Errorf("stored %v, want %d and the claim", states, stored)
	}
}

// zipped is a gzip of the text, so many times.
func zipped(text string, times int) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for range times {
		io.WriteString(z, text)
	}
	z.Close()
	return b.String()
}

// post sends a body; a server that has heard enough may end the connection while
// we still send, then what it answered counts.
func post(t *testing.T, url, key, contentType, encoding, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", contentType)
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}
