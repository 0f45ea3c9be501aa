package mcpproxy_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/collector/mcpproxy"
	"github.com/custody-audit/custody/schemas/event"
)

// nowhere takes every event and keeps none.
type nowhere struct{}

func (nowhere) Emit(context.Context, *event.Event) error { return nil }

// BenchmarkLatency sends 200 calls a second to a server and, in turn, to the same
// server through a proxy, so that both meet the same noise; each is timed.
func BenchmarkLatency(b *testing.B) {
	upstream := httptest.NewServer(answering(200, "application/json", `{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"`+strings.Repeat("x", 1000)+`"}]}}`))
	defer upstream.Close()
	p, err := mcpproxy.New(upstream.URL, mcpproxy.Config{Server: event.Server{ID: "files"}, Emitter: nowhere{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	front := httptest.NewServer(p)
	defer front.Close()
	timed := func(url string) time.Duration {
		began := time.Now()
		res, err := http.Post(url, "application/json", bytes.NewReader([]byte(callText)))
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		return time.Since(began)
	}
	var direct, proxied []time.Duration
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for b.Loop() {
		<-tick.C
		direct, proxied = append(direct, timed(upstream.URL)), append(proxied, timed(front.URL))
	}
	at := func(all []time.Duration, share float64) float64 {
		slices.Sort(all)
		return all[int(float64(len(all)-1)*share)].Seconds() * 1e3
	}
	b.ReportMetric(at(direct, .5), "direct-p50-ms")
	b.ReportMetric(at(proxied, .5), "proxied-p50-ms")
	b.ReportMetric(at(direct, .99), "direct-p99-ms")
	b.ReportMetric(at(proxied, .99), "proxied-p99-ms")
}
