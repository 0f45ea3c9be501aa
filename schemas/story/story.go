// Package story is the fixture of the whole product: some 60 identity events
// of three tenants in one morning that a person can follow chapter by chapter.
//
// Chains, findings, panels, Merkle roots and the review report are checked
// against the same events, so their numbers cannot disagree unnoticed. Each
// chapter shows one thing and, but for that thing, is clean: its calls have a
// decision, a token that was seen being issued, for this server, in its time.
// The tenants differ in how their events join: acme records decision ids,
// globex propagates traces, initech leaves only the JSON-RPC id.
//
// It guarantees the same bytes in every run: times, ids, salts and token
// references are all derived from what is written here. No token in it is real.
// schemas/event/testdata/story.jsonl and the README beside it are made from it.
package story

import (
	"cmp"
	"slices"

	"github.com/custody-audit/custody/schemas/event"
)

// Chapter is one thing that the story shows.
type Chapter struct {
	// Name of the chapter, stable.
	Name string
	// Title in words.
	Title string
	// Tenant whose events it holds.
	Tenant string
	// Chain is the delegation at the chapter's last call, origin first: "alice -> planner -> github-mcp".
	Chain string
	// Events are the names of its events in the order of their happening.
	Events []string
	// Teaches says what a reader, or a rule, should conclude.
	Teaches string
}

// Events returns fresh copies of all events ordered by time; a re-delivery
// stands behind the event that it repeats.
func Events() []*event.Event {
	events := slices.Clone(tell().events)
	slices.SortStableFunc(events, func(a, b *event.Event) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.ObservedTime, b.ObservedTime))
	})
	return events
}

// Named returns a fresh copy of the event of that name. It panics when there is
// none: the name is written in a test, and a nil event would hide the mistake.
func Named(name string) *event.Event {
	e, ok := tell().named[name]
	if !ok {
		panic("story: no event is named " + name)
	}
	return e
}

// Chapters returns the chapters in order.
func Chapters() []Chapter { return tell().chapters }

// Tokens returns the text of every token of the story in the order of first
// use, for tests that start from a token in hand.
func Tokens() []string { return tell().tokens }

// tell writes the story from the first event to the last.
func tell() *script {
	s := newScript()
	tellAcme(s)
	tellGlobex(s)
	tellInitech(s)
	return s
}
