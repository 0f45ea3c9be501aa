package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/schemas/topic"
)

const (
	benchIssuer   = "https://sts.acme.example"
	benchAudience = "https://github-mcp.acme.example/mcp"
)

// BenchmarkMCPProxy sends 200 calls a second to a server and, in turn, to the same
// server through mcp-proxy, so that both meet the same noise. Proxy, collector and
// broker are processes of their own; the caller's token is verified against the
// issuer's keys, and every call's event is in Kafka in the end.
func BenchmarkMCPProxy(b *testing.B) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"`+strings.Repeat("x", 1000)+`"}]}}`)
	}))
	defer upstream.Close()
	kafka := embeddedtest.StartKafka(b, 1)
	bearer, keys := issue(b)
	front, stop := proxied(b, kafka, upstream.URL, keys)
	timed := func(url string) time.Duration {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, strings.NewReader(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"read"}}`))
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+bearer)
		began := time.Now()
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		return time.Since(began)
	}
	var direct, through []time.Duration
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for b.Loop() {
		<-tick.C
		direct, through = append(direct, timed(upstream.URL)), append(through, timed(front))
	}
	stop()
	if n := logged(b, kafka); n != int64(len(through)) {
		b.Errorf("%d calls through the proxy, %d events in Kafka", len(through), n)
	}
	for _, share := range []float64{.5, .99} {
		at := func(all []time.Duration) float64 {
			slices.Sort(all)
			return all[int(float64(len(all)-1)*share)].Seconds() * 1e3
		}
		b.ReportMetric(at(direct), fmt.Sprintf("direct-p%.0f-ms", 100*share))
		b.ReportMetric(at(through), fmt.Sprintf("proxied-p%.0f-ms", 100*share))
	}
}

// issue returns a token and where the keys of its issuer are.
func issue(b *testing.B) (bearer, keys string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k"}}})
	}))
	b.Cleanup(server.Close)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	bearer, err = jwt.Signed(signer).Claims(map[string]any{
		"iss": benchIssuer, "sub": "alice", "aud": benchAudience, "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "scope": "repo:write", "act": map[string]any{"sub": "planner"},
	}).Serialize()
	if err != nil {
		b.Fatal(err)
	}
	return bearer, server.URL
}

// proxied starts a collector and a proxy before the server; stop ends the proxy
// after its events are acknowledged.
func proxied(b *testing.B, kafka *embeddedtest.Kafka, upstream, keys string) (url string, stop func()) {
	sources, sourceKeys := estateSources(b)
	key := filepath.Join(b.TempDir(), "key")
	if err := os.WriteFile(key, []byte(sourceKeys["acme-github-mcp"]), 0o600); err != nil {
		b.Fatal(err)
	}
	collector, front := freeAddress(b), freeAddress(b)
	start(b, "takes events at", "collect", "--kafka-brokers", kafka.Addr, "--kafka-topic-prefix", strings.TrimSuffix(kafka.Topic(topic.Events), topic.Events),
		"--collector-sources", sources, "--collector-http", collector, "--collector-grpc", "127.0.0.1:0", "--collector-spool-dir", filepath.Join(b.TempDir(), "spool"), "--telemetry-address", "")
	proxy := start(b, "recording github-mcp", "mcp-proxy", "--listen", front, "--upstream", upstream, "--server-id", "github-mcp", "--collector-url", "http://"+collector,
		"--key-file", key, "--issuer", benchIssuer, "--jwks-url", keys, "--audience", benchAudience, "--telemetry-address", "")
	return "http://" + front, func() {
		proxy.Process.Signal(syscall.SIGTERM)
		if err := proxy.Wait(); err != nil {
			b.Errorf("mcp-proxy: %v", err)
		}
	}
}

// logged counts the records in Kafka.
func logged(b *testing.B, k *embeddedtest.Kafka) int64 {
	name := k.Topic(topic.Events)
	got, err := k.Client().ListOffsets(b.Context(), &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{name: {kafka.LastOffsetOf(0)}}})
	if err != nil {
		b.Fatal(err)
	}
	return got.Topics[name][0].LastOffset
}
