package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/custody-audit/custody/schemas/event"
)

// What others chose as a name does not reach the terminal as a command, however it
// is cut into writes; JSON stays the same JSON.
func TestTerminal(t *testing.T) {
	evil := "a\x1b[2Jb\u009b31mc\rd\x7fe\u202ef\u2066g\x00h ü 漢 😀"
	for size := 1; size <= len(evil); size++ {
		var sb strings.Builder
		w := &terminal{to: &sb}
		for rest := evil; rest != ""; {
			n := min(size, len(rest))
			if _, err := w.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if got, want := sb.String(), `a\u001b[2Jb\u009b31mc\u000dd\u007fe\u202ef\u2066g\u0000h ü 漢 😀`; got != want {
			t.Fatalf("in pieces of %d: %q, want %q", size, got, want)
		}
	}
	var sb strings.Builder
	if err := json.NewEncoder(&terminal{to: &sb}).Encode(evil); err != nil {
		t.Fatal(err)
	}
	var back string
	if err := json.Unmarshal([]byte(sb.String()), &back); err != nil || back != evil || strings.ContainsAny(sb.String(), "\x1b\x7f\r") {
		t.Errorf("JSON %s is %q, %v", sb.String(), back, err)
	}
	if got := cells("a\tb\nc", "d"); got != `a\u0009b\u000ac`+"\td" {
		t.Errorf("cells %q", got)
	}
	if got := event.Visible("\xff\xfe", ""); got != `\ufffd\ufffd` {
		t.Errorf("no UTF-8: %q", got)
	}
}
