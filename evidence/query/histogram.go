package query

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Histogram is how many events there are over time.
type Histogram struct {
	From  time.Time `json:"from"`  // begin of the first bar
	To    time.Time `json:"to"`    // end of the last
	Step  int64     `json:"step"`  // of a bar, in seconds
	Total uint64    `json:"total"` // events in all bars
	// Bars are those with events, the oldest first.
	Bars []Bar `json:"bars"`
}

// Bar is a step of a histogram.
type Bar struct {
	Time   time.Time `json:"time"` // its begin
	Events uint64    `json:"events"`
	Bad    uint64    `json:"bad"` // of them, those with an outcome other than success
}

// steps are the widths of bars, in seconds: those that people count in.
var steps = []int64{1, 5, 10, 30, 60, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 7 * 86400, 28 * 86400}

// Histogram counts the events that pass the filter, in at most bars bars of one width
// (one more where the ends cut bars). It covers the time that the filter bounds; an
// end that it leaves open is that of the events.
func (r *Reader) Histogram(ctx context.Context, f *Filter, bars int, now time.Time) (*Histogram, error) {
	from, to, err := r.span(ctx, f, now)
	if err != nil || from.IsZero() {
		return &Histogram{Bars: []Bar{}}, err
	}
	h := &Histogram{Step: steps[len(steps)-1], Bars: []Bar{}}
	for _, s := range steps {
		if to.Sub(from) <= time.Duration(s)*time.Second*time.Duration(bars) {
			h.Step = s
			break
		}
	}
	step := time.Duration(h.Step) * time.Second
	h.From = time.Unix(from.Unix()/h.Step*h.Step, 0).UTC()
	for h.To = h.From.Add(step); h.To.Before(to); {
		h.To = h.To.Add(step)
	}
	p := maps.Clone(f.values)
	p["step"] = strconv.FormatInt(h.Step, 10)
	err = r.rows(ctx, "SELECT intDiv(toUnixTimestamp64Second(time), {step:Int64}) * {step:Int64} AS bar, count(), countIf(outcome NOT IN ('success', '')) FROM events WHERE "+
		f.narrowed()+" GROUP BY bar ORDER BY bar LIMIT 10000", p, func(rows driver.Rows) error {
		var at int64
		var b Bar
		if err := rows.Scan(&at, &b.Events, &b.Bad); err != nil {
			return err
		}
		b.Time = time.Unix(at, 0).UTC()
		h.Total += b.Events
		h.Bars = append(h.Bars, b)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("histogram: %w", err)
	}
	return h, nil
}

// span is the time that a filter bounds, or from the first event that passes to the
// last; zero when there is none.
func (r *Reader) span(ctx context.Context, f *Filter, now time.Time) (from, to time.Time, err error) {
	from, to = f.from, f.to
	if !from.IsZero() && to.IsZero() {
		to = now
	}
	if !from.IsZero() && from.Before(to) {
		return from, to, nil
	}
	var n uint64
	var first, last time.Time
	err = r.rows(ctx, "SELECT count(), min(time), max(time) FROM events WHERE "+f.narrowed(), maps.Clone(f.values), func(rows driver.Rows) error {
		return rows.Scan(&n, &first, &last)
	})
	if err != nil || n == 0 {
		return time.Time{}, time.Time{}, err
	}
	return first, last.Add(time.Microsecond), nil
}
