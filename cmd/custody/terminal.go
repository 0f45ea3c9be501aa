package main

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/custody-audit/custody/schemas/event"
)

// terminal is a writer to people's terminals. What events say was chosen by
// others, and a terminal obeys control characters: they are written as \u and
// four digits, as JSON has them, so that JSON stays the same JSON.
type terminal struct {
	to   io.Writer
	rest []byte // a character that is not complete yet
}

// Write implements [io.Writer].
func (t *terminal) Write(b []byte) (int, error) {
	text := append(t.rest, b...)
	whole := len(text)
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if last := text[len(text)-i:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				whole -= i
			}
			break
		}
	}
	t.rest = append([]byte(nil), text[whole:]...)
	if _, err := io.WriteString(t.to, event.Visible(string(text[:whole]), "\n\t")); err != nil {
		return 0, err
	}
	return len(b), nil
}

// cells is a row of a table; what is in one cell cannot begin another.
func cells(values ...string) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = event.Visible(v, "")
	}
	return strings.Join(out, "\t")
}

// onTerminal tells whether somebody looks at what is written to a file.
func onTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
