package review

import (
	"slices"
	"strings"
	"unicode"

	oscal "github.com/defenseunicorns/go-oscal/src/types/oscal-1-1-3"
)

// some is a list as OSCAL has it: absent when there is nothing in it.
func some[T any](list ...T) *[]T {
	if len(list) == 0 {
		return nil
	}
	return &list
}

// props are those that have a value.
func props(list ...oscal.Property) *[]oscal.Property {
	return some(slices.DeleteFunc(list, func(p oscal.Property) bool { return p.Value == "" })...)
}

func prop(name, value string) oscal.Property {
	return oscal.Property{Ns: oscalNS, Name: token(name), Value: word(value)}
}

// word is a text as OSCAL's strings want it: on one line, and without space around.
func word(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == '\ufeff' }), " ")
}

// marked is a text where OSCAL takes Markdown: names are an attacker's to choose, so
// none of them may become a link, a picture or an element of a page.
func marked(s string) string { return markup.Replace(word(s)) }

var markup = func() *strings.Replacer {
	var pairs []string
	for _, c := range "\\`*_{}[]<>^~!&\"'|" {
		pairs = append(pairs, string(c), `\`+string(c))
	}
	return strings.NewReplacer(pairs...)
}()

// token is a name as OSCAL's tokens are: letters, digits, ".-_", a letter or "_" first.
func token(s string) string {
	out := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(".-_", r) {
			return r
		}
		return '-'
	}, s)
	if out == "" || !unicode.IsLetter([]rune(out)[0]) {
		out = "_" + out
	}
	return out
}
