package story

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

var start = event.TimeOf(time.Date(2026, 10, 5, 9, 0, 0, 0, time.UTC))

const (
	step  = 250 * time.Millisecond // between one event and the next
	delay = 120 * time.Millisecond // from a source's clock to the collector's
)

// script is the story while it is being written.
type script struct {
	chapters []Chapter
	events   []*event.Event
	named    map[string]*event.Event
	tokens   []string
	sequence map[string]int64 // last number given, by source id
	calls    int64            // JSON-RPC ids given
	now      event.Time
	parent   string // name of what the next events happen under, for their parent span
}

func newScript() *script {
	return &script{named: map[string]*event.Event{}, sequence: map[string]int64{}, now: start}
}

// open begins a chapter at a time of the day after the story's start.
func (s *script) open(at time.Duration, c Chapter) {
	s.now, s.parent = start.Add(at), c.Name
	s.chapters = append(s.chapters, c)
}

func (s *script) chapter() *Chapter { return &s.chapters[len(s.chapters)-1] }

// wait lets time pass.
func (s *script) wait(d time.Duration) { s.now = s.now.Add(d) }

// add gives the event its envelope and puts it into the open chapter. The
// source's own id of the event is its name, so that a person who meets it in a
// finding or a chain finds it here.
func (s *script) add(name string, src source, e *event.Event) *event.Event {
	e.Time, s.now = s.now, s.now.Add(step)
	e.Tenant = s.chapter().Tenant
	e.Source = event.Source{ID: src.id, Type: src.kind, EventID: name}
	if src.numbered {
		e.Source.Sequence = s.number(src)
	}
	e.ID = event.NewID(e.Tenant, src.id, name, e.Time)
	e.SchemaVersion = event.SchemaVersion
	if e.Outcome == "" {
		e.Outcome = event.Success
	}
	return s.record(name, e, delay)
}

// redeliver adds an event a second time, as a source does that never saw the
// answer to its first request.
func (s *script) redeliver(name, of string, after time.Duration) {
	s.record(name, s.named[of], after)
}

func (s *script) record(name string, e *event.Event, observed time.Duration) *event.Event {
	if _, taken := s.named[name]; taken {
		panic("story: two events are named " + name)
	}
	e = clone(e)
	e.ObservedTime = e.Time.Add(observed)
	e.Salt = salt(len(s.events))
	s.events = append(s.events, e)
	s.named[name] = e
	s.chapter().Events = append(s.chapter().Events, name)
	return e
}

// clone lets no two events share a list, and none share one with a token.
func clone(e *event.Event) *event.Event {
	c, err := event.Decode(e.Canonical())
	if err != nil {
		panic("story: " + err.Error())
	}
	return c
}

// number counts an event of a source; a number taken without an event is a gap.
func (s *script) number(src source) int64 {
	s.sequence[src.id]++
	return s.sequence[src.id]
}

// ref returns the reference of a token by its readable name.
func (s *script) ref(name string) string {
	text := "token: " + name
	if !slices.Contains(s.tokens, text) {
		s.tokens = append(s.tokens, text)
	}
	return event.TokenRef(text)
}

func salt(i int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "salt %d", i))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func traceID(chapter string) string { return digest("trace: "+chapter, 16) }
func spanID(name string) string     { return digest("span: "+name, 8) }

func digest(s string, n int) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:n])
}
