// Package worklist is what people do about findings: they acknowledge, assign,
// comment, resolve or except them, and look for those that are left.
//
// It stands beside the detections (processor/detect), which say what is found
// and whether it still is so; neither writes what the other does. Both append to
// the table finding_history and change nothing in it, and the status of a finding
// is computed when it is read: so an exception ends by itself, and a resolved
// finding is open again as soon as it rests on more than whoever resolved it saw.
//
// It guarantees that an act counts once, however often it is appended. It does
// not decide who may act, and does not make the event that is the evidence of an
// act: evidence/api does both.
package worklist

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/custody-audit/custody/processor/detect"
)

// Status of a finding, as people and detections left it.
const (
	Open         = detect.Open         // nobody cares for it
	Acknowledged = "acknowledged"      // somebody has seen it
	Assigned     = "assigned"          // somebody is to handle it
	Resolved     = "resolved"          // somebody says that it is dealt with
	AutoResolved = detect.AutoResolved // the detections say that it is not so, or not so any more
	Excepted     = "excepted"          // somebody accepts it until a time
)

// Active stands for the statuses of findings that want somebody's work, All for
// every status.
const (
	Active = "active"
	All    = "all"
)

var active = []string{Open, Acknowledged, Assigned}

// Statuses are those that one can ask for.
var Statuses = []string{Active, Open, Acknowledged, Assigned, Resolved, AutoResolved, Excepted, All}

// Finding is a finding as it stands.
type Finding struct {
	detect.Finding
	// Identity is who acted, or on whose behalf when nobody else did.
	Identity string `json:"identity,omitempty" ch:"identity"`
	// Chain is the delegation that it belongs to: the first token of it, as far as
	// it is known, or else "task:" or "trace:" and an id.
	Chain    string `json:"chain,omitempty" ch:"chain"`
	Assignee string `json:"assignee,omitempty" ch:"assignee"`
	// HandledBy is who did last what decides about the status, with the reason.
	HandledBy     string    `json:"handled_by,omitempty" ch:"handled_by"`
	HandledTime   time.Time `json:"handled_time,omitzero" ch:"handled_time"`
	Reason        string    `json:"reason,omitempty" ch:"reason"`
	ExceptedUntil time.Time `json:"excepted_until,omitzero" ch:"excepted_until"`
	// UpdatedTime is when it became what it is, by detections, people or the end of
	// an exception.
	UpdatedTime time.Time `json:"updated_time" ch:"updated_time"`
	// Revision is another one after every change.
	Revision string `json:"revision" ch:"revision"`
}

// tidy makes times that are not there zero: ClickHouse has 1970 for them.
func (f *Finding) tidy() {
	for _, t := range []*time.Time{&f.HandledTime, &f.ExceptedUntil} {
		if t.Unix() <= 0 {
			*t = time.Time{}
		}
	}
}

// Action is what one can do about a finding.
type Action string

// The actions, as finding_history has them.
const (
	Acknowledge Action = "acknowledged"
	Assign      Action = "assigned"
	Comment     Action = "commented"
	Resolve     Action = "resolved"
	Except      Action = "excepted"
	Reopen      Action = "reopened"
)

// from are the statuses in which an action makes sense.
var from = map[Action][]string{
	Acknowledge: active,
	Assign:      active,
	Comment:     {Open, Acknowledged, Assigned, Resolved, AutoResolved, Excepted},
	Resolve:     {Open, Acknowledged, Assigned, Excepted},
	Except:      {Open, Acknowledged, Assigned, Resolved, Excepted},
	Reopen:      {Acknowledged, Assigned, Resolved, Excepted},
}

// Act is one thing that somebody does about a finding.
type Act struct {
	// ID makes it the same act when it is appended again.
	ID     uuid.UUID
	Time   time.Time
	Action Action
	// ActorIss and ActorSub are who does it.
	ActorIss, ActorSub string
	// Assignee is of Assign; empty takes the finding from whoever had it.
	Assignee string
	// Until is when an exception ends.
	Until   time.Time
	Comment string
	// EventID is the event that is the evidence of it.
	EventID uuid.UUID
}

// MaxText bounds a comment and the name of an assignee, in bytes.
const (
	MaxComment  = 2000
	MaxAssignee = 200
)

// MaxException is how long an exception may be: what is accepted for longer is
// looked at again.
const MaxException = 366 * 24 * time.Hour

// ErrInvalid says that an act lacks something, ErrStatus that the finding's
// status does not allow it.
var (
	ErrInvalid = errors.New("not possible")
	ErrStatus  = errors.New("not possible in this status")
)

// Check says what is wrong with an act on a finding.
func (a *Act) Check(f *Finding) error {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
	statuses, known := from[a.Action]
	switch {
	case !known:
		return invalid("there is no action %q", a.Action)
	case len(a.Comment) > MaxComment:
		return invalid("a comment of %d bytes: want at most %d", len(a.Comment), MaxComment)
	case len(a.Assignee) > MaxAssignee || a.Assignee != "" && a.Action != Assign:
		return invalid("want an assignee of at most %d bytes, and only to assign", MaxAssignee)
	case a.Comment == "" && slices.Contains([]Action{Comment, Resolve, Except, Reopen}, a.Action):
		return invalid("a finding is %s with a reason", a.Action)
	case a.Action == Except && !a.Until.After(a.Time):
		return invalid("an exception wants an end that is to come")
	case a.Action == Except && a.Until.Sub(a.Time) > MaxException:
		return invalid("an exception lasts at most %d days", MaxException/(24*time.Hour))
	case a.Action != Except && !a.Until.IsZero():
		return invalid("only an exception has an end")
	case !slices.Contains(statuses, f.Status):
		return fmt.Errorf("%w: the finding is %s, and can be %s when it is one of %v", ErrStatus, f.Status, a.Action, statuses)
	}
	return nil
}
