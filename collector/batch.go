package collector

import (
	"context"
	"errors"

	"github.com/custody-audit/custody/schemas/event"
)

// Item is one record of a batch as its parser read it: an event, or why it is none.
type Item struct {
	Event    *event.Event
	Problems event.Problems
}

// NewItem wraps what a parser returned for one record.
func NewItem(e *event.Event, err error) Item {
	if err != nil {
		return Item{Problems: asProblems(err)}
	}
	return Item{Event: e}
}

// Result is the answer to a batch.
type Result struct {
	// Accepted is the number of events that are durable.
	Accepted int `json:"accepted"`
	// Rejected are the others, by their index in the batch as sent.
	Rejected []Rejection `json:"rejected"`
}

// AcceptBatch hands to intake what could be read and counts indexes as the source does.
func AcceptBatch(ctx context.Context, intake Intake, src *Source, sourceType string, items []Item) (*Result, error) {
	result := &Result{Rejected: []Rejection{}}
	var events []*event.Event
	var index []int
	for i, item := range items {
		if item.Event == nil {
			result.Rejected = append(result.Rejected, Rejection{i, item.Problems})
			continue
		}
		events, index = append(events, item.Event), append(index, i)
	}
	rejected, err := intake.Accept(ctx, src, sourceType, events)
	if err != nil {
		return nil, err
	}
	for _, r := range rejected {
		result.Rejected = append(result.Rejected, Rejection{index[r.Index], r.Problems})
	}
	result.Accepted = len(items) - len(result.Rejected)
	return result, nil
}

func asProblems(err error) event.Problems {
	var p event.Problems
	if errors.As(err, &p) {
		return p
	}
	return event.Problems{{Reason: err.Error()}}
}
