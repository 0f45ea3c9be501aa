// Package deepscan finds secrets in texts by the default rules of gitleaks: some
// two hundred forms of keys, and assignments of what looks random to what is named
// like a secret.
//
// It stands behind package redact ([redact.Redactor.Deep]), for sources that ask
// for it: the forms of redact cost next to nothing, these do not. The rules and
// their lists of exceptions are gitleaks'; its detector is not used, because it
// takes a millisecond for an event and seconds for a text that is made for it
// (docs/adr/0010-deep-scan.md). In tests it is the oracle: in what is left of a
// text it finds nothing more.
//
// It does not decode (base64 in a text), does not look into a text longer than
// [MaxText], and leaves out the exceptions for whole lines of source code.
package deepscan

import (
	"fmt"
	"strings"
	"sync"

	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/schemas/event"
)

// MaxText is the longest text that is looked into, in bytes. No field of a valid
// event is longer.
const MaxText = event.MaxArguments

// generic is the rule for what is named like a secret, whoever made it. A member of
// a record or an attribute may well be named token_id or key_usage, so this rule
// judges names that stand in a text with their values, and no names of ours.
const generic = "generic-api-key"

// Find implements [redact.Finder]. The rules are read when it is called first.
func Find(name, text string) []redact.Secret { return defaults().find(name, text) }

// defaults panics when gitleaks' own rules cannot be read, which depends on nothing
// but what was compiled.
var defaults = sync.OnceValue(func() *scanner {
	s, err := newScanner()
	if err != nil {
		panic(fmt.Sprintf("read gitleaks' default rules: %v", err))
	}
	return s
})

func (s *scanner) find(name, text string) (found []redact.Secret) {
	if len(text) > MaxText {
		return nil
	}
	whole, own := text, 0
	if name != "" { // as it would stand in a file: many rules want the name of the key's maker
		whole, own = name+`="`+text, len(name)+2
	}
	s.each(whole, func(r *rule, m match) {
		switch {
		case r.RuleID == generic && m.at < own, m.secret[1] <= own:
			return
		case m.secret[0] < own: // begins in the name
			m.secret[0] = own
		}
		found = append(found, redact.Secret{Kind: r.RuleID, Text: whole[m.secret[0]:m.secret[1]]})
	})
	return found
}

// lower is s with ASCII letters in lower case, so that places in both are the same.
func lower(s string) []byte {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return b
}

// leading counts the bytes before at that a rule's pattern takes for the name that a
// keyword ends.
func leading(text string, at int) int {
	n := 0
	for n < maxLeading && at-n > 0 && strings.IndexByte(nameBytes, text[at-n-1]) >= 0 {
		n++
	}
	return n
}

const (
	// leadingName begins the patterns that look for an assignment.
	leadingName = `[\w.-]{0,50}?`
	maxLeading  = 50
	nameBytes   = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
)
