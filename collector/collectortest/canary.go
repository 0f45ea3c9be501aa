package collectortest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/deepscan/deepscantest"
	"github.com/custody-audit/custody/schemas/event"
)

// Publish keeps the bytes that would be durable.
func (k *keep) Publish(_ context.Context, events []collector.Canonical) error {
	for _, c := range events {
		k.bytes = append(k.bytes, c.Bytes...)
	}
	return nil
}

// planted are secrets of the forms that redaction knows; none was ever valid.
func planted() []string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return []string{
		part(`{"alg":"ES256","typ":"JWT"}`) + "." + part(`{"sub":"canary","exp":1790000000}`) + "." + part("a signature that is none, of canary length......."),
		"ghp_" + strings.Repeat("canary", 7),
		"AKIA" + "CANARYCANARYCANA",
		"Bearer canary-canary-canary-canary",
	}
}

// canaries puts each secret into every text of the record, one text at a time,
// alone and within a sentence, and looks for it in what would be stored.
func canaries(t *testing.T, parse collector.Parse, record []byte) {
	t.Helper()
	var value any
	if json.Unmarshal(record, &value) != nil {
		return
	}
	for n := range texts(value) {
		for _, secret := range planted() {
			for _, form := range []string{"%s", "see %s for it"} {
				changed, err := json.Marshal(replace(value, n, fmt.Sprintf(form, secret)))
				if err != nil {
					t.Fatal(err)
				}
				leaks(t, parse, source, changed, secret)
			}
		}
	}
}

// deepCanaries does so for a source with the deep scan: each text gets another secret,
// of a form that only gitleaks knows, in turn.
func deepCanaries(t *testing.T, parse collector.Parse, record []byte) {
	t.Helper()
	var value any
	if json.Unmarshal(record, &value) != nil {
		return
	}
	all := deepscantest.Canaries(t)
	for n := range texts(value) {
		c := all[int(turn.Add(1))%len(all)]
		if len(c.Kernel()) < 8 { // may stand anywhere by chance
			continue
		}
		changed, err := json.Marshal(replace(value, n, "see "+c.Text+" for it"))
		if err != nil {
			t.Fatal(err)
		}
		leaks(t, parse, deepSource, changed, c.Kernel())
	}
}

var turn atomic.Int64

func leaks(t *testing.T, parse collector.Parse, source *collector.Source, record []byte, secret string) {
	t.Helper()
	bare := strings.TrimPrefix(secret, "Bearer ")
	k := &keep{}
	result, err := collector.TakeRecords(t.Context(), gateway(t, k), source, "test", parse, [][]byte{record})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(k.bytes), bare) {
		t.Errorf("a planted secret is stored:\n%s\n%s", record, k.bytes)
	}
	if text := fmt.Sprint(result.Rejected); strings.Contains(text, bare) {
		t.Errorf("the rejection shows the secret: %s", text)
	}
}

// texts counts the strings in a JSON value, keys not counted.
func texts(v any) int {
	switch v := v.(type) {
	case string:
		return 1
	case []any:
		n := 0
		for _, x := range v {
			n += texts(x)
		}
		return n
	case map[string]any:
		n := 0
		for _, x := range v {
			n += texts(x)
		}
		return n
	}
	return 0
}

// replace returns the value with its n-th string, in the order of sorted keys, changed.
func replace(v any, n int, with string) any {
	out, _ := replaceFrom(v, n, with)
	return out
}

func replaceFrom(v any, n int, with string) (any, int) {
	switch v := v.(type) {
	case string:
		if n == 0 {
			return with, -1
		}
		return v, n - 1
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i], n = replaceFrom(x, n, with)
		}
		return out, n
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, k := range sortedKeys(v) {
			out[k], n = replaceFrom(v[k], n, with)
		}
		return out, n
	}
	return v, n
}

// Fuzz checks on any bytes that parse does not panic, is deterministic, and
// gives nothing with an error.
func Fuzz(f *testing.F, parse collector.Parse, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		events, err := parse(record)
		if err != nil && len(events) > 0 {
			t.Error("events and an error")
		}
		again, _ := parse(record)
		if canonical(events) != canonical(again) {
			t.Error("the same record gives other events the second time")
		}
		for _, e := range events {
			if _, err := event.Decode(e.Canonical()); err != nil && e.Validate() == nil {
				t.Errorf("valid and cannot be read: %v", err)
			}
		}
	})
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
