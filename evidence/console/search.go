package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/event"
)

// searchView is a page of events.
type searchView struct {
	Filter   string
	After    string
	Columns  []string
	Choices  []choice // of columns
	Fields   []field  // of filters
	Saved    []query.Saved
	Bars     string // link to the page of how many there are over time, which takes longer than these rows
	Rows     []eventRow
	Others   string // link to the same without what Custody recorded of itself, where some of the rows are that
	Next     string // link to the page behind; empty at the end
	Export   []searchExport
	Cut      []string
	Problem  *trouble // with the filter; then there is no answer
	Examples []string
}

type choice struct {
	Name   string
	Chosen bool
}

// field is a name that a filter may use, with the values it can only have.
type field struct{ Name, Values string }

type eventRow struct {
	ID      string
	Outcome event.Outcome
	Cells   []cell
}

type exportLink struct{ Name, To string }

// searchExport takes away what passes the filter.
type searchExport struct {
	exportLink
	Format string
	File   string // that it is kept in
	Most   int    // events of it; 0: the link says nothing of that
}

const searchRows = 50

// fieldValues are those of fields that have few.
var fieldValues = map[string]string{
	"kind":           "token_exchange tool_invocation permission_decision credential grant session",
	"outcome":        "success failure denied error",
	"last":           "15m 1h 24h 7d 30d",
	"decision":       "allow deny error not_applicable",
	"token.verified": "verified unverified absent",
	"subject.type":   "human agent workload server service unknown",
	"actor.type":     "human agent workload server service unknown",
}

// examples are what an empty search offers.
var examples = []string{"kind:tool_invocation outcome:denied last:24h", "kind:token_exchange last:7d", "-outcome:success last:24h"}

func search(q *request) (*view, error) {
	values := q.URL.Query()
	s := &searchView{Filter: values.Get("filter"), After: values.Get("after"), Columns: chosenColumns(values["column"]), Examples: examples}
	for _, c := range columns {
		s.Choices = append(s.Choices, choice{c.name, slices.Contains(s.Columns, c.name)})
	}
	for _, name := range query.Fields() {
		s.Fields = append(s.Fields, field{name, fieldValues[name]})
	}
	if err := s.ask(q); err != nil {
		if status(err) != http.StatusUnprocessableEntity {
			return nil, err
		}
		s.Problem = troubleOf(err)
	}
	s.links(q)
	return &view{name: "search", title: "Search", scripts: []string{"search.js"}, data: s}, nil
}

// ask gets events and the saved filters.
func (s *searchView) ask(q *request) error {
	if q.who.May(string(api.ReadQueries)) {
		var saved struct{ Queries []query.Saved }
		if err := q.get("/queries", &saved); err != nil && status(err) != http.StatusNotFound { // none are kept
			return err
		}
		s.Saved = saved.Queries
	}
	var page struct {
		Events []*event.Event
		Facts  []query.Facts
		Next   string
		Cut    []string
	}
	if err := q.get("/events", &page, "filter", s.Filter, "after", s.After, "limit", strconv.Itoa(min(searchRows, q.who.Limits.Rows))); err != nil {
		return err
	}
	for i, e := range page.Events {
		row := eventRow{ID: e.ID, Outcome: e.Outcome}
		if e.Source.ID == api.Source {
			s.Others = s.address(q, "/search", "filter", strings.TrimSpace(s.Filter+" -source:"+api.Source))
		}
		for _, name := range s.Columns {
			row.Cells = append(row.Cells, columnNamed(name).cell(e, &page.Facts[i]))
		}
		s.Rows = append(s.Rows, row)
	}
	if s.Next = page.Next; s.Next == "" {
		s.Cut = page.Cut
	}
	return nil
}

// address is this search at path, with one thing of it changed.
func (s *searchView) address(q *request, path, name, value string) string {
	v := url.Values{"filter": {s.Filter}}
	if !slices.Equal(s.Columns, standardColumns) {
		v["column"] = s.Columns
	}
	if q.tenant != "" {
		v.Set("tenant", q.tenant)
	}
	v.Set(name, value)
	return path + "?" + v.Encode()
}

// links are to the same search in other ways.
func (s *searchView) links(q *request) {
	if s.Next != "" {
		s.Next = s.address(q, "/search", "after", s.Next)
	}
	if s.After == "" && len(s.Rows) > 0 { // the histogram is that of the first page
		s.Bars = s.address(q, "/search/bars", "filter", s.Filter)
	}
	if q.who.May(string(api.Export)) && s.Problem == nil {
		for _, f := range []struct{ format, ending string }{{"ndjson", "ndjson"}, {"csv", "csv"}, {"parquet", "parquet"}, {"ocsf", "ocsf.ndjson"}} {
			to := link(q.tenant, api.Prefix+"/export", "filter", s.Filter, "format", f.format)
			s.Export = append(s.Export, searchExport{exportLink{strings.ToUpper(f.format), to}, f.format, "custody-events." + f.ending, q.who.Limits.ExportRows})
		}
		s.Export = append(s.Export, searchExport{exportLink{"proof bundle", link(q.tenant, api.Prefix+"/proof", "filter", s.Filter)}, "proof", "custody-proof.zip", 0})
	}
}

// barsView is how many events of a search there are over time.
type barsView struct {
	*bars
	Filter string
	Back   string // to the search
}

func searchBars(q *request) (*view, error) {
	values := q.URL.Query()
	s := &searchView{Filter: values.Get("filter"), Columns: chosenColumns(values["column"])}
	var h query.Histogram
	if err := q.get("/histogram", &h, "filter", s.Filter); err != nil {
		return nil, err
	}
	v := &barsView{newBars(&h), s.Filter, s.address(q, "/search", "filter", s.Filter)}
	for i := range v.Bars {
		b := &v.Bars[i]
		b.To = s.address(q, "/search", "filter", withoutTime(s.Filter)+" after:"+b.from+" before:"+b.until)
	}
	return &view{name: "bars", title: "Events over time", data: v}, nil
}

// withoutTime takes the terms away that bound the time.
func withoutTime(filter string) string {
	var rest []string
	for _, term := range strings.Fields(filter) {
		if !slices.ContainsFunc([]string{"last:", "after:", "before:"}, func(p string) bool { return strings.HasPrefix(term, p) }) {
			rest = append(rest, term)
		}
	}
	return strings.Join(rest, " ")
}

// saveSearch keeps a filter under a name, or takes one away.
func saveSearch(q *request) (*view, error) {
	name := q.PostFormValue("name")
	path := "/queries/" + url.PathEscape(name)
	filter := q.PostFormValue("filter")
	if q.PostFormValue("remove") != "" {
		if err := q.do(http.MethodDelete, path, nil, nil, nil); err != nil {
			return nil, err
		}
		return &view{to: link(q.tenant, "/search", "filter", filter, "done", "query-removed")}, nil
	}
	body := map[string]string{"filter": filter, "description": q.PostFormValue("description")}
	if err := q.do(http.MethodPut, path, nil, body, nil); err != nil {
		return nil, err
	}
	return &view{to: link(q.tenant, "/search", "filter", "@"+name, "done", "query-saved")}, nil
}
