package proof_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor"
	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/processor/witness"
	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/topic"
)

const logName, witnessName = "audit.example/custody", "witness.example/w1"

// estate is a whole pipeline: a broker, a processor that seals, a ClickHouse, a
// folder of checkpoints and, where it is asked for, a witness.
type estate struct {
	testing.TB
	*embeddedtest.Servers
	folder  *seal.Folder
	dir     string // of the folder
	key     *seal.Key
	witness *seal.Key // nil for none
	admin   driver.Conn
	sent    int
}

func newKey(t testing.TB, name string) *seal.Key {
	t.Helper()
	k, err := seal.CreateKey(filepath.Join(t.TempDir(), "key"), name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newEstate(t testing.TB, witnessed bool) *estate {
	t.Helper()
	e := &estate{TB: t, Servers: embeddedtest.Start(t), dir: t.TempDir(), key: newKey(t, logName)}
	var err error
	if e.folder, err = seal.OpenFolder(e.dir); err != nil {
		t.Fatal(err)
	}
	e.admin = e.ClickHouse.Conn(embedded.Admin)
	cfg := seal.Config{ClickHouse: e.ClickHouse.Conn(embedded.Writer), Key: e.key, Folder: e.folder, Interval: 20 * time.Millisecond, WitnessInterval: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
	if witnessed {
		e.witness = newKey(t, witnessName)
		cfg.Witnesses = []seal.Witness{e.client()}
	}
	sealer, err := seal.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p, err := processor.New(processor.Config{
		Kafka: dial.Kafka{Brokers: []string{e.Kafka.Addr}}, Topic: e.Kafka.Topic(topic.Events), DeadLetter: e.Kafka.Topic(topic.DeadLetter), Group: e.Kafka.Group(),
		ClickHouse: cfg.ClickHouse, Dial: embeddedtest.Dialer(e.ClickHouse.Addr(), embedded.Writer, e.ClickHouse.Password(embedded.Writer), embeddedtest.Database),
		BlockWait: 20 * time.Millisecond, Sealer: sealer, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	e.run(p.Run)
	e.run(sealer.Run)
	return e
}

// run runs a service until the test ends.
func (e *estate) run(service func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service(ctx) }()
	e.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			e.Error(err)
		}
	})
}

// client starts the witness.
func (e *estate) client() *witness.Client {
	e.Helper()
	known, err := witness.ParsePolicy(strings.NewReader("log " + e.key.Verifier() + "\n"))
	if err != nil {
		e.Fatal(err)
	}
	w, err := witness.New(witness.Config{Key: e.witness, Dir: e.TempDir(), Logs: known.Logs, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		e.Fatal(err)
	}
	server := httptest.NewServer(w)
	e.Cleanup(func() {
		server.Close()
		w.Close()
	})
	c, err := witness.NewClient(server.URL, e.witness.CosignerKey())
	if err != nil {
		e.Fatal(err)
	}
	return c
}

// send hands events to the broker as the collector does, and waits until all are
// sealed, and cosigned where there is a witness.
func (e *estate) send(events ...*event.Event) {
	e.Helper()
	var messages []kafka.Message
	for _, ev := range events {
		m := topic.Message("", ev, ev.Canonical(), "")
		m.Topic = ""
		messages = append(messages, m)
	}
	e.sendRaw(messages...)
}

func (e *estate) sendRaw(messages ...kafka.Message) {
	e.Helper()
	w := &kafka.Writer{Addr: kafka.TCP(e.Kafka.Addr), Topic: e.Kafka.Topic(topic.Events), Balancer: &kafka.Murmur2Balancer{}, BatchTimeout: 5 * time.Millisecond, RequiredAcks: kafka.RequireAll}
	if err := w.WriteMessages(e.Context(), messages...); err != nil {
		e.Fatal(err)
	}
	if err := w.Close(); err != nil {
		e.Fatal(err)
	}
	e.sent += len(messages)
	embeddedtest.Eventually(e, 2*time.Minute, "everything is sealed", func(context.Context) error {
		trees, err := e.folder.Trees(logName)
		if err != nil {
			return err
		}
		n := uint64(0)
		for _, p := range trees {
			head := p.Checkpoint
			if e.witness != nil {
				head = p.Witnessed
			}
			if c, _, err := e.ring().OpenCheckpoint(head); err == nil {
				n += c.Size
			}
		}
		if n != uint64(e.sent) {
			return fmt.Errorf("%d of %d", n, e.sent)
		}
		return nil
	})
}

func (e *estate) ring() *seal.Keyring {
	e.Helper()
	ring, err := e.folder.Keyring(logName, e.key.Public())
	if err != nil {
		e.Fatal(err)
	}
	return ring
}

// request is one about a filter.
func (e *estate) request(filter, tenant string, ranges ...string) proof.Request {
	e.Helper()
	f, err := query.ParseFilter(filter, time.Now())
	if err != nil {
		e.Fatal(err)
	}
	r, err := proof.ParseRanges(ranges)
	if err != nil {
		e.Fatal(err)
	}
	return proof.Request{Query: filter, Filter: f, Tenant: tenant, Ranges: r}
}

func (e *estate) try(req proof.Request, key proof.Signer) ([]byte, *proof.Result, error) {
	e.Helper()
	reader, err := query.New(query.Config{ClickHouse: e.admin, Tenant: req.Tenant})
	if err != nil {
		e.Fatal(err)
	}
	var b bytes.Buffer
	got, err := proof.Export(e.Context(), proof.Config{ClickHouse: e.admin, Reader: reader, Folder: e.folder, Ring: e.ring(), Key: key, Dir: e.TempDir()}, req, &b)
	return b.Bytes(), got, err
}

func (e *estate) export(req proof.Request) []byte {
	e.Helper()
	b, _, err := e.try(req, e.key)
	if err != nil {
		e.Fatal(err)
	}
	return b
}

// policyText is the policy of a reader who wants the witness where there is one.
func (e *estate) policyText() string {
	text := "log " + e.key.Verifier() + "\n"
	if e.witness != nil {
		text += "witness w " + e.witness.CosignerKey() + "\nquorum w\n"
	}
	return text
}

func policy(t testing.TB, text string) *proof.Policy {
	t.Helper()
	p, err := proof.ParsePolicy(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func verify(t testing.TB, bundle []byte, p *proof.Policy, known ...[]byte) *proof.Report {
	t.Helper()
	r, err := proof.Verify(bytes.NewReader(bundle), p, known)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// intact verifies a bundle by the estate's policy.
func (e *estate) intact(bundle []byte, known ...[]byte) *proof.Report {
	e.Helper()
	r := verify(e, bundle, policy(e, e.policyText()), known...)
	if !r.Intact {
		e.Fatalf("the bundle is refused: %+v", r.Problems)
	}
	return r
}
