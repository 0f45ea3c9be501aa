package dial_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/dial/dialtest"
	"github.com/custody-audit/custody/schemas/topic"
)

const (
	password = "correct horse battery staple"
	wrong    = "incorrect horse, and no secret for logs"
)

// broker starts one of our own with a certificate; anybody may connect but by the
// users' mechanisms.
func broker(t *testing.T, secure *tls.Config, users ...embedded.User) string {
	t.Helper()
	b, err := embedded.StartBroker(embedded.BrokerConfig{Dir: t.TempDir(), TLS: secure, Users: users})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b.Addr()
}

func users() []embedded.User {
	return []embedded.User{{Mechanism: "PLAIN", Name: "custody", Password: password}, {Mechanism: "SCRAM-SHA-256", Name: "custody", Password: password}, {Mechanism: "SCRAM-SHA-512", Name: "custody", Password: password}}
}

func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func serving(certificates ...tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: certificates}
}

// try reaches the cluster in both ways that the stages do: by a pool and by a
// single connection.
func try(t *testing.T, k dial.Kafka) (pool, single error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := k.Validate(); err != nil {
		t.Fatal(err)
	}
	client := k.Client("custody-test")
	defer client.Transport.(*dial.Transport).CloseIdleConnections()
	_, pool = topic.Migrate(ctx, client, topic.Layout{Partitions: 1, Replication: 1})
	return pool, k.Check(ctx, "custody-test")
}

func TestMechanisms(t *testing.T) {
	t.Parallel()
	a := dialtest.NewAuthority(t, "")
	address := broker(t, serving(a.Issue("127.0.0.1")), users()...)
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		k := dial.Kafka{Brokers: []string{address}, TLS: dial.TLS{Enabled: true, CAFile: a.File}, SASL: dial.SASL{Mechanism: mechanism, Username: "custody", PasswordFile: file(t, password+"\r\n")}}
		if pool, single := try(t, k); pool != nil || single != nil {
			t.Errorf("%s: pool %v, single connection %v", mechanism, pool, single)
		}
		k.SASL.PasswordFile = file(t, wrong)
		pool, single := try(t, k)
		refused(t, mechanism+", wrong password", single, "kafka.sasl.password_file")
		// The embedded broker ends the connection where Apache Kafka says why; the pool cannot be sure then.
		if pool == nil || !strings.Contains(pool.Error(), "kafka.sasl.password_file") || strings.Contains(pool.Error(), wrong) {
			t.Errorf("%s, wrong password, pool: %v", mechanism, pool)
		}
	}
	plain := dial.Kafka{Brokers: []string{broker(t, nil, users()...)}, SASL: dial.SASL{Mechanism: "SCRAM-SHA-512", Username: "custody", PasswordFile: file(t, password)}}
	if pool, single := try(t, plain); pool != nil || single != nil {
		t.Errorf("SCRAM without TLS: pool %v, single connection %v", pool, single)
	}
}

// refused fails unless the error is one line that names the setting, tells no
// secret, and is known to come again.
func refused(t *testing.T, what string, err error, setting string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: accepted", what)
		return
	}
	if !errors.Is(err, dial.ErrRefused) || !strings.Contains(err.Error(), setting+":") {
		t.Errorf("%s: %v; want a refusal that names %s", what, err, setting)
	}
	if strings.Contains(err.Error(), wrong) || strings.Contains(err.Error(), password) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: the error has a password or several lines: %v", what, err)
	}
	t.Logf("%s: %v", what, err)
}

