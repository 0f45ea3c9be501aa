package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/collector/deepscan/deepscantest"
	"github.com/custody-audit/custody/collector/native"
	"github.com/custody-audit/custody/collector/otlp"
	"github.com/custody-audit/custody/collector/registry"
	"github.com/custody-audit/custody/schemas/story"
)

// plant is a text that is planted, and the part of it that must be nowhere.
type plant struct{ text, kernel string }

// known are secrets of every form that redaction knows; none was ever valid.
func known(n int) (plants []plant) {
	r := rand.New(rand.NewPCG(1, 2))
	text := func(length int, alphabet string) string {
		b := make([]byte, length)
		for i := range b {
			b[i] = alphabet[r.IntN(len(alphabet))]
		}
		return string(b)
	}
	const upper, alnum = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	jwt := func() string {
		part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
		return part(`{"alg":"ES256","typ":"JWT"}`) + "." + part(`{"sub":"`+text(12, alnum)+`"}`) + "." + text(64, alnum)
	}
	forms := []func() string{
		jwt,
		func() string { return "ghp_" + text(36, alnum) },
		func() string { return "gho_" + text(36, alnum) },
		func() string { return "github_pat_" + text(70, alnum) },
		func() string { return "glpat-" + text(24, alnum) },
		func() string { return "AKIA" + text(16, upper) },
		func() string { return "AIza" + text(35, alnum) },
		func() string { return "sk-" + text(40, alnum) },
		func() string { return "sk_live_" + text(24, alnum) },
		func() string { return "xoxb-" + text(30, alnum) },
		func() string { return "npm_" + text(36, alnum) },
		func() string { return "cst_" + text(43, alnum) },
		func() string { return "hvs." + text(40, alnum) },
		func() string { return "Bearer " + text(40, alnum) },
		func() string { return "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+text(20, alnum))) },
		func() string {
			return "-----BEGIN EC PRIVATE KEY-----\n" + text(64, alnum) + "\n-----END EC PRIVATE KEY-----"
		},
	}
	for i := range n {
		secret := forms[i%len(forms)]()
		plants = append(plants, plant{secret, kernel(secret)})
	}
	return plants
}

// gitleaks are secrets of every form that gitleaks knows.
func gitleaks(t *testing.T) (plants []plant) {
	for _, c := range deepscantest.Canaries(t) {
		if k := c.Kernel(); len(k) >= 8 { // a shorter one stands anywhere
			plants = append(plants, plant{c.Text, k})
		}
	}
	return plants
}

// kernel is what no encoding changes of a secret that redaction knows.
func kernel(secret string) string {
	for _, prefix := range []string{"Bearer ", "Basic ", "-----BEGIN EC PRIVATE KEY-----\n"} {
		secret = strings.TrimPrefix(secret, prefix)
	}
	return secret[:min(len(secret), 60)]
}

// Two hundred secrets, each in every text of a record of every source in turn: none
// is in ClickHouse, in Kafka's records as they were stored, in what was refused, in
// an answer, in the spool, in a file of the data folder or in the log.
func TestCanaries(t *testing.T) {
	t.Parallel()
	plantEverywhere(t, known(200))
}

// The same with a secret of each of gitleaks' rules, and the deep scan.
func TestDeepCanaries(t *testing.T) {
	t.Parallel()
	plants := gitleaks(t)
	if len(plants) < 200 {
		t.Errorf("only %d secrets", len(plants))
	}
	plantEverywhere(t, plants, "--collector-redact-deep-scan")
}

func plantEverywhere(t *testing.T, plants []plant, flags ...string) {
	t.Helper()
	dir, logs := t.TempDir(), &output{}
	formats := slices.Sorted(maps.Keys(parsers))
	sources := filepath.Join(dir, "sources.yaml")
	keys := map[string]string{}
	var configured strings.Builder
	configured.WriteString("sources:\n")
	for _, kind := range append(formats, native.Type, otlp.Type) {
		raw, hash := registry.NewKey()
		keys[kind] = raw
		fmt.Fprintf(&configured, "- {id: s-%s, tenant: acme, type: %q, key_sha256: %s}\n", kind, kind, hash)
	}
	if err := os.WriteFile(sources, []byte(configured.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	data := filepath.Join(dir, "data")
	startLogged(t, logs, "takes events at", append([]string{"run", "--log-level", "debug", "--data-dir", data, "--collector-sources", sources, "--collector-http", address,
		"--collector-grpc", "127.0.0.1:0", "--telemetry-address", ""}, flags...)...)
	var answers strings.Builder
	sent := 0
	for i, kind := range append(formats, native.Type, otlp.Type) {
		records := fixtures(t, kind)
		path, contentType := "/v1/push/"+kind, "application/x-ndjson"
		switch kind {
		case native.Type:
			path = "/v1/events"
		case otlp.Type:
			path, contentType = "/v1/logs", "application/json"
		}
		for n, secret := range plants {
			record := records[n%len(records)]
			planted := changed(t, record, n/len(records)+i, secret.text)
			status, answer := post(t, "http://"+address+path, keys[kind], contentType, "", string(planted))
			if status == 401 || status == 404 || status == 415 {
				t.Fatalf("%s: %d %s", kind, status, answer)
			}
			answers.WriteString(answer)
			sent++
		}
	}
	conn, err := (&app{config: &config{DataDir: data}}).conn("")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	settled(t, conn)
	var stored uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM records").Scan(&stored); err != nil || stored < 1000 {
		t.Errorf("only %d records are stored, %v", stored, err)
	}
	for _, p := range plants {
		if strings.Contains(answers.String(), p.kernel) {
			t.Errorf("an answer shows %.20s...", p.text)
		}
	}
	inFiles(t, data, plants) // first: the engine logs a question that it cannot answer
	inStore(t, conn, plants)
	for _, p := range plants {
		if strings.Contains(logs.String(), p.kernel) {
			t.Errorf("the log shows %.20s...", p.text)
		}
	}
	t.Logf("%d records of %d sources with %d secrets sent, %d records stored", sent, len(keys), len(plants), stored)
}

// fixtures are the records of a source's own tests.
func fixtures(t *testing.T, kind string) (records [][]byte) {
	t.Helper()
	switch kind {
	case native.Type:
		for _, e := range story.Events() {
			e.ID, e.Tenant, e.Salt, e.ObservedTime = "", "", "", 0
			e.Source.ID, e.Source.Type = "", ""
			records = append(records, e.Canonical())
		}
		return records
	case otlp.Type:
		return [][]byte{[]byte(`{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"gw"}}]},"scopeLogs":[{"logRecords":[{"timeUnixNano":"1764000000000000000","body":{"stringValue":"called"},
			"attributes":[{"key":"mcp.method.name","value":{"stringValue":"tools/call"}},{"key":"gen_ai.tool.name","value":{"stringValue":"read"}},{"key":"error","value":{"stringValue":"none"}},
			{"key":"gen_ai.tool.call.arguments","value":{"stringValue":"{\"a\":\"b\"}"}},{"key":"user.id","value":{"stringValue":"alice"}},{"key":"mcp.session.id","value":{"stringValue":"s"}}]}]}]}]}`)}
	}
	files, err := filepath.Glob(filepath.Join("..", "..", "collector", kind, "testdata", "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures of %s, %v", kind, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			if line = bytes.TrimSpace(line); len(line) > 0 && len(line) < 20_000 && json.Valid(line) {
				records = append(records, line)
			}
		}
	}
	return records
}

// changed puts the secret into the n-th text of the record, alone or in a sentence.
func changed(t *testing.T, record []byte, n int, secret string) []byte {
	t.Helper()
	var value any
	if err := json.Unmarshal(record, &value); err != nil {
		t.Fatal(err)
	}
	var places []func(string)
	texts(value, &places)
	if len(places) == 0 {
		return record
	}
	if n%2 == 1 {
		secret = "see " + secret + " for it"
	}
	places[(n*7)%len(places)](secret)
	out, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// texts collects the ways to set each text in v, in any order that is always the same.
func texts(v any, places *[]func(string)) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if _, ok := v[name].(string); ok {
				*places = append(*places, func(s string) { v[name] = s })
			}
			texts(v[name], places)
		}
	case []any:
		for i := range v {
			if _, ok := v[i].(string); ok {
				*places = append(*places, func(s string) { v[i] = s })
			}
			texts(v[i], places)
		}
	}
}

