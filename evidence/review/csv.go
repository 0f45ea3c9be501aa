package review

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/custody-audit/custody/evidence/export"
)

func (r *Report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// lineColumns are those of the lines where a report is a table.
var lineColumns = []string{"line", "owner", "kind", "identity", "iss", "server", "name", "state", "severity", "summary", "suggested", "not_assessed",
	"decision", "decided_by", "decided_time", "until", "reason", "decision_event", "facts", "controls", "evidence", "findings"}

// row is a line as lineColumns want it. Names are an attacker's to choose, so none
// is left that a spreadsheet would take for a formula.
func (r *Report) row(l *Line, a *Act) []string {
	decision := "open"
	var by, at, until, reason, sealed string
	if a != nil {
		decision, by, at, reason, sealed = a.Action, a.ActorSub, stamp(a.Time), a.Reason, a.EventID.String()
		if !a.Until.IsZero() {
			until = stamp(a.Until)
		}
	}
	var facts, controls []string
	for _, f := range l.Facts {
		facts = append(facts, f.Name+": "+f.Value)
	}
	for _, f := range r.Frameworks {
		for _, id := range l.Controls[f.Name] {
			controls = append(controls, f.Name+" "+id)
		}
	}
	return harmless(l.Key, l.Owner, l.Kind, l.Identity, l.Iss, l.Server, l.Name, l.State, l.Severity, l.Summary, l.Suggest, l.NotAssessed,
		decision, by, at, until, reason, sealed, strings.Join(facts, "; "), strings.Join(controls, "; "), strings.Join(l.Evidence, " "), strings.Join(l.Findings, " "))
}

func harmless(cells ...string) []string {
	out := slices.Clone(cells)
	for i := range out {
		out[i] = export.Harmless(out[i])
	}
	return out
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// writeCSV writes the lines, RFC 4180.
func (r *Report) writeCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	if err := c.Write(lineColumns); err != nil {
		return err
	}
	decided := r.Decided()
	for _, l := range r.Lines {
		if err := c.Write(r.row(l, decided[l.Key])); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}
