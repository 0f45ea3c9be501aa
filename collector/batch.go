package collector

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/custody-audit/custody/schemas/event"
)

// Parse turns one record of a source's own format into the events that it
// states: none when it states no identity fact, several when it states several.
// An error says that the record is malformed, best as [event.Problems]. It is a
// plain function: it may be called concurrently, keeps nothing of record, and
// gives the same events for the same bytes. Where the source numbers its records
// it sets source.event_id, distinct among the events of one record; it never
// sets tenant or source.id, and never puts a token or secret where redaction
// would not see it as text.
type Parse func(record []byte) ([]*event.Event, error)

// Item is one record of a batch as its parser read it: its events, or why it is malformed.
type Item struct {
	Events   []*event.Event
	Problems event.Problems
}

// NewItem wraps what a parser returned for one record.
func NewItem(events []*event.Event, err error) Item {
	if err != nil {
		return Item{Problems: asProblems(err)}
	}
	return Item{Events: events}
}

// Warn notes in the events that secrets of these forms were taken out of their record.
func (i Item) Warn(forms []string) Item {
	for _, e := range i.Events {
		for _, form := range forms {
			e.Warnings = append(e.Warnings, "secret replaced: "+form+" in the source's record")
		}
	}
	return i
}

// ParseAll parses the records of a batch, each for itself.
func ParseAll(parse Parse, records [][]byte) []Item {
	items := make([]Item, len(records))
	for i, record := range records {
		items[i] = NewItem(parse(record))
	}
	return items
}

// TakeRecords parses the records of a foreign format and hands their events to
// intake. Secrets of known forms are taken out of a record before it is parsed:
// a parser may split a text, and its errors may quote one.
func TakeRecords(ctx context.Context, intake Intake, src *Source, sourceType string, parse Parse, records [][]byte) (*Result, error) {
	return AcceptBatch(ctx, intake, src, sourceType, parseRecords(intake, src, parse, records))
}

func parseRecords(intake Intake, src *Source, parse Parse, records [][]byte) []Item {
	items := make([]Item, len(records))
	for i, record := range records {
		clean, found := intake.Clean(src, record)
		items[i] = NewItem(parse(clean)).Warn(found)
	}
	return items
}

// One makes a parser's answer of a single event.
func One(e *event.Event, err error) ([]*event.Event, error) {
	if err != nil {
		return nil, err
	}
	return []*event.Event{e}, nil
}

// Result is the answer to a batch.
type Result struct {
	// Accepted is the number of records whose events are durable.
	Accepted int `json:"accepted"`
	// Ignored is the number of records that state no identity fact.
	Ignored int `json:"ignored,omitempty"`
	// Rejected are the others, by their index in the batch as sent. One of several
	// events of a record may be rejected while the rest is durable.
	Rejected []Rejection `json:"rejected"`
}

// Status is the HTTP status of the answer: 403 when the source claimed to be
// somebody else, 400 when nothing was taken, else 200.
func (r *Result) Status() int {
	switch {
	case slices.ContainsFunc(r.Rejected, func(rej Rejection) bool { return rej.Claim }):
		return http.StatusForbidden
	case r.Accepted+r.Ignored == 0 && len(r.Rejected) > 0:
		return http.StatusBadRequest
	}
	return http.StatusOK
}

// AcceptBatch hands to intake what could be read and counts indexes as the source does.
func AcceptBatch(ctx context.Context, intake Intake, src *Source, sourceType string, items []Item) (*Result, error) {
	result := &Result{Rejected: []Rejection{}}
	var events []*event.Event
	var index []int // of each event, its record
	for i, item := range items {
		switch {
		case len(item.Problems) > 0:
			result.Rejected = append(result.Rejected, Rejection{Index: i, Problems: item.Problems})
		case len(item.Events) == 0:
			result.Ignored++
		}
		for _, e := range item.Events {
			events, index = append(events, e), append(index, i)
		}
	}
	intake.Rejected(ctx, src, ReasonMalformed, len(result.Rejected))
	rejected, err := intake.Accept(ctx, src, sourceType, events)
	if err != nil {
		return nil, err
	}
	for _, r := range rejected {
		i := index[r.Index]
		if last := len(result.Rejected) - 1; last >= 0 && result.Rejected[last].Index == i {
			result.Rejected[last].Problems = append(result.Rejected[last].Problems, r.Problems...)
			result.Rejected[last].Claim = result.Rejected[last].Claim || r.Claim
			continue
		}
		result.Rejected = append(result.Rejected, Rejection{i, r.Problems, r.Claim})
	}
	slices.SortFunc(result.Rejected, func(a, b Rejection) int { return a.Index - b.Index })
	result.Accepted = len(items) - len(result.Rejected) - result.Ignored
	for _, r := range result.Rejected {
		for i := range r.Problems {
			clean(intake, src, &r.Problems[i])
		}
	}
	return result, nil
}

// clean keeps a secret out of a reason that quotes what was sent.
func clean(intake Intake, src *Source, p *event.Problem) {
	field, _ := intake.Clean(src, []byte(p.Field))
	reason, _ := intake.Clean(src, []byte(p.Reason))
	p.Field, p.Reason = string(field), string(reason)
}

func asProblems(err error) event.Problems {
	var p event.Problems
	if errors.As(err, &p) {
		return p
	}
	return event.Problems{{Reason: err.Error()}}
}