// settled waits until nothing more is stored.
func settled(t *testing.T, conn driver.Conn) {
	t.Helper()
	last, since := uint64(0), time.Now()
	eventually(t, time.Minute, "everything is stored", func(ctx context.Context) bool {
		var n uint64
		if err := conn.QueryRow(ctx, "SELECT count() FROM records").Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n != last {
			last, since = n, time.Now()
		}
		return n > 0 && time.Since(since) > 2*time.Second
	})
}

// inStore looks into every column of every table: a record's bytes are Kafka's.
func inStore(t *testing.T, conn driver.Conn, plants []plant) {
	t.Helper()
	for _, name := range []string{"records", "event_keys", "source_sequences", "finding_states"} {
		for part := range slices.Chunk(plants, 50) {
			var kernels []string
			for _, p := range part {
				kernels = append(kernels, "'"+strings.ReplaceAll(p.kernel, "\n", `\n`)+"'")
			}
			var n uint64
			err := conn.QueryRow(t.Context(), "SELECT count() FROM "+name+" WHERE multiSearchAny(toString(tuple(*)), ["+strings.Join(kernels, ",")+"])").Scan(&n)
			if err != nil || n != 0 {
				t.Errorf("%s: %d rows show a secret, %v", name, n, err)
			}
		}
	}
}

// inFiles looks into the files of broker, spool and engine as they are.
func inFiles(t *testing.T, dir string, plants []plant) {
	t.Helper()
	looked := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // merged away meanwhile
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		looked++
		for _, p := range plants {
			if bytes.Contains(text, []byte(p.kernel)) {
				t.Errorf("%s shows %.20s...", path, p.text)
			}
		}
		return err
	})
	if err != nil || looked < 10 {
		t.Errorf("looked at %d files, %v", looked, err)
	}
}
