package review

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"time"
)

//go:embed report.html
var page string

// The page fetches nothing and runs nothing: it says so to the browser too.
var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"stamp": stamp, "short": func(s string) string { return fmt.Sprintf("%.12s", s) },
	"add": func(a, b int) int { return a + b },
}).Parse(page))

// view is what the page shows.
type view struct {
	*Report
	Decided map[string]*Act
	ByKey   map[string]*Line
	Charts  []chart
	Ended   *Act
}

// chart is one of bars, drawn as SVG. Lengths are in pixels.
type chart struct {
	Title         string
	Width, Height int
	Bars          []bar
	Legend        []part
}

type bar struct {
	Label string
	Y     int
	Total uint64
	Parts []part
}

type part struct {
	Name, Class string
	X, Width    int
	N           uint64
}

const (
	barLeft   = 230
	barLength = 480
	barStep   = 26
	mostBars  = 30
)

// newChart draws rows of counts to one scale; words name the parts of a row.
func newChart(title string, labels []string, words []string, counts func(row, word int) uint64) chart {
	c := chart{Title: title, Width: barLeft + barLength + 70}
	for i, w := range words {
		c.Legend = append(c.Legend, part{Name: w, Class: "c" + fmt.Sprint(i), X: barLeft + i*110})
	}
	if len(labels) > mostBars {
		c.Title += fmt.Sprintf(" (the first %d of %d)", mostBars, len(labels))
		labels = labels[:mostBars]
	}
	var most uint64 = 1
	for row := range labels {
		var n uint64
		for i := range words {
			n += counts(row, i)
		}
		most = max(most, n)
	}
	for row, label := range labels {
		b := bar{Label: label, Y: 34 + row*barStep}
		x := uint64(0) // in counts
		for i, w := range words {
			n := counts(row, i)
			if n > 0 {
				from, to := int(x*barLength/most), int((x+n)*barLength/most)
				b.Parts = append(b.Parts, part{w, "c" + fmt.Sprint(i), barLeft + from, max(to-from, 1), n})
			}
			x += n
		}
		b.Total = x
		c.Bars = append(c.Bars, b)
	}
	c.Height = 40 + len(c.Bars)*barStep
	return c
}

// charts are the pictures of a report.
func (r *Report) charts() []chart {
	var owners []string
	for _, p := range r.Progress {
		owner := p.Owner
		if owner == "" {
			owner = "(no owner)"
		}
		owners = append(owners, owner)
	}
	states := map[string]uint64{}
	for _, l := range r.Lines {
		states[l.Kind+": "+l.State]++
	}
	kinds := slices.Sorted(maps.Keys(states))
	verdicts := slices.Sorted(maps.Keys(r.Calls.Decision))
	return []chart{
		newChart("Lines by owner and decision", owners, []string{"open", "certified", "excepted", "revoked"}, func(row, word int) uint64 {
			p := r.Progress[row]
			return []uint64{p.Open, p.Certified, p.Excepted, p.Revoked}[word]
		}),
		newChart("Lines by kind and state", kinds, []string{"lines"}, func(row, _ int) uint64 { return states[kinds[row]] }),
		newChart("Calls of the period by verdict on their decision", verdicts, []string{"calls"}, func(row, _ int) uint64 { return r.Calls.Decision[verdicts[row]] }),
	}
}

func (r *Report) writeHTML(w io.Writer) error {
	v := view{Report: r, Decided: r.Decided(), ByKey: map[string]*Line{}, Charts: r.charts(), Ended: r.Closed()}
	for _, l := range r.Lines {
		v.ByKey[l.Key] = l
	}
	return pageTemplate.Execute(w, v)
}

// Hours of the period, for the page.
func (s Scope) Hours() int { return int(s.To.Sub(s.From) / time.Hour) }
