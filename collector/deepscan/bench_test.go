package deepscan

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// cpu reports the CPU time of what b does, which others on the machine disturb less.
func cpu(b *testing.B) (stop func()) {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") }
}

func redactor(tb testing.TB) *redact.Redactor {
	tb.Helper()
	r, err := redact.New("k1", []byte(strings.Repeat("k", 32)))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// An event of the story through redaction without and with the deep scan.
func BenchmarkEvent(b *testing.B) {
	plain := redactor(b)
	for name, r := range map[string]*redact.Redactor{"forms": plain, "deep": plain.Deep(Find)} {
		b.Run(name, func(b *testing.B) {
			events := story.Events()
			var raw [][]byte
			for _, e := range events {
				raw = append(raw, e.Canonical())
			}
			if r.Event(events[0]) { // the rules are read
				b.Fatal("the story has a secret")
			}
			defer cpu(b)()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if n := i % len(events); r.Needed(events[n], raw[n]) {
					r.Event(events[n])
				}
			}
		})
	}
}

// A record of another source, as it is searched before its parser sees it.
func BenchmarkRecord(b *testing.B) {
	text, err := os.ReadFile(filepath.Join("..", "toolhive", "testdata", "slog.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	records := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	plain := redactor(b)
	for name, r := range map[string]*redact.Redactor{"forms": plain, "deep": plain.Deep(Find)} {
		b.Run(name, func(b *testing.B) {
			defer cpu(b)()
			b.SetBytes(int64(len(text) / len(records)))
			for i := 0; b.Loop(); i++ {
				r.Bytes(records[i%len(records)])
			}
		})
	}
}

// gitleaks' own detector on the same texts, each for itself and joined.
func BenchmarkDetector(b *testing.B) {
	d := oracle(b)
	events := story.Events()
	each := func(e *event.Event, visit func(string)) {
		e.EachString(func(_, s string) string { visit(s); return s })
	}
	b.Run("texts", func(b *testing.B) {
		defer cpu(b)()
		for i := 0; b.Loop(); i++ {
			each(events[i%len(events)], func(s string) { d.DetectString(s) })
		}
	})
	b.Run("joined", func(b *testing.B) {
		defer cpu(b)()
		for i := 0; b.Loop(); i++ {
			var sb strings.Builder
			each(events[i%len(events)], func(s string) { sb.WriteString(s); sb.WriteByte('\n') })
			d.DetectString(sb.String())
		}
	})
}

// Texts with every keyword there is, and of nothing but assignments: the worst that
// can be sent, here and to gitleaks' own detector.
func BenchmarkWorst(b *testing.B) {
	var words []string
	for _, r := range defaults().rules {
		words = append(words, r.Keywords...)
	}
	var assignments strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&assignments, "key=%dabcdef ", i)
	}
	d := oracle(b)
	const size = 16 << 10
	for name, text := range map[string]string{"keywords": strings.Repeat(strings.Join(words, "_")+"=", 16), "assignments": assignments.String()} {
		text = text[:size]
		b.Run(name, func(b *testing.B) {
			defer cpu(b)()
			for b.Loop() {
				Find("", text)
			}
		})
		b.Run(name+"/detector", func(b *testing.B) {
			defer cpu(b)()
			for b.Loop() {
				d.DetectString(text)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	defer cpu(b)()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := newScanner(); err != nil {
			b.Fatal(err)
		}
	}
}
