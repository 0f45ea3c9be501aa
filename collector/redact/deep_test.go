package redact

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/schemas/event"
)

// words is a Finder of words in capitals; NAMED is a secret only where the name is "pin".
func words(name, text string) (found []Secret) {
	for _, word := range []string{"LONGSECRET", "SECRET", "NAMED", "\"OVER\""} {
		if strings.Contains(text, word) && (word != "NAMED" || name == "pin") {
			found = append(found, Secret{"the " + strings.ToLower(strings.Trim(word, `"`)) + " rule", word})
		}
	}
	return found
}

func ref(secret string) string { return event.SecretRef("k1", []byte(strings.Repeat("k", 32)), secret) }

func TestDeepText(t *testing.T) {
	r := redactor(t).Deep(words)
	stay := event.TokenRef("x")[:10] + "SECRET" + event.TokenRef("x")[16:] // base64url may look like anything
	for in, want := range map[string]string{
		"":                    "",
		"a SECRET here":       "a " + ref("SECRET") + " here",
		"SECRET LONGSECRET":   ref("SECRET") + " " + ref("LONGSECRET"),
		stay:                  stay,
		"a " + stay + " b":    "a " + stay + " b",
		"SECRET " + stay:      ref("SECRET") + " " + stay,
		"token " + token:      "token " + event.TokenRef(token),
		"hmac:k1:SECRET NAME": "hmac:k1:" + ref("SECRET") + " NAME",
	} {
		got, _ := r.Text(in)
		if got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
		if again, found := r.Text(got); again != got || found != nil {
			t.Errorf("%q became %q", got, again)
		}
	}
	if _, found := r.Text("SECRET LONGSECRET SECRET"); len(found) != 2 {
		t.Errorf("found %q", found)
	}
	if got, _ := redactor(t).Text("a SECRET here"); got != "a SECRET here" {
		t.Errorf("without the finder: %q", got)
	}
}

// The texts of a record are looked at one by one, with the names of their members.
func TestDeepRecord(t *testing.T) {
	r := redactor(t).Deep(words)
	quoted := func(secret string) string { return `"` + ref(secret) + `"` }
	for in, want := range map[string]string{
		`{"a":"x"}`:                                `{"a":"x"}`,
		`{"a": "SECRET" , "b":1}`:                  `{"a": ` + quoted("SECRET") + ` , "b":1}`,
		`[{"pin" : "NAMED"},{"pan":"NAMED"}]`:      `[{"pin" : ` + quoted("NAMED") + `},{"pan":"NAMED"}]`,
		`{"pin":["NAMED","x"],"o":"NAMED"}`:        `{"pin":[` + quoted("NAMED") + `,"x"],"o":"NAMED"}`,
		`{"SECRET":"x"}`:                           `{` + quoted("SECRET") + `:"x"}`,
		`{"a":"\u0053ECRET\n"}`:                    `{"a":"` + ref("SECRET") + `\n"}`,
		`{"a":"say \"OVER\" now"}`:                 `{"a":"say ` + ref(`"OVER"`) + ` now"}`,
		`{"a":"SECR","b":"ET"}`:                    `{"a":"SECR","b":"ET"}`,
		` ["SECRET`:                                ` ["SECRET`, // none of JSON, and no parser's
		`{"a":"x\`:                                 `{"a":"x\`,
		`{"a":"\ud800SECRET","b":"\q SECRET"}`:     `{"a":"` + "\ufffd" + ref("SECRET") + `","b":"\q SECRET"}`,
		"\"a\\v\\\"OVER\\\"\" is no number":        `"a\u000b` + ref(`"OVER"`) + `" is no number`,
		`not a record, and a SECRET`:               `not a record, and a ` + ref("SECRET"),
		`{"a":"` + event.TokenRef("SECRET") + `"}`: `{"a":"` + event.TokenRef("SECRET") + `"}`,
	} {
		clean, found := r.Bytes([]byte(in))
		if diff := cmp.Diff(want, string(clean)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in, diff)
		}
		if (in == want) != (len(found) == 0) {
			t.Errorf("%s: found %q", in, found)
		}
	}
}

func TestDeepEvent(t *testing.T) {
	r := redactor(t).Deep(words)
	e := &event.Event{Decision: event.Decision{Reason: "NAMED"}, Attributes: map[string]string{"pin": "NAMED", "pan": "NAMED"}, Tool: event.Tool{Arguments: `{"a":"OVER"}`}}
	if !r.Event(e) {
		t.Error("nothing changed")
	}
	if e.Decision.Reason != "NAMED" || e.Attributes["pan"] != "NAMED" || e.Attributes["pin"] != ref("NAMED") || e.Tool.Arguments != `"[redacted]"` {
		t.Errorf("got %s", e.Canonical())
	}
	want := []string{"secret replaced: the named rule in attributes.pin", "secret replaced: the over rule in tool.arguments"}
	if diff := cmp.Diff(want, e.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if r.Event(&event.Event{UserAgent: "x"}) {
		t.Error("a clean event is changed")
	}
}

// A record stays a record, and a message a message, whatever is in them.
func FuzzRecord(f *testing.F) {
	for _, s := range []string{`{"pin":"NAMED","a":["SECRET",1,"\"OVER\""]}`, `[`, `"a\`, `{"a":"\ud800"}`, `is "a\x00SECRET"`, `{"SECRET":{"pin":"x"}}`} {
		f.Add([]byte(s))
	}
	plain, err := New("", nil)
	if err != nil {
		f.Fatal(err)
	}
	r := plain.Deep(words)
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		clean, found := r.Bytes(b)
		if !bytes.Equal(b, before) || (len(found) == 0) != bytes.Equal(clean, before) {
			t.Errorf("%q became %q, found %q", before, clean, found)
		}
		var value any
		known, _ := plain.Bytes(before)
		if json.Unmarshal(known, &value) == nil && json.Unmarshal(clean, &value) != nil && bytes.HasPrefix(bytes.TrimSpace(known), []byte("{")) {
			t.Errorf("%q became %q, which is not JSON", before, clean)
		}
		if again, _ := r.Bytes(clean); !bytes.Equal(again, clean) {
			t.Errorf("%q became %q and then %q", before, clean, again)
		}
	})
}
