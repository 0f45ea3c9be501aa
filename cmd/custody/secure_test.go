package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"go.yaml.in/yaml/v3"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/dial/dialtest"
	"github.com/custody-audit/custody/schemas/topic"
)

// estate is servers that want to know who one is, and what to give to verbs.
type estate struct {
	kafka      *embeddedtest.SecureKafka
	engine     *embeddedtest.ClickHouse
	clickhouse string // the engine's address with TLS
	ca         string // authority of its certificate
}

func startEstate(t *testing.T) *estate {
	t.Helper()
	a := dialtest.NewAuthority(t, "")
	e := &estate{kafka: embeddedtest.StartSecureKafka(t), engine: embeddedtest.StartClickHouse(t), ca: a.File}
	e.clickhouse = wrapped(t, &tls.Config{Certificates: []tls.Certificate{a.Issue("127.0.0.1")}}, e.engine.Addr())
	return e
}

// wrapped is a port with TLS before a server that has none.
func wrapped(t *testing.T, cfg *tls.Config, target string) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go join(client, target)
		}
	}()
	return l.Addr().String()
}

func join(client net.Conn, target string) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	var up sync.WaitGroup
	up.Go(func() {
		io.Copy(server, client)
		server.(*net.TCPConn).CloseWrite()
	})
	io.Copy(client, server)
	client.Close()
	up.Wait()
}

