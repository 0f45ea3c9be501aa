package embeddedtest

import (
	"crypto/rand"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/dial/dialtest"
)

// SecureKafka is a broker that everybody has to show who he is, in two ways. It
// holds no topics yet.
type SecureKafka struct {
	// SASL is how it is reached with a password; its mechanism may be changed.
	SASL dial.Kafka
	// Mutual is how it is reached with a certificate, Expired with one that is over.
	Mutual, Expired dial.Kafka
	// Prefix is for the names of this test's topics and groups.
	Prefix string
}

// StartSecureKafka starts brokers, or takes the ports of the Apache Kafka of
// deploy/kafka.
func StartSecureKafka(t testing.TB) *SecureKafka {
	t.Helper()
	sasl, mutual, files := os.Getenv("CUSTODY_TEST_KAFKA_SASL"), os.Getenv("CUSTODY_TEST_KAFKA_MUTUAL"), os.Getenv("CUSTODY_TEST_KAFKA_FILES")
	if sasl == "" {
		sasl, mutual, files = startSecure(t)
	}
	in := func(name string) string { return filepath.Join(files, name) }
	trust := dial.TLS{Enabled: true, CAFile: in("authority.pem")}
	own, over := trust, trust
	own.CertFile, own.KeyFile = in("client.pem"), in("client.key")
	over.CertFile, over.KeyFile = in("expired.pem"), in("expired.key")
	return &SecureKafka{
		SASL:    dial.Kafka{Brokers: []string{sasl}, TLS: trust, SASL: dial.SASL{Mechanism: "SCRAM-SHA-512", Username: "custody", PasswordFile: in("password")}},
		Mutual:  dial.Kafka{Brokers: []string{mutual}, TLS: own},
		Expired: dial.Kafka{Brokers: []string{mutual}, TLS: over},
		Prefix:  "t" + strings.ReplaceAll(uuid.NewString(), "-", "") + ".",
	}
}

// startSecure starts two embedded brokers, since one has one port, and writes the
// files that deploy/kafka writes for Apache Kafka.
func startSecure(t testing.TB) (sasl, mutual, files string) {
	t.Helper()
	a, files := dialtest.NewAuthority(t, ""), t.TempDir()
	put := func(name, from string) {
		if err := os.Rename(from, filepath.Join(files, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]tls.Certificate{"client": a.Issue("custody.example"), "expired": a.IssueUntil("custody.example", time.Now().Add(-time.Minute))} {
		cert, key := a.Files(c)
		put(name+".pem", cert)
		put(name+".key", key)
	}
	put("authority.pem", a.File)
	password := rand.Text()
	if err := os.WriteFile(filepath.Join(files, "password"), []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	open := &tls.Config{Certificates: []tls.Certificate{a.Issue("127.0.0.1")}}
	closed := open.Clone()
	closed.ClientAuth, closed.ClientCAs = tls.RequireAndVerifyClientCert, a.Pool
	var users []embedded.User
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		users = append(users, embedded.User{Mechanism: mechanism, Name: "custody", Password: password})
	}
	return startBroker(t, embedded.BrokerConfig{TLS: open, Users: users}), startBroker(t, embedded.BrokerConfig{TLS: closed}), files
}

func startBroker(t testing.TB, cfg embedded.BrokerConfig) string {
	t.Helper()
	cfg.Dir = t.TempDir()
	b, err := embedded.StartBroker(cfg)
	if err != nil {
		t.Fatalf("start the broker: %v", err)
	}
	t.Cleanup(func() { b.Close() })
	return b.Addr()
}
