// Package deepscantest makes texts with secrets of every form that gitleaks knows, for
// tests that plant them. gitleaks' own detector says which of the texts are good.
package deepscantest

import (
	"math/rand/v2"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/report"
)

// Canary is a text in which gitleaks itself finds a secret by a rule. It was made
// of the rule's pattern by chance and was never valid.
type Canary struct {
	// Rule is gitleaks' name of the rule.
	Rule string
	// Text is what is planted, Secret the part of it that must be nowhere.
	Text, Secret string
}

// Kernel is the longest part of the secret that looks the same in JSON and in a list
// of words, and that must be nowhere.
func (c Canary) Kernel() string {
	longest := ""
	for part := range strings.FieldsFuncSeq(c.Secret, func(r rune) bool { return !strings.ContainsRune(alphanumeric, r) }) {
		if len(part) > len(longest) {
			longest = part
		}
	}
	return longest
}

// Canaries returns one for each of gitleaks' default rules that judge text; the
// same each time.
func Canaries(t testing.TB) []Canary {
	t.Helper()
	if canaries, err := made(); err == nil {
		return canaries
	} else {
		t.Fatal(err)
		return nil
	}
}

// attempts at a text that has the entropy a rule wants, and none of the words that
// make gitleaks take it for an example.
const attempts = 1000

var made = sync.OnceValues(func() (canaries []Canary, err error) {
	oracle, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		return nil, err
	}
	for _, rule := range oracle.Config.GetOrderedRules() {
		if rule.Regex == nil || rule.Path != nil { // judges files of a name
			continue
		}
		pattern, err := syntax.Parse(rule.Regex.String(), syntax.Perl)
		if err != nil {
			return nil, err
		}
		m := maker{rand.New(rand.NewPCG(1, uint64(len(canaries))))}
		for n := range attempts {
			text := m.text(pattern)
			if n%2 == 1 { // the keyword may be no part of the pattern
				text = rule.Keywords[0] + " " + text
			}
			found := oracle.DetectString(text)
			if i := slices.IndexFunc(found, func(f report.Finding) bool { return f.RuleID == rule.RuleID }); i >= 0 {
				canaries = append(canaries, Canary{rule.RuleID, text, found[i].Secret})
				break
			}
		}
	}
	return canaries, nil
})

// maker makes texts that match a pattern.
type maker struct{ r *rand.Rand }

const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

func (m maker) text(p *syntax.Regexp) string {
	switch p.Op {
	case syntax.OpLiteral:
		return string(p.Rune)
	case syntax.OpCharClass:
		return string(m.of(p.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return string(alphanumeric[m.r.IntN(len(alphanumeric))])
	case syntax.OpAlternate:
		return m.text(p.Sub[m.r.IntN(len(p.Sub))])
	case syntax.OpQuest, syntax.OpStar, syntax.OpPlus, syntax.OpRepeat:
		return m.repeat(p)
	}
	var sb strings.Builder // a concatenation, a group, or what matches nothing by itself
	for _, part := range p.Sub {
		sb.WriteString(m.text(part))
	}
	return sb.String()
}

func (m maker) repeat(p *syntax.Regexp) string {
	least, most := p.Min, p.Max
	switch p.Op {
	case syntax.OpQuest:
		least, most = 0, 1
	case syntax.OpStar:
		least, most = 0, -1
	case syntax.OpPlus:
		least, most = 1, -1
	}
	if most < 0 {
		most = least + 4
	}
	var sb strings.Builder
	for range least + m.r.IntN(min(most-least, 8)+1) {
		sb.WriteString(m.text(p.Sub[0]))
	}
	return sb.String()
}

// of is one of a class of runes, given as pairs; a letter or digit where there is one.
func (m maker) of(ranges []rune) rune {
	var likely []rune
	for i := 0; i < len(ranges); i += 2 {
		for _, c := range alphanumeric {
			if c >= ranges[i] && c <= ranges[i+1] {
				likely = append(likely, c)
			}
		}
	}
	if len(likely) > 0 {
		return likely[m.r.IntN(len(likely))]
	}
	i := 2 * m.r.IntN(len(ranges)/2)
	return ranges[i] + rune(m.r.IntN(int(ranges[i+1]-ranges[i])+1))
}
