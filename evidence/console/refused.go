package console

import (
	"strconv"
	"time"

	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/event"
)

// refusedView is what came in a week and became no evidence, the newest first. What
// the collector answered to a source as malformed is known to the source only.
type refusedView struct {
	// Claims of sources to be somebody else.
	Claims []*event.Event
	// Conflicts are events that came again with other content, Dead the records of the
	// log that are no events; nil where the caller may not see them.
	Conflicts *conflicts
	Dead      *deadLetters
}

type conflicts struct {
	Records []*query.Quarantined
	More    bool // than these
}

type deadLetters struct {
	Records []*query.Malformed
	More    bool
}

// refusedMost is how many of each are asked for.
const refusedMost = 100

// claims is a filter of the events by which a collector says that it refused somebody.
const claims = "type:custody.source.claim last:7d"

func refusedOf(q *request) (*refusedView, error) {
	r := &refusedView{}
	var err error
	if q.who.May(string(api.ReadEvents)) {
		var page struct{ Events []*event.Event }
		if err := q.get("/events", &page, "filter", claims, "limit", refusedLimit(q)); err != nil {
			return nil, err
		}
		r.Claims = page.Events
	}
	if q.who.May(string(api.ReadQuarantine)) {
		if r.Conflicts, err = conflictsOf(q); err != nil {
			return nil, err
		}
		if q.tenant == "" { // nobody vouches for whose the others are
			r.Dead, err = deadLettersOf(q)
		}
	}
	return r, err
}

func refusedLimit(q *request) string { return strconv.Itoa(min(refusedMost, q.who.Limits.Rows)) }

func weekAgo(q *request) string {
	return q.console.cfg.Now().Add(-homeWeek).UTC().Format(time.RFC3339)
}

func conflictsOf(q *request) (*conflicts, error) {
	var answer struct {
		Records []*query.Quarantined
		Cut     []string
	}
	err := q.get("/quarantine", &answer, "since", weekAgo(q), "limit", refusedLimit(q))
	return &conflicts{answer.Records, len(answer.Cut) > 0}, err
}

func deadLettersOf(q *request) (*deadLetters, error) {
	var answer struct {
		Records []*query.Malformed
		Cut     []string
	}
	err := q.get("/malformed", &answer, "since", weekAgo(q), "limit", refusedLimit(q))
	return &deadLetters{answer.Records, len(answer.Cut) > 0}, err
}

// ofSource counts what was refused of a source.
func (r *refusedView) ofSource(tenant, source string) (n int) {
	for _, e := range r.Claims {
		if e.Tenant == tenant && e.Subject.Sub == source {
			n++
		}
	}
	if r.Conflicts != nil {
		for _, c := range r.Conflicts.Records {
			if c.Tenant == tenant && c.Record.Source == source {
				n++
			}
		}
	}
	return n
}
