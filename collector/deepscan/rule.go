package deepscan

import (
	"fmt"
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/spf13/viper"
	"github.com/zricethezav/gitleaks/v8/config"
)

// rule is one of gitleaks', made ready for short texts.
type rule struct {
	config.Rule
	// from matches at a needle's place what the pattern matches there or a little
	// before; nil: the pattern has no needles.
	from *regexp.Regexp
	// named says that what it matches begins with the rest of a name before the place.
	named bool
	// boundary says that a word begins or ends at the place.
	boundary bool
	allow    []*config.Allowlist
}

// defaultRules reads the rules that judge texts; others judge files of a name.
func defaultRules() ([]*rule, error) {
	v := viper.New() // gitleaks reads into the global one
	v.SetConfigType("toml")
	if err := v.ReadConfig(strings.NewReader(config.DefaultConfig)); err != nil {
		return nil, err
	}
	var text config.ViperConfig
	if err := v.Unmarshal(&text); err != nil {
		return nil, err
	}
	c, err := text.Translate()
	if err != nil {
		return nil, err
	}
	var rules []*rule
	for _, r := range c.GetOrderedRules() {
		if r.Regex == nil || r.Path != nil {
			continue
		}
		rules = append(rules, &rule{Rule: r, allow: slices.Concat(c.Allowlists, r.Allowlists)})
	}
	return rules, nil
}

// prepare fills in where matches can begin, and returns the needles.
func (r *rule) prepare() ([]string, error) {
	pattern := r.Regex.String()
	p, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("rule %s: %w", r.RuleID, err)
	}
	a := anchor(p)
	if a.needles == nil {
		return nil, nil
	}
	r.boundary = a.boundary
	r.named = strings.Contains(pattern, leadingName)
	r.from, err = regexp.Compile(`\A(?:` + a.rest.String() + `)`)
	return a.needles, err
}

// match is what a pattern matched: the place of the needle, the whole, the secret in it.
type match struct {
	at            int
	whole, secret [2]int
}

// matched reads places of a pattern's groups, which count from offset.
func (r *rule) matched(text string, offset int, groups []int) match {
	m := match{at: offset + groups[0], whole: [2]int{offset + groups[0], offset + groups[1]}}
	m.secret = m.whole
	m.secret[1] = m.secret[0] + len(strings.TrimRight(text[m.whole[0]:m.whole[1]], "\n"))
	for i := 2; i+1 < len(groups); i += 2 {
		if r.SecretGroup > 0 && i != 2*r.SecretGroup || groups[i+1] <= groups[i] {
			continue
		}
		m.secret = [2]int{offset + groups[i], offset + groups[i+1]}
		break
	}
	return m
}

// holds tells whether a match is random enough and no exception.
func (r *rule) holds(text string, m match) bool {
	secret := text[m.secret[0]:m.secret[1]]
	if secret == "" || r.Entropy != 0 && entropy(secret) <= r.Entropy {
		return false
	}
	for _, a := range r.allow {
		if allowed(a, secret, text[m.whole[0]:m.whole[1]]) {
			return false
		}
	}
	return true
}

// allowed tells whether a list of exceptions has the secret. Those for a line, a
// commit or a file of a name are for source code.
func allowed(a *config.Allowlist, secret, whole string) bool {
	target := secret
	switch a.RegexTarget {
	case "match":
		target = whole
	case "line":
		return false
	}
	byPattern := a.RegexAllowed(target)
	byWord, _ := a.ContainsStopWord(secret)
	if a.MatchCondition == config.AllowlistMatchAnd {
		return len(a.Commits) == 0 && len(a.Paths) == 0 && (byPattern || len(a.Regexes) == 0) && (byWord || len(a.StopWords) == 0)
	}
	return byPattern || byWord
}

// entropy is Shannon's, in bits per byte of the text, as gitleaks reckons it.
func entropy(text string) (bits float64) {
	counts := map[rune]int{}
	for _, c := range text {
		counts[c]++
	}
	for _, n := range counts {
		share := float64(n) / float64(len(text))
		bits -= share * math.Log2(share)
	}
	return bits
}
