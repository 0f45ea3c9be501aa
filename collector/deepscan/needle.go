package deepscan

import (
	"regexp/syntax"
	"slices"
	"strings"
)

// Bounds of the needles of a pattern.
const (
	minNeedle  = 2  // bytes; a shorter one would be found everywhere
	maxNeedle  = 16 // bytes; more tell no more
	maxNeedles = 64
)

// anchored is the part of a pattern that a text matches at some place whenever the
// pattern matches somewhere.
type anchored struct {
	rest *syntax.Regexp
	// needles are the texts, in lower case, of which a match begins with one. None:
	// it begins with anything.
	needles []string
	// boundary says that a word begins or ends at the place.
	boundary bool
}

// anchor leaves out what may be empty at the pattern's beginning, so that there is
// something to begin with.
func anchor(p *syntax.Regexp) anchored {
	boundary := false
	for p.Op == syntax.OpConcat && len(p.Sub) > 1 && skippable(p.Sub[0]) {
		boundary = p.Sub[0].Op == syntax.OpWordBoundary
		rest := *p
		rest.Sub = p.Sub[1:]
		p = &rest
	}
	if p.Op == syntax.OpAlternate {
		return anchorEach(p)
	}
	needles, _ := prefixes(p)
	for i, n := range needles {
		needles[i] = n[:min(len(n), maxNeedle)]
	}
	slices.Sort(needles)
	needles = slices.Compact(needles)
	if len(needles) > maxNeedles || slices.ContainsFunc(needles, func(n string) bool { return len(n) < minNeedle }) {
		needles = nil
	}
	return anchored{p, needles, boundary}
}

// anchorEach anchors a pattern of alternatives.
func anchorEach(p *syntax.Regexp) anchored {
	each := *p
	each.Sub = nil
	var needles []string
	for _, sub := range p.Sub {
		a := anchor(sub)
		if a.needles == nil {
			return anchored{rest: p}
		}
		each.Sub, needles = append(each.Sub, a.rest), append(needles, a.needles...)
	}
	return anchored{rest: &each, needles: needles}
}

// skippable says that a match without p begins with is a match all the same, where
// it is only asked whether there is one.
func skippable(p *syntax.Regexp) bool {
	switch p.Op {
	case syntax.OpStar, syntax.OpWordBoundary:
		return true
	case syntax.OpRepeat:
		return p.Min == 0
	}
	return false
}

// prefixes are the texts with which a match of p can begin, in lower case; whole
// says that they are all of it.
func prefixes(p *syntax.Regexp) (list []string, whole bool) {
	switch p.Op {
	case syntax.OpLiteral:
		return []string{strings.ToLower(string(p.Rune))}, true
	case syntax.OpCharClass:
		return class(p.Rune)
	case syntax.OpCapture:
		return prefixes(p.Sub[0])
	case syntax.OpAlternate:
		whole = true
		for _, sub := range p.Sub {
			l, w := prefixes(sub)
			list, whole = append(list, l...), whole && w
		}
		return list, whole
	case syntax.OpConcat:
		return sequence(p.Sub)
	case syntax.OpQuest:
		list, whole = prefixes(p.Sub[0])
		return append(list, ""), whole
	case syntax.OpPlus:
		list, _ = prefixes(p.Sub[0])
		return list, false
	case syntax.OpRepeat:
		if p.Min > 0 {
			list, _ = prefixes(p.Sub[0])
			return list, p.Min == 1 && p.Max == 1
		}
	case syntax.OpEmptyMatch, syntax.OpWordBoundary:
		return []string{""}, true
	}
	return []string{""}, false
}

func sequence(parts []*syntax.Regexp) (list []string, whole bool) {
	list = []string{""}
	for _, part := range parts {
		next, w := prefixes(part)
		if len(list)*len(next) > maxNeedles {
			return list, false
		}
		var joined []string
		for _, a := range list {
			for _, b := range next {
				joined = append(joined, a+b)
			}
		}
		if list = joined; !w {
			return list, false
		}
	}
	return list, true
}

// class is a class of few runes, given as pairs.
func class(ranges []rune) (list []string, whole bool) {
	for i := 0; i < len(ranges); i += 2 {
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			if len(list) == maxNeedle {
				return []string{""}, false
			}
			list = append(list, strings.ToLower(string(r)))
		}
	}
	slices.Sort(list)
	return slices.Compact(list), true
}
