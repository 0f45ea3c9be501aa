package console

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/custody-audit/custody/evidence/query"
)

// calendar is a bar for each day of a time, in a drawing of its own.
type calendar struct {
	Width, Height int
	Days          []calendarDay
	Most, Median  uint64 // events of one day: of all, and of those with some
	Active        int    // days with events
}

type calendarDay struct {
	X, Y, H, BadY, BadH int
	Title               string
}

// Sizes of the drawing, and the most days that it has bars for.
const (
	dayWidth     = 10
	calendarHigh = 60
	maxCalendar  = 120
)

func newCalendar(days []*query.DayOf, back string, now time.Time) *calendar {
	n, err := strconv.Atoi(back)
	if err != nil || n < 1 {
		return nil
	}
	n = min(n, maxCalendar)
	c := &calendar{Width: n * dayWidth, Height: calendarHigh}
	by := map[string]*query.DayOf{}
	var counts []uint64
	for _, d := range days {
		by[d.Day.UTC().Format(time.DateOnly)] = d
		c.Most = max(c.Most, d.Events)
		counts = append(counts, d.Events)
	}
	c.Active, c.Median = len(counts), median(counts)
	for i := range n {
		day := now.UTC().AddDate(0, 0, i+1-n).Format(time.DateOnly)
		d := by[day]
		if d == nil || c.Most == 0 {
			continue
		}
		bar := calendarDay{X: i * dayWidth, H: max(2, int(calendarHigh*d.Events/c.Most)), BadH: int(calendarHigh * d.Denied / c.Most), Title: fmt.Sprintf("%s: %s events, %s refused", day, count(d.Events), count(d.Denied))}
		bar.Y, bar.BadY = calendarHigh-bar.H, calendarHigh-bar.BadH
		c.Days = append(c.Days, bar)
	}
	return c
}

// median of what has been counted; 0 of nothing.
func median(counts []uint64) uint64 {
	if len(counts) == 0 {
		return 0
	}
	slices.Sort(counts)
	return counts[len(counts)/2]
}
