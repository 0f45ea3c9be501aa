package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/doctor"
	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/schemas/dial/dialtest"
)

// installation is one in order, and flags to look at it with.
type installation struct {
	t      *testing.T
	engine *embeddedtest.ClickHouse
	dir    string
	flags  map[string]string
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	kafka := embeddedtest.StartKafka(t, 3)
	p := &installation{t: t, engine: embeddedtest.StartClickHouse(t), dir: t.TempDir()}
	a := dialtest.NewAuthority(t, "")
	cert, key := a.Files(a.Issue("127.0.0.1"))
	p.flags = map[string]string{
		"kafka-brokers": kafka.Addr, "kafka-topic-prefix": kafka.Prefix, "kafka-partitions": "3",
		"clickhouse-addresses": p.engine.Addr(), "clickhouse-user": embedded.Writer, "clickhouse-password-file": p.file("password", p.engine.Password(embedded.Writer)),
		"collector-sources": p.file("sources.yaml", "sources: []\n"), "collector-tls-cert-file": cert, "collector-tls-key-file": key, "collector-spool-dir": p.dir, "collector-spool-max-bytes": "1000000",
		"serve-keys": p.file("apikeys.yaml", "keys: []\n"), "seal-key-file": filepath.Join(p.dir, "seal.key"), "seal-dir": p.dir,
	}
	ask(t, "seal", "keygen", "custody.example/doctor", "--seal-key-file", p.flags["seal-key-file"])
	admin := p.file("admin", p.engine.Password(embedded.Admin))
	ask(t, "schema", "migrate", "--kafka-brokers", p.flags["kafka-brokers"], "--kafka-topic-prefix", kafka.Prefix, "--kafka-partitions", "3",
		"--clickhouse-addresses", p.engine.Addr(), "--clickhouse-user", embedded.Admin, "--clickhouse-password-file", admin)
	return p
}

func (p *installation) file(name, text string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// look asks the doctor with some flags changed.
func (p *installation) look(service string, changed map[string]string) ([]doctor.Finding, error) {
	p.t.Helper()
	flags := maps.Clone(p.flags)
	maps.Copy(flags, changed)
	args := []string{"doctor", "--output", "json", "--telemetry-address", ""}
	if service != "" {
		args = append(args, service)
	}
	for name, value := range flags {
		args = append(args, "--"+name, value)
	}
	out, err := try(p.t, args...)
	var found []doctor.Finding
	for line := range strings.Lines(out) {
		var f doctor.Finding
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			p.t.Fatalf("%s: %v", line, err)
		}
		found = append(found, f)
	}
	return found, err
}