// file writes a configuration that reaches Kafka as k, and ClickHouse as user.
func (e *estate) file(t *testing.T, prefix, user string, k dial.Kafka) string {
	t.Helper()
	dir := t.TempDir()
	password := filepath.Join(dir, "clickhouse")
	if err := os.WriteFile(password, []byte(e.engine.Password(user)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type m map[string]any
	text, err := yaml.Marshal(m{
		"kafka": m{
			"brokers": k.Brokers, "topic_prefix": prefix, "compression": k.Compression, "partitions": 2,
			"tls":  m{"enabled": k.TLS.Enabled, "ca_file": k.TLS.CAFile, "cert_file": k.TLS.CertFile, "key_file": k.TLS.KeyFile},
			"sasl": m{"mechanism": k.SASL.Mechanism, "username": k.SASL.Username, "password_file": k.SASL.PasswordFile},
		},
		"clickhouse": m{"addresses": []string{e.clickhouse}, "user": user, "password_file": password, "tls": m{"enabled": true, "ca_file": e.ca}},
		"processor":  m{"group": prefix + "processor", "session_timeout": "6s"},
		"telemetry":  m{"address": ""},
	})
	name := filepath.Join(dir, "custody.yaml")
	if err == nil {
		err = os.WriteFile(name, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// Publish, process and store, with each way to be recognised and each compression.
// Kafka's side of the connection is Apache Kafka in "make test-kafka".
func TestSecurePipeline(t *testing.T) {
	e := startEstate(t)
	sources, keys := estateSources(t)
	for i, way := range []struct {
		kafka       dial.Kafka
		mechanism   string
		compression string
		codec       kafka.Compression
	}{
		{e.kafka.SASL, "SCRAM-SHA-512", "zstd", kafka.Zstd},
		{e.kafka.SASL, "SCRAM-SHA-256", "lz4", kafka.Lz4},
		{e.kafka.SASL, "PLAIN", "zstd", kafka.Zstd},
		{e.kafka.Mutual, "", "lz4", kafka.Lz4},
	} {
		t.Run(fmt.Sprint(way.mechanism, " ", way.compression), func(t *testing.T) {
			k, prefix, address := way.kafka, fmt.Sprint(e.kafka.Prefix, i, "."), freeAddress(t)
			k.SASL.Mechanism, k.Compression = way.mechanism, way.compression
			ask(t, "schema", "migrate", "--config", e.file(t, prefix, embedded.Admin, k))
			start(t, "takes events at", "collect", "--config", e.file(t, prefix, embedded.Writer, k), "--collector-sources", sources, "--collector-http", address,
				"--collector-grpc", "127.0.0.1:0", "--collector-spool-max-bytes", "0")
			start(t, "consumes as group", "process", "--config", e.file(t, prefix, embedded.Writer, k))
			var body strings.Builder
			const events = 200
			for n := range events - 1 {
				fmt.Fprintf(&body, `{"kind":"session","type":"task.start","time":"2026-11-24T10:00:00Z","outcome":"success","subject":{"sub":"alice"},"correlation":{"task_id":"t"},"source":{"event_id":"%d-%d"}}`+"\n", i, n)
			}
			if status, answer := post(t, "http://"+address+"/v1/events", keys["acme-sts"], "application/x-ndjson", "", body.String()); status != http.StatusOK {
				t.Fatalf("%d %s", status, answer)
			}
			malformed := kafka.Message{Topic: topic.Name(prefix, topic.Events), Key: []byte("k"), Value: []byte("no event")}
			w := &kafka.Writer{Addr: kafka.TCP(k.Brokers...), RequiredAcks: kafka.RequireAll, Compression: way.codec, Transport: k.Transport("test"), BatchTimeout: time.Millisecond}
			defer w.Close()
			if err := w.WriteMessages(t.Context(), malformed); err != nil {
				t.Fatal(err)
			}
			conn := e.engine.Conn(embedded.Admin)
			eventually(t, time.Minute, "everything is stored", func(ctx context.Context) bool {
				var n uint64
				err := conn.QueryRow(ctx, "SELECT count() FROM records WHERE topic = ?", malformed.Topic).Scan(&n)
				return err == nil && n == events
			})
			for _, name := range []string{topic.Events, topic.DeadLetter} {
				if got := codecs(t, &k, topic.Name(prefix, name)); len(got) != 1 || !got[way.codec] {
					t.Errorf("%s is compressed with %v, want %s only", name, got, way.codec)
				}
			}
		})
	}
}

// codecs are the compressions of a topic's batches.
func codecs(t *testing.T, k *dial.Kafka, name string) map[kafka.Compression]bool {
	t.Helper()
	found := map[kafka.Compression]bool{}
	client := k.Client("test")
	meta, err := client.Metadata(t.Context(), &kafka.MetadataRequest{Topics: []string{name}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range meta.Topics[0].Partitions {
		res, err := client.Transport.RoundTrip(t.Context(), client.Addr, &fetch.Request{
			ReplicaID: -1, MaxWaitTime: 100, MinBytes: 1, MaxBytes: 1 << 20, SessionEpoch: -1,
			Topics: []fetch.RequestTopic{{Topic: name, Partitions: []fetch.RequestPartition{{Partition: int32(p.ID), PartitionMaxBytes: 1 << 20, CurrentLeaderEpoch: -1}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		set := res.(*fetch.Response).Topics[0].Partitions[0].RecordSet
		if set.Records != nil {
			found[kafka.Compression(set.Attributes&7)] = true
		}
	}
	return found
}

// What Kafka or ClickHouse refuses, and what cannot be verified, ends a verb with
// one line that names the setting. A collector with a spool says it and goes on.
func TestSecureRefusals(t *testing.T) {
	e := startEstate(t)
	sources, keys := estateSources(t)
	other := dialtest.NewAuthority(t, "")
	secret := "not the password of anybody"
	wrong := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrong, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	good := e.kafka.SASL
	ask(t, "schema", "migrate", "--config", e.file(t, e.kafka.Prefix, embedded.Admin, good))
	password, authority := good, good
	password.SASL.PasswordFile = wrong
	authority.TLS.CAFile = other.File
	for _, c := range []struct {
		what    string
		kafka   dial.Kafka
		setting string
	}{
		{"wrong password", password, "kafka.sasl.password_file: "},
		{"another authority", authority, "kafka.tls.ca_file: "},
		{"our certificate has expired", e.kafka.Expired, "kafka.tls.cert_file: "},
	} {
		file := e.file(t, e.kafka.Prefix, embedded.Writer, c.kafka)
		for _, args := range [][]string{
			{"process"}, {"schema", "status"},
			{"collect", "--collector-sources", sources, "--collector-http", "127.0.0.1:0", "--collector-grpc", "127.0.0.1:0", "--collector-spool-max-bytes", "0"},
		} {
			_, err := try(t, append(args, "--config", file)...)
			clear(t, c.what+", "+args[0], err, c.setting, secret)
		}
		log := &output{}
		address := freeAddress(t)
		startLogged(t, log, "takes events at", "collect", "--config", file, "--collector-sources", sources, "--collector-http", address, "--collector-grpc", "127.0.0.1:0",
			"--collector-spool-dir", t.TempDir())
		if status, answer := post(t, "http://"+address+"/v1/events", keys["acme-sts"], "application/json", "", `{"kind":"session","type":"task.start","time":"2026-11-24T10:00:00Z","outcome":"success","correlation":{"task_id":"t"}}`); status != http.StatusOK {
			t.Errorf("%s: a collector with a spool answers %d %s", c.what, status, answer)
		}
		if said := log.String(); !strings.Contains(said, c.setting) || strings.Contains(said, secret) {
			t.Errorf("%s: the collector said %s", c.what, said)
		}
	}
	file := e.file(t, e.kafka.Prefix, embedded.Analyst, good)
	for setting, args := range map[string][]string{
		"clickhouse.tls.ca_file: ":     {"--clickhouse-tls-ca-file", other.File},
		"clickhouse.tls.server_name: ": {"--clickhouse-tls-server-name", "clickhouse.example"},
		"clickhouse.tls.enabled: ":     {"--clickhouse-addresses", plainPort(t)},
	} {
		_, err := try(t, append([]string{"search", "--config", file, "last:1h"}, args...)...)
		clear(t, "search", err, setting, secret)
	}
	ask(t, "search", "--config", file, "last:1h")
}

// plainPort is one without TLS.
func plainPort(t *testing.T) string {
	s := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

func clear(t *testing.T, what string, err error, setting, secret string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), setting) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), secret) {
		t.Errorf("%s: %v; want one line with %q and no secret", what, err, setting)
		return
	}
	t.Logf("%s: %v", what, err)
}
