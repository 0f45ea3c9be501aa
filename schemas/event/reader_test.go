package event_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// awkward are events in whose bytes a fast reader could go wrong.
func awkward() []*event.Event {
	escapes := story.Named("deploy-call")
	escapes.Subject.Name = "a \"quoted\" \\ back\b\t\n\f\r\x00\x01\x1f\x7f \u2028 é 😀 and then some more"
	escapes.ChainRaw = `{"sub":"planner","act":{"sub":"x\ny"}}`
	escapes.Attributes = map[string]string{"a": "", "b": strings.Repeat("é", 1000), "c\n": "7 bytes", "d": "1234567é"}
	escapes.Tool.Annotations = map[string]bool{"readOnlyHint": true, "destructiveHint": false}
	lists := story.Named("deploy-call")
	lists.Token.Scope = make([]string, event.MaxList)
	lists.Warnings = []string{""}
	lists.Chain = make([]event.Link, event.MaxChain)
	for i := range lists.Chain {
		lists.Chain[i].Sub = fmt.Sprint("agent-", i)
	}
	leap := story.Named("deploy-call")
	leap.Time, _ = event.ParseTime("2028-02-29T23:59:59.999999Z")
	leap.ID = event.NewID(leap.Tenant, leap.Source.ID, "leap", leap.Time)
	leap.Token.ExpiresAt, _ = event.ParseTime("9999-12-31T23:59:59Z")
	leap.Token.IssuedAt = 1
	big := story.Named("deploy-call")
	big.Tool.RequestBytes, big.Tool.Arguments = 1<<53, `{"a":"`+strings.Repeat("x", 60_000)+`"}`
	return []*event.Event{escapes, lists, leap, big}
}

func TestReader(t *testing.T) {
	var r event.Reader
	for _, e := range append(story.Events(), awkward()...) {
		got, ok := r.Read(e.Canonical())
		if !ok {
			t.Errorf("the fast reader does not take %s", e.Canonical())
			continue
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Errorf("read differs (-want +got):\n%s", diff)
		}
		if r.ContentHash() != e.ContentHash() {
			t.Errorf("the content hash of %s differs", e.Canonical())
		}
	}
}

func TestReaderAllocatesNothing(t *testing.T) {
	var r event.Reader
	var all [][]byte
	for _, e := range story.Events() {
		all = append(all, e.Canonical())
	}
	n := testing.AllocsPerRun(20, func() {
		for _, b := range all {
			r.Read(b)
			r.ContentHash()
		}
	})
	if n > 0 {
		t.Errorf("%v allocations for %d events", n, len(all))
	}
}

// FuzzReader holds the fast reader against the careful one: what it takes they
// read alike, and what is canonical and valid it takes.
func FuzzReader(f *testing.F) {
	for _, e := range append(story.Events(), awkward()...) {
		f.Add(e.Canonical())
	}
	var r event.Reader
	f.Fuzz(func(t *testing.T, b []byte) {
		got, fast := r.Read(b)
		e, dropped, err := event.DecodeLenient(b)
		if err == nil && len(dropped) == 0 {
			err = e.Validate()
		}
		careful := err == nil && len(dropped) == 0 && bytes.Equal(e.Canonical(), b)
		if fast && !careful {
			t.Fatalf("taken, but: %v %v\n%q", err, dropped, b)
		}
		if careful && !fast && !strings.ContainsFunc(keys(e), func(r rune) bool { return r >= 0x80 }) {
			t.Fatalf("not taken: %q", b)
		}
		if !fast {
			return
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Fatalf("read differs (-careful +fast):\n%s", diff)
		}
		if r.ContentHash() != e.ContentHash() {
			t.Fatalf("the content hash differs: %q", b)
		}
	})
}

func keys(e *event.Event) string {
	var sb strings.Builder
	for k := range e.Attributes {
		sb.WriteString(k)
	}
	for k := range e.Tool.Annotations {
		sb.WriteString(k)
	}
	return sb.String()
}

func BenchmarkRead(b *testing.B) {
	var all [][]byte
	size := 0
	for _, e := range story.Events() {
		all = append(all, e.Canonical())
		size += len(all[len(all)-1])
	}
	run := func(name string, read func([]byte)) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(size / len(all)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				read(all[i%len(all)])
			}
		})
	}
	run("careful", func(raw []byte) {
		e, _, err := event.DecodeLenient(raw)
		if err != nil || e.Validate() != nil {
			b.Fatal(err)
		}
		e.ContentHash()
	})
	var r event.Reader
	run("fast", func(raw []byte) {
		if _, ok := r.Read(raw); !ok {
			b.Fatalf("%s", raw)
		}
		r.ContentHash()
	})
}