// In order nothing fails; broken in each of these ways the doctor names it, and says
// what to do.
func TestDoctor(t *testing.T) {
	t.Parallel()
	p := newInstallation(t)
	retainer := map[string]string{"clickhouse-user": embedded.Retainer, "clickhouse-password-file": p.file("retainer", p.engine.Password(embedded.Retainer))}
	for service, changed := range map[string]map[string]string{"collect": nil, "process": nil, "retain": retainer} {
		found, err := p.look(service, changed)
		if err != nil || len(found) < 5 {
			t.Errorf("%s in order: %v\n%v", service, err, found)
		}
		for _, f := range found {
			if f.State != doctor.OK && f.Check != "collector.tls.cert_file" { // it ends within the hour
				t.Errorf("%s in order: %+v", service, f)
			}
		}
	}
	if out, err := try(t, "doctor", "collect", "--data-dir", p.dir, "--kafka-brokers", p.flags["kafka-brokers"], "--kafka-topic-prefix", p.flags["kafka-topic-prefix"], "--kafka-partitions", "3",
		"--collector-sources", p.flags["collector-sources"], "--collector-spool-dir", p.dir, "--collector-spool-max-bytes", "1000000", "--telemetry-address", ""); err != nil {
		t.Errorf("a collector without a ClickHouse: %v\n%s", err, out)
	}
	old := dialtest.NewAuthority(t, "")
	oldCert, oldKey := old.Files(old.IssueUntil("127.0.0.1", time.Now().Add(-time.Hour)))
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"issuer": "https://other.example", "jwks_uri": "https://other.example/keys"}`)
	}))
	t.Cleanup(issuer.Close)
	open := p.file("open", "secret")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, service string
		changed       map[string]string
		check         string
		state         doctor.State
		detail, next  string
	}{
		{"no broker there", "process", map[string]string{"kafka-brokers": freeAddress(t)}, "kafka.broker", doctor.Failed, "connection refused", "start the broker"},
		{"topics of another prefix", "process", map[string]string{"kafka-topic-prefix": "other."}, "kafka.topics", doctor.Failed, "other.custody.events is missing", "custody schema migrate"},
		{"other number of partitions", "process", map[string]string{"kafka-partitions": "8"}, "kafka.topics", doctor.Failed, "has 3 partitions, configured are 8", "set kafka.partitions"},
		{"more replicas wanted", "process", map[string]string{"kafka-replication": "3"}, "kafka.settings", doctor.Failed, "min.insync.replicas is 1, want 2", "kafka-configs.sh"},
		{"no ClickHouse there", "process", map[string]string{"clickhouse-addresses": freeAddress(t)}, "clickhouse.address", doctor.Failed, "connection refused", "start ClickHouse"},
		{"wrong password", "process", map[string]string{"clickhouse-password-file": p.file("wrong", "wrong")}, "clickhouse.address", doctor.Failed, "516", "clickhouse.password_file"},
		{"no database", "process", map[string]string{"clickhouse-database": "nowhere"}, "clickhouse.schema", doctor.Failed, "nowhere", "custody schema migrate"},
		{"another service's user", "detect", nil, "clickhouse.grants", doctor.Failed, "CREATE TEMPORARY TABLE", "custody schema roles"},
		{"a user who may not delete", "retain", nil, "clickhouse.grants", doctor.Failed, "ALTER DELETE ON custody.records", "custody schema roles"},
		{"nothing to sign deletions with", "retain", map[string]string{"seal-key-file": ""}, "seal.key_file", doctor.Failed, "signed with the log's key", "the same as the processors'"},
		{"key of a log that is none", "process", map[string]string{"seal-key-file": p.file("bad.key", "PRIVATE+KEY+nonsense")}, "seal.key_file", doctor.Failed, "private key", "seal.key_file"},
		{"folder of checkpoints away", "process", map[string]string{"seal-dir": filepath.Join(p.dir, "nowhere")}, "seal.dir", doctor.Failed, "nowhere", "mkdir"},
		{"certificate that ended", "collect", map[string]string{"collector-tls-cert-file": oldCert, "collector-tls-key-file": oldKey}, "collector.tls.cert_file", doctor.Failed, "ended on", "renew"},
		{"sources with a fault", "collect", map[string]string{"collector-sources": p.file("bad.yaml", "sorces: []\n")}, "collector.sources", doctor.Failed, "sorces", "correct"},
		{"more spool than disk", "collect", map[string]string{"collector-spool-max-bytes": "1000000000000000"}, "collector.spool.dir", doctor.Warning, "MiB free", "make room"},
		{"secret that everybody reads", "serve", map[string]string{"serve-handler-password-file": open}, "serve.handler_password_file", doctor.Warning, "by everybody", "chmod 600"},
		{"issuer of another name", "serve", map[string]string{"serve-oidc-issuer": issuer.URL}, "serve.oidc.issuer", doctor.Failed, `calls itself "https://other.example"`, "to the last slash"},
	} {
		found, err := p.look(c.service, c.changed)
		i := slices.IndexFunc(found, func(f doctor.Finding) bool { return f.Check == c.check && f.State == c.state })
		if i < 0 {
			t.Errorf("%s: nothing is said of %s: %v\n%+v", c.name, c.check, err, found)
			continue
		}
		if f := found[i]; !strings.Contains(f.Detail, c.detail) || !strings.Contains(f.Next, c.next) {
			t.Errorf("%s: %+v, want %q and %q", c.name, f, c.detail, c.next)
		}
		if (err != nil) != (c.state == doctor.Failed) {
			t.Errorf("%s: exit %v", c.name, err)
		}
		t.Logf("%s: %s %s: %s -> %s", c.name, found[i].State, found[i].Check, found[i].Detail, found[i].Next)
	}
}
