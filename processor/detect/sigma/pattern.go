package sigma

import (
	"encoding/base64"
	"errors"
	"regexp"
	"strings"
)

// part of a pattern: a text, or one of Sigma's wildcards.
type part struct {
	text string
	wild byte // '*', '?', or 0
}

// pattern is a value of Sigma's: texts and wildcards.
type pattern []part

// parse reads a value: a backslash takes its meaning from a wildcard or a
// backslash behind it, and is one elsewhere.
func parse(value string) pattern {
	var out pattern
	var current strings.Builder
	flush := func() {
		if current.Len() > 0 {
			out = append(out, part{text: current.String()})
			current.Reset()
		}
	}
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && i+1 < len(value) && strings.IndexByte(`\*?`, value[i+1]) >= 0:
			i++
			current.WriteByte(value[i])
		case c == '*' || c == '?':
			flush()
			out = append(out, part{wild: c})
		default:
			current.WriteByte(c)
		}
	}
	flush()
	return out
}

// plain returns the text of a pattern without wildcards.
func (p pattern) plain() (string, bool) {
	switch {
	case len(p) == 0:
		return "", true
	case len(p) == 1 && p[0].wild == 0:
		return p[0].text, true
	}
	return "", false
}

// sql is the test of a text.
func (p pattern) sql(b *binder, cased bool) func(x string) string {
	if whole, ok := p.plain(); ok {
		v := b.text(whole)
		if cased {
			return func(x string) string { return x + " = " + v }
		}
		return func(x string) string { return "lowerUTF8(" + x + ") = lowerUTF8(" + v + ")" }
	}
	flags := "(?is)"
	if cased {
		flags = "(?s)"
	}
	v := b.text(flags + "^" + p.expression() + "$")
	return func(x string) string { return "match(" + x + ", " + v + ")" }
}

func (p pattern) expression() string {
	var sb strings.Builder
	for _, part := range p {
		switch part.wild {
		case '*':
			sb.WriteString(".*")
		case '?':
			sb.WriteByte('.')
		default:
			sb.WriteString(regexp.QuoteMeta(part.text))
		}
	}
	return sb.String()
}

// around puts wildcards before and behind.
func (p pattern) around(before, behind bool) pattern {
	if before {
		p = append(pattern{{wild: '*'}}, p...)
	}
	if behind {
		p = append(p, part{wild: '*'})
	}
	return p
}

var errWildBase64 = errors.New("a wildcard cannot be written in Base64: escape it as \\* or \\?")

// encoded is the pattern's text in Base64.
func (p pattern) encoded() (pattern, error) {
	whole, ok := p.plain()
	if !ok {
		return nil, errWildBase64
	}
	return pattern{{text: base64.StdEncoding.EncodeToString([]byte(whole))}}, nil
}

// offsets are the three forms that a text has inside of a longer one in Base64,
// without the characters that depend on what stands around it.
func (p pattern) offsets() ([]pattern, error) {
	whole, ok := p.plain()
	if !ok {
		return nil, errWildBase64
	}
	if len(whole) < 2 {
		return nil, errors.New("base64offset: want two characters or more: one leaves no trace of its own")
	}
	begin, end := []int{0, 2, 3}, []int{0, 3, 2} // characters: those of the shift, and of what is not full
	var out []pattern
	for shift := range 3 {
		form := base64.StdEncoding.EncodeToString(append(make([]byte, shift), whole...))
		form = form[begin[shift] : len(form)-end[(len(whole)+shift)%3]]
		out = append(out, pattern{{text: form}})
	}
	return out, nil
}
