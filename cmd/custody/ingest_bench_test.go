package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/schemas/topic"
)

// BenchmarkIngest is the way from a client to the durable acknowledgement: 64
// clients against a collector in a process of its own and a broker in another. It
// reports the latency of a request and the collector's CPU time per event.
func BenchmarkIngest(b *testing.B) {
	for _, batch := range []int{1, 50} {
		b.Run(fmt.Sprintf("clients=64/events=%d", batch), func(b *testing.B) { ingest(b, batch) })
	}
}

func ingest(b *testing.B, batch int) {
	kafka := embeddedtest.StartKafka(b, 4)
	sources, keys := estateSources(b)
	address := freeAddress(b)
	cmd := start(b, "takes events at", "collect", "--kafka-brokers", kafka.Addr, "--kafka-topic-prefix", strings.TrimSuffix(kafka.Topic(topic.Events), topic.Events),
		"--collector-sources", sources, "--collector-http", address, "--collector-grpc", "127.0.0.1:0", "--collector-spool-dir", filepath.Join(b.TempDir(), "spool"), "--telemetry-address", "")
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	const clients = 64
	var left, number atomic.Int64
	left.Store(int64(b.N))
	took := make([][]time.Duration, clients)
	before := cpu(b, cmd.Process.Pid)
	b.ResetTimer()
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for left.Add(-int64(batch)) > -int64(batch) {
				began := time.Now()
				if err := sendBatch(b.Context(), client, address, keys["acme-sts"], batch, &number); err != nil {
					b.Error(err)
					return
				}
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	all.Wait()
	b.StopTimer()
	events := float64(number.Load())
	b.ReportMetric(events/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric((cpu(b, cmd.Process.Pid)-before).Seconds()*1e6/events, "cpu-µs/event")
	every := slices.Sorted(slices.Values(slices.Concat(took...)))
	b.ReportMetric(every[len(every)/2].Seconds()*1e3, "p50-ms")
	b.ReportMetric(every[len(every)*99/100].Seconds()*1e3, "p99-ms")
}

func sendBatch(ctx context.Context, client *http.Client, address, key string, batch int, number *atomic.Int64) error {
	var body strings.Builder
	for range batch {
		n := number.Add(1)
		fmt.Fprintf(&body, `{"kind":"tool_invocation","type":"mcp.tools.call","time":"2026-11-24T10:00:00Z","outcome":"success","subject":{"iss":"https://idp.acme.example","sub":"alice","type":"human"},"actor":{"sub":"planner","type":"agent"},"server":{"id":"github-mcp","uri":"https://github-mcp.acme.example/mcp"},"tool":{"name":"merge_pull_request","server_method":"tools/call","arguments_hash":"sha256:amSKJ4BvBhznoo2SN7LSy__so1pujdSseLG-NwrNma0","argument_names":["repository","number"],"result_status":"ok","duration_ms":12},"token":{"ref":"sha256:amSKJ4BvBhznoo2SN7LSy__so1pujdSseLG-NwrNma0","iss":"https://sts.acme.example","audience":["https://github-mcp.acme.example/mcp"],"scope":["repo:write","deploy:run"],"verified":"verified"},"correlation":{"trace_id":"%032x","span_id":"%016x","jsonrpc_id":"7"},"source":{"event_id":"b-%d"}}`+"\n", n, n, n)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/events", strings.NewReader(body.String()))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/x-ndjson")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", res.Status)
	}
	_, err = res.Body.Read(make([]byte, 1<<10))
	if err != nil && err.Error() != "EOF" {
		return err
	}
	return nil
}

// cpu is the CPU time of a process so far, of Linux's 100 ticks a second.
func cpu(tb testing.TB, pid int) time.Duration {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		tb.Skip("CPU time is read from /proc")
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	var user, system int64
	fmt.Sscan(fields[11], &user)
	fmt.Sscan(fields[12], &system)
	return time.Duration(user+system) * 10 * time.Millisecond
}
