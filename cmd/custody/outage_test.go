package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embedded"
)

// crowd are clients that send an event each, again and again, and remember what
// was acknowledged.
type crowd struct {
	url, key string
	stop     chan struct{}
	work     sync.WaitGroup

	mu    sync.Mutex
	acked map[string]bool // by source.event_id; guarded by mu
	said  map[string]int  // answers by status, or "no answer"; guarded by mu
}

func newCrowd(address, key string, clients int) *crowd {
	c := &crowd{url: "http://" + address + "/v1/events", key: key, stop: make(chan struct{}), acked: map[string]bool{}, said: map[string]int{}}
	for i := range clients {
		c.work.Go(func() { c.send(i) })
	}
	return c
}

// send repeats an event until it is acknowledged, as sources do.
func (c *crowd) send(client int) {
	for n := 0; ; {
		select {
		case <-c.stop:
			return
		default:
		}
		id := fmt.Sprintf("%d-%d", client, n)
		status := c.post(id)
		c.mu.Lock()
		c.said[status]++
		c.acked[id] = c.acked[id] || status == "200"
		c.mu.Unlock()
		if status == "200" {
			n++
			continue
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (c *crowd) post(id string) string {
	body := fmt.Sprintf(`{"kind":"session","type":"task.start","time":"2026-11-24T10:00:00Z","outcome":"success","subject":{"sub":"alice"},"correlation":{"task_id":"t"},"source":{"event_id":%q},"attributes":{"filling":%q}}`,
		id, strings.Repeat("x", 500))
	req, err := http.NewRequest(http.MethodPost, c.url, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "no answer"
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return "no answer"
	}
	return fmt.Sprint(res.StatusCode)
}

// end stops the clients and returns how many events were acknowledged.
func (c *crowd) end() int {
	close(c.stop)
	c.work.Wait()
	n := 0
	for _, yes := range c.acked {
		if yes {
			n++
		}
	}
	return n
}

// missing returns what was acknowledged and is not stored.
func (c *crowd) missing(t *testing.T, search []string) (missing []string) {
	t.Helper()
	stored := map[string]bool{}
	for after := ""; ; {
		args := append([]string{}, search...)
		if after != "" {
			args = append(args, "--after", after)
		}
		var page struct {
			Events []struct {
				Source struct {
					EventID string `json:"event_id"`
				} `json:"source"`
			} `json:"events"`
			Next string `json:"next"`
		}
		if err := json.Unmarshal([]byte(ask(t, args...)), &page); err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			if stored[e.Source.EventID] {
				t.Fatalf("event %s is stored twice", e.Source.EventID)
			}
			stored[e.Source.EventID] = true
		}
		if after = page.Next; after == "" {
			break
		}
	}
	for id, yes := range c.acked {
		if yes && !stored[id] {
			missing = append(missing, id)
		}
	}
	return missing
}

// services are a collector and a processor on servers of their own, as processes.
func services(t *testing.T, collect ...string) (servers *testServers, restart func(), address, key string, search []string) {
	t.Helper()
	servers = startServers(t)
	ask(t, append([]string{"schema", "migrate"}, servers.flags(t, embedded.Admin)...)...)
	sources, keys := estateSources(t)
	address = freeAddress(t)
	args := append([]string{"collect", "--kafka-brokers", servers.broker.Addr(), "--collector-sources", sources, "--collector-http", address,
		"--collector-grpc", "127.0.0.1:0", "--collector-spool-dir", t.TempDir(), "--telemetry-address", ""}, collect...)
	running := start(t, "takes events at", args...)
	start(t, "consumes as group", append([]string{"process", "--processor-session-timeout", "6s", "--telemetry-address", ""}, servers.flags(t, embedded.Writer)...)...)
	restart = func() {
		running.Process.Kill()
		running.Wait()
		running = start(t, "takes events at", args...)
	}
	return servers, restart, address, keys["acme-sts"], append([]string{"search", "--output", "json", "--limit", "10000"}, servers.flags(t, embedded.Analyst)[2:]...)
}

// A collector that is killed again and again loses nothing that it acknowledged.
func TestCollectorKilled(t *testing.T) {
	_, restart, address, key, search := services(t)
	c := newCrowd(address, key, 16)
	const kills = 50
	for range kills {
		time.Sleep(60 * time.Millisecond)
		restart()
	}
	time.Sleep(100 * time.Millisecond)
	acked := c.end()
	var missing []string
	eventually(t, 2*time.Minute, "everything acknowledged is stored", func(context.Context) bool {
		missing = c.missing(t, search)
		return len(missing) == 0
	})
	t.Logf("%d kills, %d events acknowledged, none missing; answers %v", kills, acked, c.said)
	if acked < 1000 || c.said["no answer"] == 0 {
		t.Errorf("that was no load: %d acknowledged, %v", acked, c.said)
	}
}

// Kafka is away under load until the spool is full: clients hear so and keep what
// they have; all that was acknowledged arrives.
func TestKafkaAway(t *testing.T) {
	away := 8 * time.Second
	if text := os.Getenv("CUSTODY_TEST_OUTAGE"); text != "" {
		var err error
		if away, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	servers, restart, address, key, search := services(t, "--collector-spool-max-bytes", "2000000")
	c := newCrowd(address, key, 16)
	time.Sleep(500 * time.Millisecond)
	if err := servers.broker.Close(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(away / 2)
	restart() // it finds what it had
	time.Sleep(away / 2)
	servers.startBroker(t)
	time.Sleep(3 * time.Second)
	acked := c.end()
	eventually(t, 2*time.Minute, "everything acknowledged is stored", func(context.Context) bool { return len(c.missing(t, search)) == 0 })
	t.Logf("away for %s: %d events acknowledged, none missing; answers %v", away, acked, c.said)
	if acked < 1000 || c.said["503"] == 0 {
		t.Errorf("the spool was never full: %d acknowledged, %v", acked, c.said)
	}
}
