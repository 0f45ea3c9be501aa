package ssf

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// payload is what a SET says (RFC 8417 section 2.2).
type payload struct {
	Issuer      string                     `json:"iss"`
	IssuedAt    float64                    `json:"iat"`
	ID          string                     `json:"jti"`
	TimeOfEvent float64                    `json:"toe"`
	Transaction string                     `json:"txn"`
	Subject     json.RawMessage            `json:"sub_id"`
	Events      map[string]json.RawMessage `json:"events"`
}

// claims of an event: those of CAEP section 2, then those of single events.
type claims struct {
	// Timestamp in seconds since 1970.
	Timestamp  float64         `json:"event_timestamp"`
	Initiator  string          `json:"initiating_entity"`
	AdminText  localized       `json:"reason_admin"`
	Subject    json.RawMessage `json:"subject"` // where drafts and Google's RISC have it
	Reason     string          `json:"reason"`
	RiskReason string          `json:"risk_reason"`
	Principal  string          `json:"principal"`

	Claims         map[string]json.RawMessage `json:"claims"`
	ChangeType     string                     `json:"change_type"`
	CredentialType string                     `json:"credential_type"`
	FriendlyName   string                     `json:"friendly_name"`
	X509Issuer     string                     `json:"x509_issuer"`
	X509Serial     string                     `json:"x509_serial"`
	AAGUID         string                     `json:"fido2_aaguid"`
	Namespace      string                     `json:"namespace"`
	CurrentLevel   string                     `json:"current_level"`
	PreviousLevel  string                     `json:"previous_level"`
	Direction      string                     `json:"change_direction"`
	CurrentStatus  string                     `json:"current_status"`
	PreviousStatus string                     `json:"previous_status"`
	ExternalID     string                     `json:"ext_id"`
	ACR            string                     `json:"acr"`
	AMR            []string                   `json:"amr"`
}

// maxSeconds is the year 9999.
const maxSeconds = 253402300799

func seconds(s float64) time.Time {
	return time.UnixMicro(int64(math.Round(s * 1e6)))
}

// Parse is a collector.Parse for the payload of a verified SET. It becomes one
// event for each of its events that states an identity fact.
func Parse(raw []byte) ([]*event.Event, error) {
	var p payload
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("not the payload of a SET: %w", err)
	}
	var problems event.Problems
	want := func(ok bool, field, reason string) {
		if !ok {
			problems = append(problems, event.Problem{Field: field, Reason: reason})
		}
	}
	want(p.ID != "", "jti", "is required")
	want(p.IssuedAt > 0 && p.IssuedAt <= maxSeconds, "iat", "want seconds since 1970")
	want(len(p.Events) > 0, "events", "want at least one event")
	if len(problems) > 0 {
		return nil, problems
	}
	var events []*event.Event
	for _, uri := range slices.Sorted(maps.Keys(p.Events)) {
		f, ok := facts[uri]
		if !ok {
			continue
		}
		e, err := p.event(uri, f)
		if err != nil {
			return nil, err
		}
		if e != nil {
			events = append(events, e)
		}
	}
	return events, nil
}

// event makes the event of one member of events. Its id is the SET's, with the
// name of the event where the SET has several.
func (p *payload) event(uri string, f fact) (*event.Event, error) {
	name := uri[strings.LastIndexByte(uri, '/')+1:]
	var c claims
	if err := json.Unmarshal(p.Events[uri], &c); err != nil {
		return nil, fmt.Errorf("events: %s: %w", name, err)
	}
	e := &event.Event{
		Kind: f.kind, Type: f.name, Outcome: event.Success, Source: event.Source{EventID: p.ID},
		Correlation: event.Correlation{TransactionID: p.Transaction},
		Attributes:  map[string]string{"ssf.issuer": p.Issuer, "ssf.event": name},
	}
	if len(p.Events) > 1 {
		e.Source.EventID += "#" + name
	}
	p.when(e, c.Timestamp)
	common(e, &c)
	subject := p.Subject
	if len(subject) == 0 {
		subject = c.Subject
	}
	if err := p.subject(e, subject); err != nil {
		return nil, fmt.Errorf("sub_id: %w", err)
	}
	if f.fill != nil {
		f.fill(e, &c)
	}
	if !named(e) {
		return nil, event.Problems{{Field: "sub_id", Reason: "names nobody: want a subject identifier of RFC 9493 or SSF"}}
	}
	missing(e)
	e.Fit()
	return e, nil
}

// when prefers the time that the event tells, then that of the SET's toe, then iat.
func (p *payload) when(e *event.Event, told float64) {
	switch {
	case told > 1e11 && told/1000 <= maxSeconds: // some transmitters send milliseconds
		e.Time = event.TimeOf(seconds(told / 1000))
		e.Warnings = append(e.Warnings, "event_timestamp taken as milliseconds")
	case told > 0 && told <= maxSeconds:
		e.Time = event.TimeOf(seconds(told))
	case p.TimeOfEvent > 0 && p.TimeOfEvent <= maxSeconds:
		e.Time = event.TimeOf(seconds(p.TimeOfEvent))
	default:
		e.Time = event.TimeOf(seconds(p.IssuedAt))
		e.Warnings = append(e.Warnings, "no event_timestamp: time is when the SET was issued")
	}
}

// common keeps what any event may tell.
func common(e *event.Event, c *claims) {
	note(e, "initiating_entity", c.Initiator)
	note(e, "reason_admin", c.AdminText.english())
	note(e, "reason", c.Reason)
}

func note(e *event.Event, name, value string) {
	if value != "" {
		e.Attributes["ssf."+name] = value
	}
}

// localized is a text by language tag; drafts had one text.
type localized map[string]string

func (l *localized) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*l = localized{"en": one}
		return nil
	}
	return json.Unmarshal(b, (*map[string]string)(l))
}

// english picks one language: English, or the first.
func (l localized) english() string {
	tags := slices.Sorted(maps.Keys(l))
	for _, tag := range tags {
		if tag == "en" || strings.HasPrefix(tag, "en-") {
			return l[tag]
		}
	}
	if len(tags) == 0 {
		return ""
	}
	return l[tags[0]]
}

func named(e *event.Event) bool {
	return e.Subject.Sub != "" || e.Client.ID != "" || e.Correlation.SessionID != "" || e.Token.JTI != "" || e.Token.Ref != "" ||
		e.Attributes["ssf.device"] != "" || e.Attributes["ssf.token_identifier_alg"] != ""
}

// missing says what the event cannot be joined by.
func missing(e *event.Event) {
	switch e.Kind {
	case event.Credential:
		if e.Token.Ref == "" {
			e.Warnings = append(e.Warnings, "no token reference: the SET names the credential by subject or jti only")
		}
	case event.Session:
		if e.Correlation.SessionID == "" {
			e.Warnings = append(e.Warnings, "no session id: the SET names its subject only")
		}
	}
}
