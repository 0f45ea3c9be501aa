package console

import (
	"html/template"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/custody-audit/custody/schemas/event"
)

// drawing is a graph as the template graph shows it.
type drawing struct {
	*graph
	// Style makes the drawing stand alone; empty in a page, which has the style.
	Style template.CSS
}

// at marks what was not yet, and what had ended, at a time.
func (g *graph) at(t event.Time) {
	for _, n := range g.Nodes {
		n.later = n.From > t
		n.ended = n.To != 0 && n.To <= t
	}
}

// Class is what the style goes by. Words that events choose are not in it but for
// those of enumerations.
func (n *node) Class() string {
	words := []string{"node", n.Kind}
	if n.Type != "" {
		words = append(words, strings.Map(letters, n.Type))
	}
	for word, is := range map[string]bool{"missing": n.Missing != nil, "wrong": len(n.Problems) > 0, "focus": n.Focus, "later": n.later, "ended": n.ended} {
		if is {
			words = append(words, word)
		}
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

func letters(r rune) rune {
	if r >= 'a' && r <= 'z' || r == '_' {
		return r
	}
	return -1
}

// Since and Until are microseconds, 0 for a time that is not known.
func (n *node) Since() int64 { return int64(n.From) }
func (n *node) Until() int64 { return int64(n.To) }

// InnerW and InnerH are the size of the frame, whose line lies on the edge of it.
func (n *node) InnerW() int { return n.W - 2 }
func (n *node) InnerH() int { return n.H - 2 }

// Round is the radius of the frame's corners.
func (n *node) Round() int {
	if n.Kind == "call" || n.Kind == "decision" {
		return n.H / 2
	}
	return 4
}

// maxWhole bounds the text that a box shows when it is pointed at, in characters.
const maxWhole = 400

// Whole is all that the box says, which may be too long for it.
func (n *node) Whole() string {
	lines := append([]string{n.Title}, n.Lines...)
	for _, p := range n.Problems {
		lines = append(lines, "! "+p)
	}
	for i, l := range lines {
		lines[i] = label(l, maxWhole)
	}
	return label(strings.Join(lines, ", "), maxWhole)
}

// Right and Down are where the line ends, from where it begins; Bend is how far its
// ends stay level.
func (l line) Right() int { return l.X2 - l.X1 }
func (l line) Down() int  { return l.Y2 - l.Y1 }
func (l line) Bend() int  { return l.Right() / 2 }

// row is where the line of text i below a box's title stands.
func row(i int) int { return 35 + 16*i }

// label is what a drawing can say of a text that others chose: what would be obeyed
// is shown, what XML cannot hold is not there, and what is long is cut.
func label(s string, most int) string {
	if cut := 4 * most; len(s) > cut { // more bytes than can be shown
		s = strings.ToValidUTF8(s[:cut], "\uFFFD") + "…"
	}
	s = event.Visible(s, "")
	s = strings.Map(func(r rune) rune {
		if r == 0xFFFE || r == 0xFFFF {
			return utf8.RuneError
		}
		return r
	}, s)
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}
