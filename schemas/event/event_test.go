package event_test

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gowebpki/jcs"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

func TestStoryRoundTrip(t *testing.T) {
	for _, e := range story.Events() {
		b := e.Canonical()
		got, err := event.Decode(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Errorf("decoded differs (-want +got):\n%s", diff)
		}
		if !bytes.Equal(got.Canonical(), b) {
			t.Errorf("encoded again differs:\n%s\n%s", b, got.Canonical())
		}
	}
}

// The oracle is another implementation of RFC 8785.
func TestCanonicalAgreesWithJCS(t *testing.T) {
	awkward := story.Named("deploy-call")
	awkward.Attributes = map[string]string{
		"\u20ac": "Euro Sign", "\r": "Carriage Return", "\U0001f600": "Emoji", "\ufb33": "Hebrew Dalet", "1": "One", "\u0080": "Control\u007f\u2028",
		"ö": "<script>&\"\\/\b\f\n\t\x01",
	}
	for _, e := range append(story.Events(), awkward) {
		want, err := jcs.Transform(e.Canonical())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, e.Canonical()) {
			t.Errorf("got  %s\nwant %s", e.Canonical(), want)
		}
	}
}

func TestSchemaAcceptsTheStory(t *testing.T) {
	schema := compileSchema(t)
	for _, e := range story.Events() {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.Canonical()))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v", e.Canonical(), err)
		}
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	f, err := os.Open("event.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("event.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("event.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDecodeReportsEveryProblem(t *testing.T) {
	check := func(in string, want ...string) {
		t.Helper()
		_, err := event.Decode([]byte(in))
		var got []string
		if p, ok := err.(event.Problems); ok {
			for _, q := range p {
				got = append(got, q.Field+": "+q.Reason)
			}
		} else if err != nil {
			t.Fatalf("%s: error %T is not Problems", in, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%.80s (-want +got):\n%s", in, diff)
		}
	}
	check(`{}`)
	check(`{"id":null,"chain":null,"source":null}`)
	check(`{"id":1,"time":"yesterday","source":{"id":[]},"chain":[{"sub":true}],"tool":{"duration_ms":1.5}}`,
		"id: want a string, got a number",
		`time: "yesterday" is not an RFC 3339 time`,
		"source.id: want a string, got an array",
		"chain[0].sub: want a string, got a boolean",
		"tool.duration_ms: want an integer within +-2^53, got 1.5")
	check(`{"Tenant":"a","token":{"refs":"x"}}`, `Tenant: unknown field, did you mean "tenant"?`, "token.refs: unknown field")
	check(`{"tenant":"a","tenant":"b"}`, "tenant: given twice")
	check(`{"attributes":{"a":"1","a":"2","b":3}}`, "attributes.a: given twice", "attributes.b: want a string, got a number")
	check(`{"tool":{"annotations":{"readOnlyHint":"yes"}}}`, "tool.annotations.readOnlyHint: want a boolean, got a string")
	check(`{"time":"1969-12-31T23:59:59Z"}`, "time: year 1969 is outside 1970-9999")
	check(`[]`, ": want a JSON object, got an array")
	check(`{"id":"a"`, ": not JSON at byte 9: want ',' or '}'")
	check(`{"id":"a"} x`, ": not JSON at byte 11: text after the event")
	check("{\"id\":\"\xff\"}", ": not JSON at byte 7: not UTF-8")
	check(`{"id":"\ud800"}`, ": not JSON at byte 13: lone surrogate")
	check("", ": not JSON at byte 0: unexpected end")
	check(`{"attributes":`+strings.Repeat(`{"a":`, 100)+`1`+strings.Repeat(`}`, 101), ": not JSON at byte 330: nested deeper than 64")
	check(`{"user_agent":"`+strings.Repeat("a", event.MaxBytes)+`"}`, ": event is larger than 262144 bytes (262161)")
}

func TestDecodeLenientKeepsTheRest(t *testing.T) {
	e, dropped, err := event.DecodeLenient([]byte(`{"tenant":"acme","future":{"x":[1]},"id":7,"chain":[{"sub":"a","depth":1}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if e.Tenant != "acme" || len(e.Chain) != 1 || e.Chain[0].Sub != "a" {
		t.Errorf("got %+v", e)
	}
	if len(dropped) != 3 {
		t.Errorf("dropped: %v", dropped)
	}
	if _, _, err := event.DecodeLenient([]byte("nonsense")); err == nil {
		t.Error("text that is no JSON is accepted")
	}
}

// Each case breaks one thing of a valid event.
func TestValidate(t *testing.T) {
	check := func(breakIt func(*event.Event), want ...string) {
		t.Helper()
		e := story.Named("deploy-call")
		if breakIt != nil {
			breakIt(e)
		}
		var got []string
		if err := e.Validate(); err != nil {
			for _, p := range err.(event.Problems) {
				got = append(got, p.Field)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("fields at fault (-want +got):\n%s", diff)
		}
	}
	token := "ey" + strings.Repeat("J", 200)
	check(nil)
	check(func(e *event.Event) { *e = event.Event{} },
		"id", "schema_version", "kind", "time", "tenant", "source.id", "source.type", "outcome")
	check(func(e *event.Event) { e.ID = "x" }, "id")
	check(func(e *event.Event) { e.ID = strings.ToUpper(e.ID) }, "id")
	check(func(e *event.Event) { e.Time += 1_000_000 }, "id")
	check(func(e *event.Event) { e.Kind = "call" }, "kind")
	check(func(e *event.Event) { e.Tenant = "Acme/../x" }, "tenant")
	check(func(e *event.Event) { e.Outcome = "ok" }, "outcome")
	check(func(e *event.Event) { e.Token.Ref = token }, "token.ref")
	check(func(e *event.Event) { e.Token.Verified = "yes" }, "token.verified")
	check(func(e *event.Event) { e.Token.Verified = "failed:" }, "token.verified")
	check(func(e *event.Event) { e.Token.ExpiresAt = e.Token.IssuedAt - 1 }, "token.expires_at")
	check(func(e *event.Event) { e.Subject.Type = "robot" }, "subject.type")
	check(func(e *event.Event) { e.Chain = append(e.Chain, event.Link{}) }, "chain["+string(rune('0'+len(story.Named("deploy-call").Chain)))+"]")
	check(func(e *event.Event) { e.Chain = make([]event.Link, 65) }, append([]string{"chain"}, emptyLinks(31)...)...)
	check(func(e *event.Event) { e.ChainRaw = "{" }, "chain_raw")
	check(func(e *event.Event) { e.UserAgent = strings.Repeat("a", event.MaxString+1) }, "user_agent")
	check(func(e *event.Event) { e.UserAgent = "\xff" }, "user_agent")
	check(func(e *event.Event) { e.Tool.DurationMS = -1 }, "tool.duration_ms")
	check(func(e *event.Event) { e.Tool.Name, e.Tool.ServerMethod = "", "" }, "tool.name")
	check(func(e *event.Event) { e.Tool.Arguments = "{a}" }, "tool.arguments")
	check(func(e *event.Event) { e.Tool.ArgumentsHash = "md5:x" }, "tool.arguments_hash")
	check(func(e *event.Event) { e.Correlation.TraceID = "xyz" }, "correlation.trace_id")
	check(func(e *event.Event) { e.Attributes = map[string]string{"": "x"} }, "attributes")
	check(func(e *event.Event) { e.Kind = event.PermissionDecision }, "decision.effect")
	check(func(e *event.Event) { e.Kind, e.Token.Ref = event.Credential, "" }, "token.ref")
	check(func(e *event.Event) { e.Warnings = make([]string, event.MaxList+1) }, "warnings")

	e := story.Named("deploy-call")
	e.Token.Ref = token
	if err := e.Validate(); strings.Contains(err.Error(), token) {
		t.Error("the problem repeats the token")
	}
}

func emptyLinks(n int) []string {
	var out []string
	for i := range n {
		out = append(out, "chain["+strings.TrimSpace(string(json.RawMessage(mustJSON(i))))+"]")
	}
	return out
}

func mustJSON(v any) []byte { b, _ := json.Marshal(v); return b }

func TestSizeOfTheWhole(t *testing.T) {
	e := story.Named("deploy-call")
	for range event.MaxList {
		e.Warnings = append(e.Warnings, strings.Repeat("w", event.MaxString))
	}
	e.Warnings = e.Warnings[:event.MaxList]
	if err := e.Validate(); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v", err)
	}
}

func TestID(t *testing.T) {
	at := event.TimeOf(time.Date(2026, 10, 5, 9, 0, 0, 123456789, time.UTC))
	a, b := event.NewID("acme", "s", "1", at), event.NewID("acme", "s", "1", at)
	if a != b {
		t.Errorf("derived ids differ: %s, %s", a, b)
	}
	for _, other := range []string{event.NewID("globex", "s", "1", at), event.NewID("acme", "t", "1", at), event.NewID("acme", "s", "2", at), event.NewID("acme", "s1", "", at), event.NewID("acmes", "", "1", at)} {
		if other == a {
			t.Errorf("%s is the id of two events", a)
		}
	}
	if x, y := event.NewID("acme", "s", "", at), event.NewID("acme", "s", "", at); x == y {
		t.Error("random ids are equal")
	}
	got, err := event.IDTime(a)
	if err != nil || got != at/1000*1000 {
		t.Errorf("time of %s: %v, %v; want %v", a, got, err, at)
	}
}

// Values computed with openssl, so that another implementation can check them.
func TestReferences(t *testing.T) {
	if got, want := event.TokenRef("abc"), "sha256:ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := event.SecretRef("k1", []byte("key"), "The quick brown fox jumps over the lazy dog"), "hmac:k1:97yD9DBThCSxMpjmqm-xQ-9NWaFJRhdZl0edvC0aPNg"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestContentHashIgnoresWhatTheCollectorAdds(t *testing.T) {
	a, b := story.Named("deploy-call"), story.Named("deploy-call")
	b.ObservedTime, b.Salt, b.Warnings = b.ObservedTime+1, event.NewSalt(), []string{"late"}
	if a.ContentHash() != b.ContentHash() {
		t.Error("a re-delivery has another hash")
	}
	b.Outcome = event.Denied
	if a.ContentHash() == b.ContentHash() {
		t.Error("another content has the same hash")
	}
}

func TestEachStringSeesEveryText(t *testing.T) {
	for _, e := range story.Events() {
		e.Attributes = map[string]string{"k": "v"}
		e.EachString(func(path, s string) string { return "X" })
		var walk func(v any)
		walk = func(v any) {
			switch v := v.(type) {
			case map[string]any:
				for _, x := range v {
					walk(x)
				}
			case []any:
				for _, x := range v {
					walk(x)
				}
			case string:
				if v != "X" && !strings.HasSuffix(v, "Z") { // times are no text
					t.Errorf("%q was not visited", v)
				}
			}
		}
		var v any
		if err := json.Unmarshal(e.Canonical(), &v); err != nil {
			t.Fatal(err)
		}
		walk(v)
	}
}

func FuzzDecode(f *testing.F) {
	for _, e := range story.Events() {
		f.Add(e.Canonical())
	}
	f.Add([]byte(`{"attributes":{"\u20ac":"\ud83d\ude00"},"tool":{"duration_ms":-0}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, dropped, err := event.DecodeLenient(b)
		if err != nil {
			return
		}
		if !json.Valid(b) {
			t.Fatalf("accepted what is no JSON: %q", b)
		}
		canonical := e.Canonical()
		again, err := event.Decode(canonical)
		if err != nil && len(canonical) <= event.MaxBytes {
			t.Fatalf("canonical bytes are refused: %v: %s", err, canonical)
		}
		if err == nil && !bytes.Equal(again.Canonical(), canonical) {
			t.Fatalf("not stable:\n%s\n%s", canonical, again.Canonical())
		}
		if len(dropped) == 0 {
			strict, err := event.Decode(b)
			if err != nil || !bytes.Equal(strict.Canonical(), canonical) {
				t.Fatalf("strict and lenient differ: %v", err)
			}
		}
		if want, err := jcs.Transform(canonical); err == nil && !bytes.Equal(want, canonical) {
			t.Fatalf("not canonical:\n%s\n%s", canonical, want)
		}
		_ = e.Validate()
	})
}

func BenchmarkDecode(b *testing.B) {
	raw := story.Named("deploy-call").Canonical()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := event.Decode(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCanonical(b *testing.B) {
	e := story.Named("deploy-call")
	buf := e.Canonical()
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		buf = e.AppendCanonical(buf[:0])
	}
}

// ParseID takes what the form of an id takes, and reads it as everybody does.
func TestParseID(t *testing.T) {
	for _, id := range []string{"01983b7e-0000-7000-8000-0123456789ab", "ffffffff-ffff-ffff-ffff-ffffffffffff", "00000000-0000-0000-0000-000000000000"} {
		if u, ok := event.ParseID(id); !ok || u.String() != id {
			t.Errorf("%s reads as %s, %v", id, u, ok)
		}
		for i := range id {
			for _, c := range []byte("-Ag/:`@ \x00\xff") {
				other := []byte(id)
				other[i] = c
				_, ok := event.ParseID(string(other))
				if want := regexp.MustCompile(event.Patterns()["id"]).Match(other); ok != want {
					t.Fatalf("%q: %v, want %v", other, ok, want)
				}
			}
		}
	}
	for _, id := range []string{"", "01983b7e-0000-7000-8000-0123456789a", "01983b7e-0000-7000-8000-0123456789abc", "01983b7e000070008000-0123456789ab0000"} {
		if _, ok := event.ParseID(id); ok {
			t.Errorf("%q is an id", id)
		}
	}
}
