package review

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Action is what somebody does in a review.
type Action string

// The actions, as review_acts has them.
const (
	Certify Action = "certified" // it stays
	Revoke  Action = "revoked"   // somebody is to take it away: an instruction on record, which Custody does not carry out
	Except  Action = "excepted"  // it stays until a time, against the rule
	Close   Action = "closed"    // the review ends
)

// Decisions are the actions about a line.
var decisions = []Action{Certify, Revoke, Except}

// Bounds of what is said.
const (
	MaxReason    = 2000
	MaxName      = 200
	MaxException = 366 * 24 * time.Hour
)

// Act is one thing that somebody did.
type Act struct {
	// ID makes it the same act when it is appended again.
	ID   uuid.UUID `json:"id" ch:"id"`
	Line string    `json:"line,omitempty" ch:"line"` // key; empty: of the whole review
	Time time.Time `json:"time" ch:"time"`
	// Action is certified, revoked, excepted or closed.
	Action   string    `json:"action" ch:"action"`
	ActorIss string    `json:"actor_iss,omitempty" ch:"actor_iss"`
	ActorSub string    `json:"actor_sub" ch:"actor_sub"`
	Until    time.Time `json:"until,omitzero" ch:"until"` // of excepted
	Reason   string    `json:"reason" ch:"reason"`
	// EventID is the event that is the evidence of it.
	EventID uuid.UUID `json:"event_id" ch:"event_id"`
}

// Same tells whether two acts say the same.
func (a *Act) Same(b *Act) bool {
	return a.Line == b.Line && a.Action == b.Action && a.ActorSub == b.ActorSub && a.Reason == b.Reason && a.Until.Equal(b.Until)
}

// Closed is the act that closed the review; nil: it is open.
func (r *Review) Closed() *Act {
	i := slices.IndexFunc(r.Acts, func(a *Act) bool { return a.Action == string(Close) })
	if i < 0 {
		return nil
	}
	return r.Acts[i]
}

// Decided is the last act about each line that has one, by key. One that came
// after the review was closed counts no more.
func (r *Review) Decided() map[string]*Act {
	out := map[string]*Act{}
	for _, a := range r.Acts {
		if a.Action == string(Close) {
			break
		}
		out[a.Line] = a
	}
	return out
}

// Reviewer is who acts.
type Reviewer struct {
	// Names are those that owners have in the registry for this one.
	Names []string
	// Admin may decide about all lines.
	Admin bool
}

// May says why the reviewer may not decide about the line; nil: it may.
func (v Reviewer) May(l *Line) error {
	switch {
	case v.Admin:
		return nil
	case l.Owner == "":
		return fmt.Errorf("nobody answers for line %.12s: an administrator decides about it", l.Key)
	case !slices.Contains(v.Names, l.Owner):
		return fmt.Errorf("line %.12s is another owner's: its owner or an administrator decides about it", l.Key)
	}
	return nil
}

// Check says what is wrong with an act on a review; l is nil for [Close].
func (a *Act) Check(r *Review, l *Line, v Reviewer) error {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
	switch {
	case r.Closed() != nil:
		return ErrClosed
	case a.Reason == "" || len(a.Reason) > MaxReason:
		return invalid("want a reason of at most %d bytes", MaxReason)
	case (l == nil) != (a.Action == string(Close)) || l != nil && !slices.Contains(decisions, Action(a.Action)):
		return invalid("there is no action %q here", a.Action)
	case a.Action == string(Except) && (!a.Until.After(a.Time) || a.Until.Sub(a.Time) > MaxException):
		return invalid("an exception wants an end that is to come, within %d days", MaxException/(24*time.Hour))
	case a.Action != string(Except) && !a.Until.IsZero():
		return invalid("only an exception has an end")
	case l != nil && a.Action != string(Revoke) && l.Identity != "" && slices.Contains(v.Names, l.Identity):
		return invalid("nobody lets what they hold themselves stand: somebody else decides about line %.12s", l.Key)
	}
	return nil
}

// Counts are lines by decision.
type Counts struct {
	Lines     uint64 `json:"lines"`
	Open      uint64 `json:"open"`
	Certified uint64 `json:"certified"`
	Revoked   uint64 `json:"revoked"`
	Excepted  uint64 `json:"excepted"`
}

// Progress counts the lines of one owner.
type Progress struct {
	Owner string `json:"owner"` // empty: nobody answers for them
	Counts
}

func (p *Counts) add(a *Act) {
	p.Lines++
	switch {
	case a == nil:
		p.Open++
	case a.Action == string(Certify):
		p.Certified++
	case a.Action == string(Revoke):
		p.Revoked++
	case a.Action == string(Except):
		p.Excepted++
	}
}

// Progress of each owner, in the order of the lines: who is missing leads.
func (r *Review) Progress() []Progress {
	out := []Progress{}
	decided := r.Decided()
	for _, l := range r.Lines {
		if len(out) == 0 || out[len(out)-1].Owner != l.Owner {
			out = append(out, Progress{Owner: l.Owner})
		}
		out[len(out)-1].add(decided[l.Key])
	}
	return out
}
