package deepscan

import (
	"fmt"
	"strings"

	ahocorasick "github.com/BobuSumisu/aho-corasick"
)

// maxRules bounds what a scan counts on its stack.
const maxRules = 256

// scanner looks for the words of all rules in one pass over a text, and runs a
// rule's pattern only where a match of it can begin.
type scanner struct {
	rules []*rule
	words *ahocorasick.Trie
	// keyword and needle are the rules that a word is one of, by the word's number.
	keyword, needle [][]int
}

func newScanner() (*scanner, error) {
	rules, err := defaultRules()
	if err != nil {
		return nil, err
	}
	if len(rules) > maxRules {
		return nil, fmt.Errorf("%d rules, want at most %d", len(rules), maxRules)
	}
	s := &scanner{rules: rules}
	numbers, builder := map[string]int{}, ahocorasick.NewTrieBuilder()
	number := func(word string) int {
		n, ok := numbers[word]
		if !ok {
			n = len(numbers)
			numbers[word] = n
			builder.AddString(word)
			s.keyword, s.needle = append(s.keyword, nil), append(s.needle, nil)
		}
		return n
	}
	for i, r := range rules {
		needles, err := r.prepare()
		if err != nil {
			return nil, err
		}
		for _, word := range r.Keywords {
			n := number(word)
			s.keyword[n] = append(s.keyword[n], i)
		}
		for _, word := range needles {
			n := number(word)
			s.needle[n] = append(s.needle[n], i)
		}
	}
	s.words = builder.Build()
	return s, nil
}

// hit is a place where a match of a rule may begin.
type hit struct{ rule, at int }

// each calls found for every secret in text.
func (s *scanner) each(text string, found func(*rule, match)) {
	var present [maxRules]bool // whose keyword is in the text
	var hits []hit
	any := false
	s.words.Walk(lower(text), func(end, n, word int64) bool {
		for _, i := range s.keyword[word] {
			present[i], any = true, true
		}
		for _, i := range s.needle[word] {
			hits = append(hits, hit{i, int(end - n + 1)})
		}
		return true
	})
	if !any {
		return
	}
	s.anchored(text, hits, &present, found)
	for i, r := range s.rules {
		if r.from != nil || !present[i] {
			continue
		}
		for _, groups := range r.Regex.FindAllStringSubmatchIndex(text, -1) {
			if m := r.matched(text, 0, groups); r.holds(text, m) {
				found(r, m)
			}
		}
	}
}

// anchored tries the rules at their needles.
func (s *scanner) anchored(text string, hits []hit, present *[maxRules]bool, found func(*rule, match)) {
	var next [maxRules]int // where the last match ended
	for _, h := range hits {
		r := s.rules[h.rule]
		if !present[h.rule] || h.at < next[h.rule] || r.boundary && !boundary(text, h.at) {
			continue
		}
		groups := r.from.FindStringSubmatchIndex(text[h.at:])
		if groups == nil {
			continue
		}
		m := r.matched(text, h.at, groups)
		next[h.rule] = m.whole[1]
		if r.named {
			m.whole[0] -= leading(text, h.at)
		}
		if r.holds(text, m) {
			found(r, m)
		}
	}
}

// boundary tells whether a word begins or ends at a place, as \b has it.
func boundary(text string, at int) bool {
	return (at > 0 && isWord(text[at-1])) != (at < len(text) && isWord(text[at]))
}

func isWord(c byte) bool { return c != '.' && c != '-' && strings.IndexByte(nameBytes, c) >= 0 }
