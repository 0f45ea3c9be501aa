package review

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/processor/detect"
)

// Format names the form of reports in JSON.
const Format = "custody/review/v1"

// Report is a review in a form to take away. It follows from what is stored and
// from nothing else: the same review with the same acts is the same bytes, in each
// of [Formats].
type Report struct {
	Format string `json:"format"`
	*Review
	// AsOf is when the last act in it was, or its creation.
	AsOf time.Time `json:"as_of"`
	// State is open or closed.
	State string `json:"state"`
	// IsUnwitnessed says that some checkpoint has no signature but the log's.
	IsUnwitnessed bool       `json:"unwitnessed"`
	Progress      []Progress `json:"progress"`
	// Frameworks are sections by control catalogue.
	Frameworks []Framework `json:"frameworks"`
	// NotProven is what the evidence does not prove.
	NotProven []string `json:"not_proven"`
}

// Framework is a control catalogue.
type Framework struct {
	Name     string    `json:"name"`
	Controls []Control `json:"controls"`
}

// Control is one of a framework, with what the review says of it.
type Control struct {
	ID string `json:"id"`
	// Aliases are what others call it.
	Aliases []string `json:"aliases"`
	Counts
	// LineKeys are the lines that are evidence for it, Gaps the places in the gaps of
	// the report, from 0, that are.
	LineKeys []string `json:"line_keys"`
	Gaps     []int    `json:"gaps"`
	// Assessed says that there is a line or a gap for it.
	Assessed bool `json:"assessed"`
}

// aliases are what articles call controls, by framework and id.
var aliases = map[string]map[string][]string{
	"OWASP Agentic 2026": {"ASI03": {"A3"}},
	"NIST AI RMF":        {"GOVERN 2.1": {"GOV-2"}},
}

// notProven is what a review does not prove, beside what no proof does.
var notProven = []string{
	"that what was revoked was taken away: a decision is an instruction, and Custody carries none out",
	"that who certified looked closely: it is proven who said what about which line, and when",
}

// NewReport makes the report of a review.
func NewReport(r *Review) *Report {
	out := &Report{Format: Format, Review: r, AsOf: r.Created, State: "open", IsUnwitnessed: r.Unwitnessed() || len(r.Checkpoints) == 0, Progress: r.Progress(), Frameworks: []Framework{},
		NotProven: slices.Concat(notProven, proof.NotProven)}
	for _, a := range r.Acts {
		if a.Time.After(out.AsOf) {
			out.AsOf = a.Time
		}
	}
	if r.Closed() != nil {
		out.State = "closed"
	}
	decided := r.Decided()
	for _, name := range slices.Sorted(maps.Keys(detect.Frameworks)) {
		f := Framework{Name: name, Controls: []Control{}}
		for _, id := range detect.Frameworks[name] {
			f.Controls = append(f.Controls, r.control(name, id, decided))
		}
		out.Frameworks = append(out.Frameworks, f)
	}
	return out
}

func (r *Review) control(framework, id string, decided map[string]*Act) Control {
	c := Control{ID: id, Aliases: aliases[framework][id], LineKeys: []string{}, Gaps: []int{}}
	if c.Aliases == nil {
		c.Aliases = []string{}
	}
	for _, l := range r.Lines {
		if slices.Contains(l.Controls[framework], id) {
			c.add(decided[l.Key])
			c.LineKeys = append(c.LineKeys, l.Key)
		}
	}
	for i, g := range r.Gaps {
		if slices.Contains(g.Controls[framework], id) {
			c.Gaps = append(c.Gaps, i)
		}
	}
	c.Assessed = len(c.LineKeys)+len(c.Gaps) > 0
	return c
}

// format is one form of a report.
type format struct {
	name, mediaType string
	write           func(*Report, io.Writer) error
}

var formats = []format{
	{"html", "text/html; charset=utf-8", (*Report).writeHTML},
	{"json", "application/json", (*Report).writeJSON},
	{"csv", "text/csv; charset=utf-8", (*Report).writeCSV},
	{"pdf", "application/pdf", (*Report).writePDF},
	{"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", (*Report).writeXLSX},
	{"oscal", "application/oscal+json", (*Report).writeOSCAL},
}

// Formats are the forms of a report.
func Formats() (names []string) {
	for _, f := range formats {
		names = append(names, f.name)
	}
	return names
}

// Write writes the report in one of [Formats].
func (r *Report) Write(w io.Writer, name string) error {
	for _, f := range formats {
		if f.name == name {
			return f.write(r, w)
		}
	}
	return fmt.Errorf("%w: format %q: want one of %v", ErrInvalid, name, Formats())
}

// MediaType of a format; empty for none.
func MediaType(name string) string {
	for _, f := range formats {
		if f.name == name {
			return f.mediaType
		}
	}
	return ""
}
