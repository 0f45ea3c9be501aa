package enrich

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/custody-audit/custody/schemas/event"
)

// Problem is one mistake in a registry file.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"` // from 1; 0: the whole file
	Field  string `json:"field,omitempty"`
	Reason string `json:"reason"`
}

// String is as compilers say it: "acme.yaml:12: tenants.acme.tools[3].scopes: ...".
func (p Problem) String() string {
	s := p.File
	if p.Line > 0 {
		s += ":" + strconv.Itoa(p.Line)
	}
	if p.Field != "" {
		s += ": " + p.Field
	}
	return s + ": " + p.Reason
}

// Problems are all mistakes of a registry, in the order of files and lines.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// err is nil when there are none.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b Problem) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) })
	return p
}

// place is where something stands in a file.
type place struct {
	file  string
	line  int
	field string
}

// document reads the values of one file and notes what is wrong with them; what
// is wrong reads as zero.
type document struct {
	file     string
	problems *Problems
}

func (d *document) at(n *yaml.Node, field string) place { return place{d.file, n.Line, field} }

func (d *document) wrong(n *yaml.Node, field, format string, args ...any) {
	d.problems.add(d.at(n, field), format, args...)
}

// maxProblems of one reading are kept; a file that is none of ours would have one per line.
const maxProblems = 1000

func (p *Problems) add(at place, format string, args ...any) {
	if len(*p) >= maxProblems {
		return
	}
	*p = append(*p, Problem{at.file, at.line, at.field, fmt.Sprintf(format, args...)})
}

// absent is null, or nothing behind a key.
func absent(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// mapping gives each key with its value and its path to read, which returns
// false for a key that it does not know.
func (d *document) mapping(n *yaml.Node, field string, read func(key string, v *yaml.Node, at string) bool) {
	n = resolve(n)
	if absent(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.wrong(n, field, "want a mapping")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], resolve(n.Content[i+1])
		at := k.Value
		if field != "" {
			at = field + "." + at
		}
		if seen[k.Value] {
			d.wrong(k, at, "is given twice")
			continue
		}
		seen[k.Value] = true
		if absent(v) {
			continue
		}
		if !read(k.Value, v, at) {
			d.wrong(k, at, "unknown field")
		}
	}
}

func (d *document) list(n *yaml.Node, field string, read func(v *yaml.Node, at string)) {
	if n.Kind != yaml.SequenceNode {
		d.wrong(n, field, "want a list")
		return
	}
	for i, v := range n.Content {
		read(resolve(v), field+"["+strconv.Itoa(i)+"]")
	}
}

// text reads a string. Numbers and the like are taken as they are written: a
// name may look like one.
func (d *document) text(n *yaml.Node, field string) string {
	if n.Kind != yaml.ScalarNode || absent(n) {
		d.wrong(n, field, "want a text")
		return ""
	}
	s := n.Value
	switch {
	case len(s) > event.MaxString:
		d.wrong(n, field, "is %d bytes, at most %d", len(s), event.MaxString)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		d.wrong(n, field, "holds control characters")
	case strings.TrimSpace(s) == "":
		d.wrong(n, field, "is empty")
	default:
		return s
	}
	return ""
}

func (d *document) texts(n *yaml.Node, field string) (out []string) {
	d.list(n, field, func(v *yaml.Node, at string) {
		s := d.text(v, at)
		if slices.Contains(out, s) && s != "" {
			d.wrong(v, at, "%q is given twice", s)
			return
		}
		out = append(out, s)
	})
	if len(out) > event.MaxList {
		d.wrong(n, field, "has %d entries, at most %d", len(out), event.MaxList)
	}
	return out
}

func (d *document) boolean(n *yaml.Node, field string) (b bool) {
	if n.Tag != "!!bool" || n.Decode(&b) != nil {
		d.wrong(n, field, "want true or false")
	}
	return b
}

func word[T ~string](d *document, n *yaml.Node, field string, of []T) T {
	s := T(d.text(n, field))
	if s != "" && !slices.Contains(of, s) {
		d.wrong(n, field, "want one of %v, got %q", of, s)
		return ""
	}
	return s
}

// instant reads an RFC 3339 time or a day, which begins in UTC.
func (d *document) instant(n *yaml.Node, field string) event.Time {
	text := d.text(n, field)
	if text == "" {
		return 0
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		text = day.Format(time.RFC3339)
	}
	t, err := event.ParseTime(text)
	if err != nil || t == 0 {
		d.wrong(n, field, "want a day as 2026-10-05 or a time as 2026-10-05T09:00:00Z, got %q", n.Value)
	}
	return t
}
