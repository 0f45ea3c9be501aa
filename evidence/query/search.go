package query

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// MaxPage bounds one page of a search.
const MaxPage = 10_000

// Page is one page of events, newest first.
type Page struct {
	Events []*event.Event `json:"events"`
	// Next continues behind the last event; empty at the end.
	Next string `json:"next,omitempty"`
}

// Search returns up to limit events that pass the filter, newest first, after
// the place that an earlier page named.
func (r *Reader) Search(ctx context.Context, f *Filter, limit int, after string) (*Page, error) {
	if limit < 1 || limit > MaxPage {
		return nil, fmt.Errorf("limit %d: want 1 to %d", limit, MaxPage)
	}
	where, values := append([]string{tenant}, f.where...), maps.Clone(f.values)
	if after != "" {
		at, err := event.IDTime(after)
		if err != nil {
			return nil, fmt.Errorf("page %w", err)
		}
		// The id begins with the time in milliseconds, so the pair is a total order.
		where = append(where, "(toUnixTimestamp64Milli(time), id) < (toInt64({after_ms:String}), toUUID({after:String}))")
		values["after"], values["after_ms"] = after, fmt.Sprint(int64(at)/1000)
	}
	values["limit"] = fmt.Sprint(limit)
	events, err := r.events(ctx, "SELECT raw FROM events WHERE "+strings.Join(where, " AND ")+
		" ORDER BY toUnixTimestamp64Milli(time) DESC, id DESC LIMIT {limit:UInt32}", values)
	if err != nil {
		return nil, err
	}
	page := &Page{Events: events}
	if len(events) == limit {
		page.Next = events[limit-1].ID
	}
	return page, nil
}
