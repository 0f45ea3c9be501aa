package review

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// The kinds of lines.
const (
	Privilege  = "privilege"  // a scope or a tool that an identity may use at a server
	Credential = "credential" // a secret that nobody issued for a task
	Exception  = "exception"  // a finding that somebody accepted until a time
	Finding    = "finding"    // a finding that is not resolved
)

// Kinds are all of them, in the order of a report.
var Kinds = []string{Exception, Finding, Credential, Privilege}

// What a line suggests to whoever decides.
const (
	SuggestCertify = "certify" // nothing speaks against it
	SuggestRevoke  = "revoke"  // nobody uses it, or nobody may have it
	SuggestLook    = "look"    // the evidence does not say
)

// Line is one thing to decide about.
type Line struct {
	// Key is the same in each review of the same thing.
	Key  string `json:"key"`
	Kind string `json:"kind"`
	// Owner answers for it, as the registry has it; empty: nobody does. OwnerOf says
	// by what: identity or server.
	Owner    string `json:"owner"`
	OwnerOf  string `json:"owner_of,omitempty"`
	Identity string `json:"identity,omitempty"`
	Iss      string `json:"iss,omitempty"`
	Server   string `json:"server,omitempty"`
	// Name of the privilege with its kind, reference of the credential, or rule.
	Name string `json:"name"`
	// State of a privilege as docs/analyst.md has it, or status of a finding.
	State    string `json:"state"`
	Severity string `json:"severity,omitempty"`
	Summary  string `json:"summary"`
	Suggest  string `json:"suggest"`
	// NotAssessed says why the state cannot be judged; empty: it can.
	NotAssessed string `json:"not_assessed,omitempty"`
	Facts       []Fact `json:"facts"`
	// Evidence are ids of events that it rests on.
	Evidence []string `json:"evidence"`
	// Findings are the keys of findings about it.
	Findings []string `json:"findings"`
	// Controls are the ids of what it is evidence for, by framework.
	Controls map[string][]string `json:"controls"`
}

// Fact is one thing known of a line.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// key is stable over reviews; lengths keep parts apart.
func key(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// sorted puts lines into the order of a review: who lacks an owner leads, then by
// owner, what to take away, kind, and place.
func sorted(lines []*Line) {
	urgency := []string{SuggestRevoke, SuggestLook, SuggestCertify}
	slices.SortFunc(lines, func(a, b *Line) int {
		if c := strings.Compare(a.Owner, b.Owner); c != 0 { // empty is the least
			return c
		}
		if c := slices.Index(urgency, a.Suggest) - slices.Index(urgency, b.Suggest); c != 0 {
			return c
		}
		if c := slices.Index(Kinds, a.Kind) - slices.Index(Kinds, b.Kind); c != 0 {
			return c
		}
		if c := slices.Compare([]string{a.Identity, a.Server, a.Name}, []string{b.Identity, b.Server, b.Name}); c != 0 {
			return c
		}
		return strings.Compare(a.Key, b.Key)
	})
}
