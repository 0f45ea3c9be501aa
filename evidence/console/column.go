package console

import (
	"cmp"
	"html/template"
	"slices"
	"strings"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/event"
)

// column is what a table of events may show.
type column struct {
	name string
	// value is what it shows of an event.
	value func(*event.Event, *query.Facts) any
}

// cell is one value in a row.
type cell struct {
	Name string
	HTML template.HTML
}

// columns are all of them, in the order in which they stand.
var columns = []column{
	{"time", func(e *event.Event, _ *query.Facts) any { return e.Time }},
	{"tenant", func(e *event.Event, _ *query.Facts) any { return e.Tenant }},
	{"kind", func(e *event.Event, _ *query.Facts) any { return strings.ReplaceAll(string(e.Kind), "_", " ") }},
	{"type", func(e *event.Event, _ *query.Facts) any { return e.Type }},
	{"outcome", func(e *event.Event, _ *query.Facts) any { return e.Outcome }},
	{"actor", func(e *event.Event, _ *query.Facts) any { return cmp.Or(e.Actor.Sub, e.Actor.Name) }},
	{"on behalf of", func(e *event.Event, _ *query.Facts) any { return cmp.Or(e.Subject.Sub, e.Subject.Name) }},
	{"owner", func(_ *event.Event, f *query.Facts) any { return cmp.Or(f.ActorOwner, f.SubjectOwner) }},
	{"server", func(e *event.Event, _ *query.Facts) any { return cmp.Or(e.Server.ID, e.Server.Name) }},
	{"tool", func(e *event.Event, _ *query.Facts) any { return e.Tool.Name }},
	{"sensitivity", func(_ *event.Event, f *query.Facts) any { return f.Sensitivity }},
	{"decision", func(e *event.Event, _ *query.Facts) any { return e.Decision.Effect }},
	{"policy", func(e *event.Event, _ *query.Facts) any { return e.Decision.Policy }},
	{"token", func(e *event.Event, _ *query.Facts) any {
		return reference(cmp.Or(e.Token.Ref, e.Exchange.IssuedTokenRef))
	}},
	{"scope", func(e *event.Event, _ *query.Facts) any {
		return strings.Join(slices.Concat(e.Token.Scope, e.Exchange.GrantedScope), " ")
	}},
	{"audience", func(e *event.Event, _ *query.Facts) any { return strings.Join(e.Token.Audience, " ") }},
	{"source", func(e *event.Event, _ *query.Facts) any { return e.Source.ID }},
	{"client", func(e *event.Event, _ *query.Facts) any { return cmp.Or(e.Client.ID, e.Client.Name) }},
	{"task", func(e *event.Event, _ *query.Facts) any { return reference(e.Correlation.TaskID) }},
	{"trace", func(e *event.Event, _ *query.Facts) any { return reference(e.Correlation.TraceID) }},
	{"id", func(e *event.Event, _ *query.Facts) any { return reference(e.ID) }},
}

// reference is a text whose end does not matter to people.
type reference string

var standardColumns = []string{"time", "kind", "outcome", "actor", "on behalf of", "server", "tool", "decision", "source"}

func columnNamed(name string) *column {
	i := slices.IndexFunc(columns, func(c column) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return &columns[i]
}

// chosenColumns are those that were asked for, in the table's order.
func chosenColumns(asked []string) []string {
	var out []string
	for _, c := range columns {
		if slices.Contains(asked, c.name) {
			out = append(out, c.name)
		}
	}
	if len(out) == 0 {
		return standardColumns
	}
	return out
}

func (c *column) cell(e *event.Event, f *query.Facts) cell {
	var html template.HTML
	switch v := c.value(e, f).(type) {
	case event.Time:
		html = when(v)
	case reference:
		html = short(string(v))
	case event.Outcome:
		html = tagged(string(v))
	case event.Effect:
		html = tagged(string(v))
	default:
		html = show(v)
	}
	return cell{c.name, html}
}

// tagged shows one of a few words. Others are shown as text.
func tagged(word string) template.HTML {
	if !slices.Contains([]string{"success", "failure", "denied", "error", "allow", "deny", "not_applicable"}, word) {
		return show(word)
	}
	return template.HTML(`<span class="tag ` + word + `">` + strings.ReplaceAll(word, "_", " ") + `</span>`)
}