// Each thing that can be wrong with TLS is one error with the setting's name.
func TestRefusals(t *testing.T) {
	t.Parallel()
	a, other := dialtest.NewAuthority(t, ""), dialtest.NewAuthority(t, "")
	good, over := a.Issue("127.0.0.1"), a.IssueUntil("127.0.0.1", time.Now().Add(-time.Minute))
	mutual := &tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.Pool}
	open, expired, named, both, plain := broker(t, serving(good)), broker(t, serving(over)), broker(t, serving(a.Issue("kafka.acme.example"))), broker(t, mutual), httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	sasl := broker(t, nil, users()...)
	ownCert, ownKey := a.Files(a.Issue("custody.acme.example"))
	overCert, overKey := a.Files(a.IssueUntil("custody.acme.example", time.Now().Add(-time.Minute)))
	strangeCert, strangeKey := other.Files(other.Issue("custody.acme.example"))
	on := func(edit func(*dial.TLS)) dial.TLS {
		s := dial.TLS{Enabled: true, CAFile: a.File}
		edit(&s)
		return s
	}
	as := func(cert, key string) dial.TLS {
		return on(func(s *dial.TLS) { s.CertFile, s.KeyFile = cert, key })
	}
	for _, c := range []struct {
		what, broker string
		tls          dial.TLS
		sasl         dial.SASL
		setting      string // in the error; empty: it works
	}{
		{"a known authority", open, on(func(*dial.TLS) {}), dial.SASL{}, ""},
		{"another name, and it is said", named, on(func(s *dial.TLS) { s.ServerName = "kafka.acme.example" }), dial.SASL{}, ""},
		{"our certificate", both, as(ownCert, ownKey), dial.SASL{}, ""},
		{"a certificate that nobody asks for", open, as(ownCert, ownKey), dial.SASL{}, ""},
		{"another authority", open, on(func(s *dial.TLS) { s.CAFile = other.File }), dial.SASL{}, "kafka.tls.ca_file"},
		{"the system's authorities", open, on(func(s *dial.TLS) { s.CAFile = "" }), dial.SASL{}, "kafka.tls.ca_file"},
		{"no such file", open, on(func(s *dial.TLS) { s.CAFile = "/nonexistent" }), dial.SASL{}, "kafka.tls.ca_file"},
		{"a file without certificates", open, on(func(s *dial.TLS) { s.CAFile = ownKey }), dial.SASL{}, "kafka.tls.ca_file"},
		{"the server's has expired", expired, on(func(*dial.TLS) {}), dial.SASL{}, "kafka.tls"},
		{"another name", named, on(func(*dial.TLS) {}), dial.SASL{}, "kafka.tls.server_name"},
		{"no TLS on this port", plain.Listener.Addr().String(), on(func(*dial.TLS) {}), dial.SASL{}, "kafka.tls.enabled"},
		{"none of ours", both, on(func(*dial.TLS) {}), dial.SASL{}, "kafka.tls.cert_file"},
		{"ours of another authority", both, as(strangeCert, strangeKey), dial.SASL{}, "kafka.tls.cert_file"},
		{"ours has expired", both, as(overCert, overKey), dial.SASL{}, "kafka.tls.cert_file"},
		{"a key of another certificate", both, as(ownCert, overKey), dial.SASL{}, "kafka.tls.cert_file and key_file"},
		{"no such password file", sasl, dial.TLS{}, dial.SASL{Mechanism: "SCRAM-SHA-256", Username: "custody", PasswordFile: "/nonexistent"}, "kafka.sasl.password_file"},
		{"an empty password file", sasl, dial.TLS{}, dial.SASL{Mechanism: "SCRAM-SHA-256", Username: "custody", PasswordFile: file(t, "\n")}, "kafka.sasl.password_file"},
	} {
		pool, single := try(t, dial.Kafka{Brokers: []string{c.broker}, TLS: c.tls, SASL: c.sasl})
		if c.setting == "" {
			if pool != nil || single != nil {
				t.Errorf("%s: pool %v, single connection %v", c.what, pool, single)
			}
			continue
		}
		refused(t, c.what, pool, c.setting)
		refused(t, c.what, single, c.setting)
	}
}

