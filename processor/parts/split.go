package parts

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// element of a WITH: a materialized part with its name and its query, or any other
// as it is written.
type element struct{ name, text string }

var materialized = regexp.MustCompile(`(?is)^([a-z_][a-z0-9_]*)\s+AS\s+MATERIALIZED\s*\((.*)\)$`)

// split returns the elements of a leading WITH and what follows them. Without one
// that is all of the text.
func split(text string) ([]element, string, error) {
	s := scanner{text: text}
	if s.skip(); !s.word("WITH") {
		return nil, text, nil
	}
	s.at += len("WITH")
	var elements []element
	names := map[string]bool{}
	for {
		e, end, err := s.element()
		if err != nil {
			return nil, "", err
		}
		if names[e.name] && e.name != "" {
			return nil, "", fmt.Errorf("WITH names %s twice", e.name)
		}
		names[e.name] = true
		elements = append(elements, e)
		if end != ',' {
			return elements, text[s.at:], nil
		}
		s.at++
	}
}

// scanner stands somewhere in a text of SQL, never within a string or comment.
type scanner struct {
	text string
	at   int
}

// element reads up to the comma or the SELECT after it.
func (s *scanner) element() (element, byte, error) {
	s.skip()
	begin, depth := s.at, 0
	for ; s.at < len(s.text); s.at++ {
		last := s.at
		if s.skip(); s.at == len(s.text) {
			break
		}
		switch c := s.text[s.at]; {
		case strings.IndexByte("([{", c) >= 0:
			depth++
		case strings.IndexByte(")]}", c) >= 0:
			if depth--; depth < 0 {
				return element{}, 0, fmt.Errorf("byte %d: %q closes nothing", s.at, c)
			}
		case depth == 0 && (c == ',' || s.word("SELECT")):
			e, err := newElement(s.text[begin:last])
			return e, c, err
		case strings.IndexByte("'\"`", c) >= 0:
			if err := s.quoted(c); err != nil {
				return element{}, 0, err
			}
		case letter(c):
			for s.at+1 < len(s.text) && letter(s.text[s.at+1]) {
				s.at++
			}
		}
	}
	return element{}, 0, errors.New("WITH without a SELECT after it")
}

func newElement(text string) (element, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return element{}, errors.New("WITH has an empty element")
	}
	if m := materialized.FindStringSubmatch(text); m != nil {
		return element{m[1], m[2]}, nil
	}
	return element{text: text}, nil
}

// skip goes over white space and comments.
func (s *scanner) skip() {
	for s.at < len(s.text) {
		rest, end := s.text[s.at:], ""
		switch {
		case strings.IndexByte(" \t\r\n", rest[0]) >= 0:
			s.at++
			continue
		case strings.HasPrefix(rest, "--"):
			end = "\n"
		case strings.HasPrefix(rest, "/*"):
			end = "*/"
		default:
			return
		}
		if i := strings.Index(rest, end); i >= 0 {
			s.at += i + len(end)
		} else {
			s.at = len(s.text)
		}
	}
}

// quoted goes to the quote that ends a string or a name.
func (s *scanner) quoted(quote byte) error {
	begin := s.at
	for s.at++; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\\':
			s.at++
		case quote:
			return nil
		}
	}
	return fmt.Errorf("byte %d: %q without an end", begin, quote)
}

// word tells whether this keyword is next.
func (s *scanner) word(keyword string) bool {
	end := s.at + len(keyword)
	return end <= len(s.text) && strings.EqualFold(s.text[s.at:end], keyword) && (end == len(s.text) || !letter(s.text[end]))
}

func letter(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}
