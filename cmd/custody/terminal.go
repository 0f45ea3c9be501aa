package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
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
	if _, err := io.WriteString(t.to, visible(string(text[:whole]), "\n\t")); err != nil {
		return 0, err
	}
	return len(b), nil
}

// visible replaces what a terminal would obey rather than show, but for the
// characters of except.
func visible(s, except string) string {
	if strings.IndexFunc(s, func(r rune) bool { return hidden(r) && !strings.ContainsRune(except, r) }) < 0 {
		return s
	}
	var sb strings.Builder
	for _, r := range s {
		if hidden(r) && !strings.ContainsRune(except, r) {
			fmt.Fprintf(&sb, `\u%04x`, r)
		} else {
			sb.WriteRune(r)
		}
	}
	return sb.String()
}

// hidden are control characters, those that turn the direction of text around,
// and what is no UTF-8.
func hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError
}

// cells is a row of a table; what is in one cell cannot begin another.
func cells(values ...string) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = visible(v, "")
	}
	return strings.Join(out, "\t")
}
