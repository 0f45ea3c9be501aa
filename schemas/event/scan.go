package event

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads JSON text (RFC 8259) under the restrictions of I-JSON (RFC
// 7493): UTF-8 only, no lone surrogates. It keeps no copy of what it skips and
// allocates only for strings that are kept. Integers only: the event has no
// fractions.
type scanner struct {
	b     []byte
	i     int
	depth int
}

// MaxDepth is how deep JSON may nest, in an event and in what a source sends.
const MaxDepth = 64

// syntaxError ends the reading: nothing after it can be trusted.
type syntaxError struct {
	at  int
	msg string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("not JSON at byte %d: %s", e.at, e.msg) }

func (s *scanner) fail(format string, args ...any) error {
	return &syntaxError{s.i, fmt.Sprintf(format, args...)}
}

// peek skips white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) want(c byte) error {
	if got := s.peek(); got != c || s.i >= len(s.b) {
		if s.i >= len(s.b) {
			return s.fail("unexpected end, want %q", c)
		}
		return s.fail("unexpected %q, want %q", got, c)
	}
	s.i++
	return nil
}

func (s *scanner) enter() error {
	if s.depth++; s.depth > MaxDepth {
		return s.fail("nested deeper than %d", MaxDepth)
	}
	return nil
}

// each calls member for every element between open and close; for objects, key
// is set and member must read the value.
func (s *scanner) object(member func(key string) error) error {
	if err := s.want('{'); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	if s.peek() == '}' {
		s.i++
		return nil
	}
	for {
		if c := s.peek(); c != '"' {
			return s.fail("want a member name in quotes")
		}
		key, err := s.str()
		if err != nil {
			return err
		}
		if err := s.want(':'); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.i++
		case '}':
			s.i++
			return nil
		default:
			return s.fail("want ',' or '}'")
		}
	}
}

func (s *scanner) array(element func(i int) error) error {
	if err := s.want('['); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	if s.peek() == ']' {
		s.i++
		return nil
	}
	for n := 0; ; n++ {
		if err := element(n); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.i++
		case ']':
			s.i++
			return nil
		default:
			return s.fail("want ',' or ']'")
		}
	}
}

// str reads a string at the cursor.
func (s *scanner) str() (string, error) {
	s.i++ // the quote
	start := s.i
	for s.i < len(s.b) {
		c := s.b[s.i]
		switch {
		case c == '"':
			out := string(s.b[start:s.i])
			s.i++
			return out, nil
		case c == '\\':
			return s.escaped(start)
		case c < 0x20:
			return "", s.fail("control character 0x%02x in a string", c)
		case c < utf8.RuneSelf:
			s.i++
		default:
			if err := s.rune(); err != nil {
				return "", err
			}
		}
	}
	return "", s.fail("string without end")
}

func (s *scanner) rune() error {
	r, n := utf8.DecodeRune(s.b[s.i:])
	if r == utf8.RuneError && n <= 1 {
		return s.fail("not UTF-8")
	}
	s.i += n
	return nil
}

// escaped reads on from the first backslash of a string that began at start.
func (s *scanner) escaped(start int) (string, error) {
	out := append([]byte(nil), s.b[start:s.i]...)
	for s.i < len(s.b) {
		c := s.b[s.i]
		switch {
		case c == '"':
			s.i++
			return string(out), nil
		case c < 0x20:
			return "", s.fail("control character 0x%02x in a string", c)
		case c == '\\':
			var err error
			if out, err = s.escape(out); err != nil {
				return "", err
			}
		case c < utf8.RuneSelf:
			out = append(out, c)
			s.i++
		default:
			from := s.i
			if err := s.rune(); err != nil {
				return "", err
			}
			out = append(out, s.b[from:s.i]...)
		}
	}
	return "", s.fail("string without end")
}

func (s *scanner) escape(out []byte) ([]byte, error) {
	if s.i+1 >= len(s.b) {
		return nil, s.fail("string without end")
	}
	c := s.b[s.i+1]
	if c != 'u' {
		v, ok := escapes[c]
		if !ok {
			return nil, s.fail("unknown escape \\%c", c)
		}
		s.i += 2
		return append(out, v), nil
	}
	r, err := s.hex4()
	if err != nil {
		return nil, err
	}
	if utf16.IsSurrogate(r) {
		if s.i+1 >= len(s.b) || s.b[s.i] != '\\' || s.b[s.i+1] != 'u' {
			return nil, s.fail("lone surrogate")
		}
		low, err := s.hex4()
		if err != nil {
			return nil, err
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			return nil, s.fail("lone surrogate")
		}
	}
	return utf8.AppendRune(out, r), nil
}

var escapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

func (s *scanner) hex4() (rune, error) {
	if s.i+6 > len(s.b) {
		return 0, s.fail("short \\u escape")
	}
	v, err := strconv.ParseUint(string(s.b[s.i+2:s.i+6]), 16, 16)
	if err != nil {
		return 0, s.fail("bad \\u escape")
	}
	s.i += 6
	return rune(v), nil
}

// number returns the text of a number.
func (s *scanner) number() (string, error) {
	start := s.i
	digits := func() bool {
		from := s.i
		for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
			s.i++
		}
		return s.i > from
	}
	if s.i < len(s.b) && s.b[s.i] == '-' {
		s.i++
	}
	if s.i < len(s.b) && s.b[s.i] == '0' {
		s.i++
	} else if !digits() {
		return "", s.fail("want a value")
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if !digits() {
			return "", s.fail("digits missing after the point")
		}
	}
	if s.i < len(s.b) && (s.b[s.i] == 'e' || s.b[s.i] == 'E') {
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		if !digits() {
			return "", s.fail("digits missing in the exponent")
		}
	}
	return string(s.b[start:s.i]), nil
}

func (s *scanner) literal(word string) bool {
	if s.i+len(word) <= len(s.b) && string(s.b[s.i:s.i+len(word)]) == word {
		s.i += len(word)
		return true
	}
	return false
}

// skip reads over any value and names its type.
func (s *scanner) skip() (string, error) {
	switch c := s.peek(); {
	case c == '{':
		return "an object", s.object(func(string) error { _, err := s.skip(); return err })
	case c == '[':
		return "an array", s.array(func(int) error { _, err := s.skip(); return err })
	case c == '"':
		_, err := s.str()
		return "a string", err
	case c == 't' && s.literal("true"), c == 'f' && s.literal("false"):
		return "a boolean", nil
	case c == 'n' && s.literal("null"):
		return "null", nil
	case c == 0 && s.i >= len(s.b):
		return "", s.fail("unexpected end")
	default:
		_, err := s.number()
		return "a number", err
	}
}
