package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/schemas/dial/dialtest"
	"github.com/custody-audit/custody/schemas/table"
)

// An API on a cluster of one's own: over TLS, recording into a Kafka that wants to
// know who it is, as the database user of each tenant, and silent while it cannot
// record.
func TestServeApart(t *testing.T) {
	t.Parallel()
	a := dialtest.NewAuthority(t, "")
	e := &estate{kafka: embeddedtest.StartSecureKafka(t), engine: embeddedtest.StartClickHouse(t, "acme"), ca: a.File}
	e.clickhouse = wrapped(t, &tls.Config{Certificates: []tls.Certificate{a.Issue("127.0.0.1")}}, e.engine.Addr())
	ask(t, "schema", "migrate", "--config", e.file(t, e.kafka.Prefix, embedded.Admin, e.kafka.SASL))
	config, dir := e.file(t, e.kafka.Prefix, embedded.Analyst, e.kafka.SASL), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "acme"), []byte(e.engine.Password(table.Auditor("acme"))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "apikeys.yaml")
	acme := strings.TrimSpace(ask(t, "apikey", "add", "acme", "--role", "analyst", "--tenant", "acme", "--serve-keys", keys))
	globex := strings.TrimSpace(ask(t, "apikey", "add", "globex", "--role", "analyst", "--tenant", "globex", "--serve-keys", keys))
	certificate, key := a.Files(a.Issue("127.0.0.1"))
	args := []string{"--config", config, "--serve-keys", keys, "--serve-tenant-password-dir", dir, "--serve-tls-cert-file", certificate, "--serve-tls-key-file", key}
	address, _ := startServe(t, args...)
	get := func(address, key string) (int, string) {
		t.Helper()
		return securely(t, a.File, address+"/api/v1/events", key)
	}
	if status, body := get(address, acme); status != http.StatusOK || !strings.Contains(body, `"events":[]`) {
		t.Errorf("acme: %d %s", status, body)
	}
	if status, body := get(address, globex); status != http.StatusServiceUnavailable || !strings.Contains(body, "database user") {
		t.Errorf("a tenant without a user in ClickHouse: %d %s", status, body)
	}
	start(t, "consumes as group", "process", "--config", e.file(t, e.kafka.Prefix, embedded.Writer, e.kafka.SASL))
	conn := e.engine.Conn(embedded.Admin)
	eventually(t, time.Minute, "both reads are stored, each in its tenant", func(ctx context.Context) bool {
		var n uint64
		err := conn.QueryRow(ctx, "SELECT count() FROM events WHERE type = 'custody.read' AND subject_sub = tenant AND source_id = 'custody' AND outcome = if(tenant = 'acme', 'success', 'error')").Scan(&n)
		return err == nil && n == 2
	})
	args = append(args, "--kafka-brokers", "127.0.0.1:1")
	blind, _ := startServe(t, args...)
	if status, body := get(blind, acme); status != http.StatusServiceUnavailable || !strings.Contains(body, "cannot be recorded") {
		t.Errorf("without Kafka: %d %s", status, body)
	}
	open, _ := startServe(t, append(args, "--serve-fail-open")...)
	if status, body := get(open, acme); status != http.StatusOK {
		t.Errorf("without Kafka, failing open: %d %s", status, body)
	}
}

// securely asks over TLS.
func securely(t *testing.T, authority, url, key string) (int, string) {
	t.Helper()
	pem, err := os.ReadFile(authority)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}, Timeout: 2 * time.Minute}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}
