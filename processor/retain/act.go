package retain

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/custody-audit/custody/schemas/event"
)

// Action is what somebody does about how long records are kept.
type Action string

// The actions, as retention_acts has them.
const (
	Set      Action = "set"      // records of a kind are kept for so many days
	Held     Action = "held"     // records are not deleted, whatever is set
	Released Action = "released" // a hold ends
	Erased   Action = "erased"   // records that name a person are deleted
)

// Errors that a caller tells apart.
var (
	ErrInvalid  = errors.New("not possible")
	ErrNotFound = errors.New("no such hold")
)

// Bounds of what is said.
const (
	MaxReason = 2000
	MaxDays   = 36_500
)

// Act is one thing that somebody did.
type Act struct {
	// ID makes it the same act when it is appended again, and is the source's id of
	// the event that is the evidence of it.
	ID     uuid.UUID `json:"id" ch:"id"`
	Tenant string    `json:"tenant" ch:"tenant"`
	Time   time.Time `json:"time" ch:"time"`
	Action string    `json:"action" ch:"action"`
	// Kind and Days are of a rule. An empty kind is those without a rule of their own;
	// 0 days is for ever.
	Kind string `json:"kind,omitempty" ch:"kind"`
	Days uint32 `json:"days" ch:"days"`
	// Hold is the act that held, of the one that releases.
	Hold uuid.UUID `json:"hold,omitzero" ch:"hold"`
	// Subject, Server, From and To narrow a hold; what is empty does not.
	Subject string    `json:"subject,omitempty" ch:"subject"`
	Server  string    `json:"server,omitempty" ch:"server"`
	From    time.Time `json:"from,omitzero" ch:"from_time"`
	To      time.Time `json:"to,omitzero" ch:"to_time"`

	// Person is who is erased, see [PersonOf].
	Person string `json:"person,omitempty" ch:"person"`

	ActorIss string    `json:"actor_iss,omitempty" ch:"actor_iss"`
	ActorSub string    `json:"actor_sub" ch:"actor_sub"`
	Reason   string    `json:"reason" ch:"reason"`
	EventID  uuid.UUID `json:"event_id" ch:"event_id"`

	sealed bool // read from its event
}

// Same tells whether two acts say the same.
func (a *Act) Same(b *Act) bool {
	return a.Action == b.Action && a.Kind == b.Kind && a.Days == b.Days && a.Hold == b.Hold && a.Subject == b.Subject && a.Server == b.Server && a.From.Equal(b.From) && a.To.Equal(b.To) && (a.Person != "") == (b.Person != "") && a.ActorSub == b.ActorSub && a.Reason == b.Reason
}

// Check says what is wrong with an act.
func (a *Act) Check() error {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
	switch {
	case !event.ValidTenant(a.Tenant):
		return invalid("it is of one tenant: say which")
	case a.Reason == "" || len(a.Reason) > MaxReason:
		return invalid("want a reason of at most %d bytes", MaxReason)
	case Action(a.Action) == Set && a.Kind != "" && !slices.Contains(event.Kinds, event.Kind(a.Kind)):
		return invalid("kind %q: want one of %v, or none for all others", a.Kind, event.Kinds)
	case Action(a.Action) == Set && a.Days > MaxDays:
		return invalid("days %d: want at most %d, or 0 for ever", a.Days, MaxDays)
	case Action(a.Action) == Held && !a.From.IsZero() && !a.To.IsZero() && !a.From.Before(a.To):
		return invalid("the hold ends before it begins")
	case (Action(a.Action) == Erased) != validPerson(a.Person):
		return invalid("who is to be erased?")
	case Action(a.Action) == Released && a.Hold == uuid.Nil:
		return invalid("which hold ends?")
	}
	return nil
}

// Names of the attributes that an act's event has.
const (
	attrAction  = "retention"
	attrKind    = "retention_kind"
	attrDays    = "retention_days"
	attrHold    = "hold"
	attrSubject = "hold_subject"
	attrServer  = "hold_server"
	attrFrom    = "hold_from"
	attrTo      = "hold_to"
	attrPerson  = "person"
)

// Attributes are what the act's event says of it.
func (a *Act) Attributes() map[string]string {
	out := map[string]string{attrAction: a.Action}
	for name, value := range map[string]string{attrKind: a.Kind, attrSubject: a.Subject, attrServer: a.Server, attrFrom: stamp(a.From), attrTo: stamp(a.To), attrPerson: a.Person} {
		if value != "" {
			out[name] = value
		}
	}
	switch Action(a.Action) {
	case Set:
		out[attrDays] = strconv.FormatUint(uint64(a.Days), 10)
	case Released:
		out[attrHold] = a.Hold.String()
	}
	return out
}

// actOf reads an act from the attributes of its event.
func actOf(id, eventID uuid.UUID, tenant string, at time.Time, attributes map[string]string) (*Act, error) {
	a := &Act{ID: id, EventID: eventID, Tenant: tenant, Time: at.UTC(), Action: attributes[attrAction], Kind: attributes[attrKind], Subject: attributes[attrSubject], Server: attributes[attrServer], Person: attributes[attrPerson], Reason: attributes["comment"], sealed: true}
	var errs [4]error
	if text := attributes[attrDays]; text != "" {
		var days uint64
		days, errs[0] = strconv.ParseUint(text, 10, 32)
		a.Days = uint32(days)
	}
	if text := attributes[attrHold]; text != "" {
		a.Hold, errs[1] = uuid.Parse(text)
	}
	a.From, errs[2] = unstamp(attributes[attrFrom])
	a.To, errs[3] = unstamp(attributes[attrTo])
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("event %s: %w", eventID, err)
	}
	return a, nil
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func unstamp(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339Nano, text)
}
