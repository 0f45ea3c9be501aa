package console

import (
	"fmt"
	"time"

	"github.com/custody-audit/custody/evidence/query"
)

// bars are a histogram as it is drawn: in a box of 1000 by 100.
type bars struct {
	*query.Histogram
	Bars []bar
	Most uint64 // of one bar
	Each string // the width of a bar in words
}

type bar struct {
	X, Width    string
	Y, Height   string
	BadY, BadOf string // where the bad ones begin, and how high they are
	Title       string
	To          string // a search for its time
	from, until string
}

const (
	barsWidth  = 1000.0
	barsHeight = 100.0
)

func newBars(h *query.Histogram) *bars {
	b := &bars{Histogram: h}
	for _, x := range h.Bars {
		b.Most = max(b.Most, x.Events)
	}
	if b.Most == 0 {
		return b
	}
	step := time.Duration(h.Step) * time.Second
	b.Each = words(step)
	width := barsWidth * float64(step) / float64(max(h.To.Sub(h.From), step))
	number := func(x float64) string { return fmt.Sprintf("%.2f", x) }
	for _, x := range h.Bars {
		left := barsWidth * float64(x.Time.Sub(h.From)) / float64(max(h.To.Sub(h.From), step))
		height := max(barsHeight*float64(x.Events)/float64(b.Most), 1.5)
		bad := 0.0
		if x.Bad > 0 {
			bad = max(height*float64(x.Bad)/float64(x.Events), 1.5)
		}
		b.Bars = append(b.Bars, bar{
			X: number(left), Width: number(max(width*0.86, 0.8)), Y: number(barsHeight - height), Height: number(height), BadY: number(barsHeight - bad), BadOf: number(bad),
			Title: fmt.Sprintf("%s UTC, %s: %s events, %s of them without success", x.Time.Format("2006-01-02 15:04:05"), b.Each, count(x.Events), count(x.Bad)),
			from:  x.Time.Format(time.RFC3339), until: x.Time.Add(step).Format(time.RFC3339),
		})
	}
	return b
}

// words are a duration of whole units.
func words(d time.Duration) string {
	for _, u := range []struct {
		size time.Duration
		name string
	}{{7 * 24 * time.Hour, "week"}, {24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if d >= u.size && d%u.size == 0 {
			return plural(int(d/u.size), u.name)
		}
	}
	return plural(int(d/time.Second), "second")
}
