package otlp

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/custody-audit/custody/schemas/event"
)

// seed adds the requests of testdata as protobuf.
func seed(f *testing.F, s *signal) {
	files, err := filepath.Glob("testdata/*." + s.name + ".json")
	if err != nil || len(files) == 0 {
		f.Fatal("no requests in testdata", err)
	}
	for _, file := range files {
		request := s.request()
		if err := text.decode(read(f, file), request); err != nil {
			f.Fatal(err)
		}
		b, err := proto.Marshal(request)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

// check parses a request twice and wants, whatever it is: every record accounted
// for, an event or a reason for each item, the same both times, and events that
// survive their own encoding.
func check(t *testing.T, s *signal, b []byte) {
	request := s.request()
	if proto.Unmarshal(b, request) != nil {
		return
	}
	batch, again := s.parse(request), s.parse(request)
	if batch.Records != batch.Ignored+len(batch.Items) || len(batch.Index) != len(batch.Items) {
		t.Fatalf("%d records, %d ignored, %d items, %d indexes", batch.Records, batch.Ignored, len(batch.Items), len(batch.Index))
	}
	for i, item := range batch.Items {
		if len(item.Events) == 0 {
			if len(item.Problems) == 0 {
				t.Fatalf("item %d is neither an event nor refused", i)
			}
			continue
		}
		if diff := cmp.Diff(string(item.Events[0].Canonical()), string(again.Items[i].Events[0].Canonical())); diff != "" {
			t.Fatalf("item %d differs the second time:\n%s", i, diff)
		}
		stamp(item.Events[0], gateway, Type)
		if item.Events[0].Validate() != nil {
			continue
		}
		if _, err := event.Decode(item.Events[0].Canonical()); err != nil {
			t.Fatalf("item %d is valid and cannot be read: %v", i, err)
		}
	}
}

func FuzzParseLogs(f *testing.F) {
	seed(f, logs)
	f.Fuzz(func(t *testing.T, b []byte) { check(t, logs, b) })
}

func FuzzParseTraces(f *testing.F) {
	seed(f, traces)
	f.Fuzz(func(t *testing.T, b []byte) { check(t, traces, b) })
}

// FuzzIDsToBase64 wants that what was JSON stays JSON with the same values but
// for the ids, and that what was none does not become it.
func FuzzIDsToBase64(f *testing.F) {
	for _, seed := range []string{
		`{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId" : "00f067aa0ba902b7"}`, `{"a":"\"traceId\":\"00\""}`, `{"traceId":7}`, `["traceId","00"]`, `{"traceId":"zz"}`, `"`, `{"traceId":`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		out := idsToBase64(b)
		if json.Valid(b) != json.Valid(out) {
			t.Fatalf("%q became %q", b, out)
		}
		var before, after any
		if json.Unmarshal(b, &before) != nil || json.Unmarshal(out, &after) != nil {
			return
		}
		if diff := cmp.Diff(blank(before), blank(after)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// blank empties the ids.
func blank(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = blank(v[i])
		}
	case map[string]any:
		for k := range v {
			if _, id := v[k].(string); id && isID([]byte(k)) {
				v[k] = ""
				continue
			}
			v[k] = blank(v[k])
		}
	}
	return v
}
