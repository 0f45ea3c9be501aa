// Package collectortest is the contract that every parser keeps, as a test:
//
//   - a fixture of the source's own records becomes the events of its golden file,
//     each valid once the collector has stamped it;
//   - the same bytes give the same events, and nothing of the caller's buffer is kept;
//   - the events of one record have distinct event ids, where they have any;
//   - a record that is cut off or of another shape is an error or nothing, never a panic;
//   - a secret planted in any text of a record is in no event that leaves redaction, and
//     with the deep scan none of the forms that only gitleaks knows.
//
// A parser's test calls [Run] with the folder of its fixtures, and its fuzz test
// calls [Fuzz].
package collectortest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/deepscan"
	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/schemas/event"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Run checks parse on every *.jsonl of dir: a record on each line; the golden
// file beside it ends in .golden.
func Run(t *testing.T, parse collector.Parse, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures in %s: %v", dir, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		records := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
		t.Run(strings.TrimSuffix(filepath.Base(file), ".jsonl"), func(t *testing.T) {
			golden(t, parse, records, strings.TrimSuffix(file, ".jsonl")+".golden")
			for i, r := range records {
				t.Run(fmt.Sprintf("record %d", i+1), func(t *testing.T) { contract(t, parse, r) })
			}
		})
	}
}

// golden compares what the records become with the golden file: a line for each
// event as the source's parser made it, or the reason why a record is refused.
func golden(t *testing.T, parse collector.Parse, records [][]byte, file string) {
	t.Helper()
	var out strings.Builder
	for i, r := range records {
		events, err := parse(r)
		switch {
		case err != nil:
			fmt.Fprintf(&out, "%d refused: %v\n", i+1, err)
		case len(events) == 0:
			fmt.Fprintf(&out, "%d ignored\n", i+1)
		}
		for _, e := range events {
			fmt.Fprintf(&out, "%d %s\n", i+1, e.Canonical())
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; make it with -update", err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(out.String(), "\n")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// contract checks what holds for every record.
func contract(t *testing.T, parse collector.Parse, record []byte) {
	t.Helper()
	buffer := bytes.Clone(record)
	events, err := parse(buffer)
	before := canonical(events)
	for i := range buffer {
		buffer[i] = 'x'
	}
	if after := canonical(events); after != before {
		t.Error("the events keep parts of the caller's buffer")
	}
	again, againErr := parse(record)
	if canonical(again) != before || (err == nil) != (againErr == nil) {
		t.Error("the same record gives other events the second time")
	}
	ids := map[string]bool{}
	for _, e := range events {
		if id := e.Source.EventID; id != "" && ids[id] {
			t.Errorf("two events of the record have the id %q", id)
		}
		ids[e.Source.EventID] = true
		valid(t, e)
	}
	for cut := range len(record) {
		parse(record[:cut])
	}
	for _, shape := range []string{"null", "1", `"x"`, "[]", "{}", "[{}]", "true", "\x00"} {
		if got, err := parse([]byte(shape)); err == nil && len(got) > 0 {
			t.Errorf("%s becomes %s", shape, canonical(got))
		}
	}
	canaries(t, parse, record)
	deepCanaries(t, parse, record)
}

func canonical(events []*event.Event) string {
	var sb strings.Builder
	for _, e := range events {
		sb.Write(e.Canonical())
		sb.WriteByte('\n')
	}
	return sb.String()
}

// keep stands for Kafka.
type keep struct{ bytes []byte }

// gateway returns a collector's intake that publishes to k.
func gateway(t *testing.T, k *keep) *collector.Gateway {
	t.Helper()
	redactor, err := redact.New("", nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := collector.NewGateway(collector.GatewayConfig{Publisher: k, Redactor: redactor, DeepRedactor: redactor.Deep(deepscan.Find), Logger: slog.New(slog.DiscardHandler),
		Clock: func() time.Time { return time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

var (
	source     = &collector.Source{ID: "test-source", Tenant: "acme"}
	deepSource = &collector.Source{ID: "test-source", Tenant: "acme", DeepScan: true}
)

func valid(t *testing.T, e *event.Event) {
	t.Helper()
	if e.Tenant != "" || e.Source.ID != "" {
		t.Errorf("the parser sets tenant %q and source %q, which are the key's", e.Tenant, e.Source.ID)
	}
	rejected, err := gateway(t, &keep{}).Accept(t.Context(), source, "test", []*event.Event{clone(t, e)})
	if err != nil {
		t.Fatal(err)
	}
	if len(rejected) > 0 {
		t.Errorf("the event is not valid: %v\n%s", rejected[0].Problems, e.Canonical())
	}
}

func clone(t *testing.T, e *event.Event) *event.Event {
	t.Helper()
	var c event.Event
	if err := json.Unmarshal(e.Canonical(), &c); err != nil {
		t.Fatal(err)
	}
	return &c
}