// What a port wants that was not set cannot be known for sure: the error says
// what it may be, and the attempt is not given up.
func TestWantsMore(t *testing.T) {
	t.Parallel()
	a := dialtest.NewAuthority(t, "")
	for setting, address := range map[string]string{"kafka.tls.enabled": broker(t, serving(a.Issue("127.0.0.1"))), "kafka.sasl.mechanism": broker(t, nil, users()...)} {
		k := dial.Kafka{Brokers: []string{address}}
		if err := k.Check(t.Context(), "custody-test"); err == nil || errors.Is(err, dial.ErrRefused) || !strings.Contains(err.Error(), setting) {
			t.Errorf("%v: want one that names %s", err, setting)
		}
	}
	away := dial.Kafka{Brokers: []string{"127.0.0.1:1"}}
	if err := away.Check(t.Context(), "custody-test"); err == nil || errors.Is(err, dial.ErrRefused) || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("nobody there: %v", err)
	}
}

// Of several brokers one that answers suffices, and what one refuses counts for
// more than that another is away.
func TestSeveralBrokers(t *testing.T) {
	t.Parallel()
	secure := dial.SASL{Mechanism: "SCRAM-SHA-512", Username: "custody", PasswordFile: file(t, password)}
	address := broker(t, nil, users()...)
	k := dial.Kafka{Brokers: []string{"127.0.0.1:1", address}, SASL: secure}
	if err := k.Check(t.Context(), "custody-test"); err != nil {
		t.Errorf("one of two: %v", err)
	}
	k.SASL.PasswordFile = file(t, wrong)
	refused(t, "one of two refuses", k.Check(t.Context(), "custody-test"), "kafka.sasl.password_file")
}

// A certificate, an authority and a password that are replaced on disk hold for
// the next connection.
func TestFilesAreReplaced(t *testing.T) {
	t.Parallel()
	first, second := dialtest.NewAuthority(t, ""), dialtest.NewAuthority(t, "")
	address := broker(t, serving(second.Issue("127.0.0.1")), users()...)
	ca, secret := copyOf(t, first.File), file(t, wrong)
	k := dial.Kafka{Brokers: []string{address}, TLS: dial.TLS{Enabled: true, CAFile: ca}, SASL: dial.SASL{Mechanism: "SCRAM-SHA-512", Username: "custody", PasswordFile: secret}}
	refused(t, "the old authority", k.Check(t.Context(), "custody-test"), "kafka.tls.ca_file")
	replace(t, ca, copyOf(t, second.File))
	refused(t, "the old password", k.Check(t.Context(), "custody-test"), "kafka.sasl.password_file")
	replace(t, secret, file(t, password))
	if err := k.Check(t.Context(), "custody-test"); err != nil {
		t.Error(err)
	}
}

func copyOf(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, string(b))
}

func replace(t *testing.T, name, with string) {
	t.Helper()
	if err := os.Rename(with, name); err != nil {
		t.Fatal(err)
	}
}

func TestValidateNamesEverything(t *testing.T) {
	k := dial.Kafka{
		TLS: dial.TLS{CAFile: "ca.pem", KeyFile: "key.pem"}, SASL: dial.SASL{Mechanism: "OAUTHBEARER"}, Compression: "gzip",
	}
	err := k.Validate()
	for _, want := range []string{
		"kafka.tls.enabled:", "kafka.tls: want cert_file and key_file", `kafka.sasl.mechanism: want PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, got "OAUTHBEARER"`,
		"kafka.sasl.username:", "kafka.sasl.password_file:", `kafka.compression: want zstd, lz4 or none, got "gzip"`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	for what, k := range map[string]dial.Kafka{
		"a user without a mechanism": {SASL: dial.SASL{Username: "custody"}},
		"PLAIN without TLS":          {SASL: dial.SASL{Mechanism: "PLAIN", Username: "custody", PasswordFile: "f"}},
	} {
		if err := k.Validate(); err == nil || !strings.Contains(err.Error(), "kafka.sasl.mechanism") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := (&dial.Kafka{}).Validate(); err != nil {
		t.Error(err)
	}
}
