package event

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Visible replaces the characters of a text that are obeyed rather than shown, but
// for those of except, by \u and four digits, as JSON has them, so that JSON stays the
// same JSON. What events say was chosen by others.
func Visible(s, except string) string {
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
