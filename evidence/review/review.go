// Package review is the access review: who answers for which privilege looks at
// what stands, and says whether it stays.
//
// A review is frozen when it is created ([Freeze]): its lines are the state then,
// and the newest signed checkpoints of the log are written into it. What it says
// has a digest, which the event has that is the evidence of its creation, so that
// [Load] refuses a review whose rows were altered. Owners and administrators decide
// about lines ([Act]); acts are appended and never changed, and the last about a
// line counts.
//
// It does not decide who is whom, and does not make the events that are the
// evidence of creation and acts: evidence/api does both. It takes nothing away
// from anybody: a decision to revoke is an instruction that is on record.
package review

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/custody-audit/custody/evidence/query"
)

//go:generate go run ./generate ../../docs/reference/review.schema.json

// Errors that a caller tells apart.
var (
	ErrNotFound = errors.New("no such review")
	ErrSeveral  = errors.New("that of several: give more digits")
	ErrInvalid  = errors.New("not possible")
	ErrClosed   = errors.New("the review is closed")
	ErrAltered  = errors.New("the stored review is not what was frozen: its digest differs")
)

// Scope says what a review is about; what is empty does not narrow.
type Scope struct {
	Tenant string `json:"tenant"`
	// Owner answers for the lines, Server is where they are.
	Owner  string `json:"owner,omitempty"`
	Server string `json:"server,omitempty"`
	// From inclusive, To exclusive: the period of what is counted and sampled.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// WindowDays is for how long a privilege must be unused to count as that.
	WindowDays int `json:"window_days"`
}

// Review is one campaign.
type Review struct {
	ID uuid.UUID `json:"id"`
	Frozen
	// Lines that want a decision; those that nobody answers for come first.
	Lines []*Line `json:"lines"`
	// Digest is the SHA-256 of what is frozen, hexadecimal.
	Digest string `json:"digest"`
	// EventID is the event that is the evidence of its creation.
	EventID uuid.UUID `json:"event_id"`
	// Acts are what was decided since, the oldest first.
	Acts []*Act `json:"acts"`
}

// Frozen is what a review says beside its lines.
type Frozen struct {
	Name       string    `json:"name"`
	Scope      Scope     `json:"scope"`
	Created    time.Time `json:"created"`
	CreatedIss string    `json:"created_iss,omitempty"`
	CreatedBy  string    `json:"created_by"`
	// Registry is the version of the registry that owners are from; empty: none.
	Registry string `json:"registry_version"`
	// Checkpoints are the newest of each tree, by origin.
	Checkpoints []Checkpoint `json:"checkpoints"`
	// Unowned are those that nobody answers for.
	Unowned []Unowned `json:"unowned"`
	// Decisions by policy and its version.
	Decisions []Decisions `json:"decisions"`
	// Calls counts the calls of the period by verdict.
	Calls Calls `json:"calls"`
	// Coverage are the sources that were heard of in the period.
	Coverage []query.SourceCoverage `json:"coverage"`
	// Gaps are where evidence is missing.
	Gaps []Gap `json:"gaps"`
	// NotAssessed says what this review cannot judge, and why.
	NotAssessed []string `json:"not_assessed"`
	// Samples are delegation chains of calls that were drawn by lot.
	Samples []Sample `json:"samples"`
}

// Checkpoint is a signed head of one tree of the log.
type Checkpoint struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`
	// Witnesses are the names of who cosigned; none: unwitnessed.
	Witnesses []string `json:"witnesses"`
	// Note is the checkpoint with its signatures.
	Note string `json:"note"`
}

// Unowned is somebody or something without an owner in the registry.
type Unowned struct {
	Kind string `json:"kind"` // identity, server, tool, policy
	Name string `json:"name"`
	// Lines of the review that are about it.
	Lines int `json:"lines"`
}

// Decisions of one version of a policy with one effect.
type Decisions struct {
	Engine  string    `json:"engine"`
	Policy  string    `json:"policy"`
	Version string    `json:"version"`
	Effect  string    `json:"effect"`
	Count   uint64    `json:"count"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	// Evidence are the first and the last of them.
	Evidence []string `json:"evidence"`
}

// Calls of the period, by verdict; docs/analyst.md says what each means.
type Calls struct {
	Total    uint64            `json:"total"`
	Decision map[string]uint64 `json:"decision"`
	Token    map[string]uint64 `json:"token"`
	Exchange map[string]uint64 `json:"exchange"`
}

// Gap is where evidence is missing.
type Gap struct {
	Kind    string    `json:"kind"` // of a rule (sequence_gap, emitter_silent, ...), or log: records that were never read
	Summary string    `json:"summary"`
	Status  string    `json:"status"`
	Time    time.Time `json:"time"`
	// Evidence are events around it.
	Evidence []string            `json:"evidence"`
	Controls map[string][]string `json:"controls"`
}

// Sample is the delegation chain of a call.
type Sample struct {
	Event string `json:"event"`
	// Depth of the chain, and how many of its hops were not seen.
	Depth   int `json:"depth"`
	Missing int `json:"missing"`
	// Tree is the chain as text.
	Tree string `json:"tree"`
	// Evidence are the events of the chain.
	Evidence []string `json:"evidence"`
}

// Unwitnessed says that some checkpoint has no signature but the log's.
func (f *Frozen) Unwitnessed() bool {
	for _, c := range f.Checkpoints {
		if len(c.Witnesses) == 0 {
			return true
		}
	}
	return false
}

// bodies are what the digest covers: the head, and each line.
func (r *Review) bodies() (head string, lines []string, err error) {
	b, err := json.Marshal(&r.Frozen)
	if err != nil {
		return "", nil, err
	}
	for _, l := range r.Lines {
		line, err := json.Marshal(l)
		if err != nil {
			return "", nil, err
		}
		lines = append(lines, string(line))
	}
	return string(b), lines, nil
}

// digest joins what is frozen: JSON has no line breaks outside of its texts.
func digest(head string, lines []string) string {
	sum := sha256.Sum256([]byte(strings.Join(append([]string{head}, lines...), "\n")))
	return hex.EncodeToString(sum[:])
}

// Line finds the line whose key begins with the digits.
func (r *Review) Line(prefix string) (*Line, error) {
	var found *Line
	for _, l := range r.Lines {
		if prefix == "" || !strings.HasPrefix(l.Key, prefix) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("line %q is %w", prefix, ErrSeveral)
		}
		found = l
	}
	if found == nil {
		return nil, fmt.Errorf("line %q: %w with such a line", prefix, ErrNotFound)
	}
	return found, nil
}

// Narrow leaves what a reviewer is concerned with: its own lines, and which review
// they are of.
func (r *Review) Narrow(v Reviewer) {
	r.Lines = slices.DeleteFunc(r.Lines, func(l *Line) bool { return v.May(l) != nil })
	r.Acts = slices.DeleteFunc(r.Acts, func(a *Act) bool {
		return a.Line != "" && !slices.ContainsFunc(r.Lines, func(l *Line) bool { return l.Key == a.Line })
	})
	r.Unowned, r.Decisions, r.Calls, r.Coverage, r.Gaps, r.Samples = []Unowned{}, []Decisions{}, Calls{}, []query.SourceCoverage{}, []Gap{}, []Sample{}
}
