package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/event"
)

// whoami is what a caller is told about itself.
type whoami struct {
	Name        string        `json:"name"`
	Issuer      string        `json:"issuer"`
	By          string        `json:"by" enum:"key,token,session" doc:"How you are known"`
	Roles       []Role        `json:"roles" nullable:"false"`
	Permissions []Permission  `json:"permissions" nullable:"false"`
	Tenants     []string      `json:"tenants" nullable:"false" doc:"Whose evidence you may read; * is everybody's"`
	Limits      whoamisLimits `json:"limits"`
}

type whoamisLimits struct {
	Rows              int `json:"rows" doc:"Most rows of one answer"`
	ExportRows        int `json:"export_rows" doc:"Most events of one export"`
	TimeoutSeconds    int `json:"timeout_seconds" doc:"Of one question"`
	RequestsPerSecond int `json:"requests_per_second"`
	RequestsAtATime   int `json:"requests_at_a_time"`
}

func (s *Server) self() {
	op := operation{id: "whoami", method: http.MethodGet, path: "/whoami", needs: ReadOwn, tag: "self",
		summary: "Who you are, what you may ask, and your limits", description: "Reads no evidence, and is not recorded."}
	plain(s, op, func(ctx context.Context, _ *struct{}) (*whoami, error) {
		c, l := callerOf(ctx), s.cfg.Limits
		return &whoami{
			Name: c.Party.Sub, Issuer: c.Party.Iss, By: c.By, Roles: c.Roles, Permissions: permissions(c.Roles), Tenants: c.Tenants,
			Limits: whoamisLimits{l.Rows, l.ExportRows, int(l.Timeout.Seconds()), l.PerSecond, l.PerCaller},
		}, nil
	})
}

type searchInput struct {
	Tenant
	Filter string `query:"filter" maxLength:"2000" doc:"Terms that must all hold, as in: kind:tool_invocation actor:planner* outcome:denied last:24h. @NAME stands for a saved filter. Empty: all events" example:"kind:tool_invocation outcome:denied last:24h"`
	Limit  int    `query:"limit" minimum:"1" maximum:"9999" default:"50" doc:"Most events of one page; whoami tells how many you may ask for"`
	After  string `query:"after" format:"uuid" doc:"Continue behind this event: the field next of the page before"`
}

// searchAnswer is a page of events as "custody search --output json" has it.
type searchAnswer struct {
	Events []*event.Event `json:"events" nullable:"false" doc:"Newest first"`
	Facts  []query.Facts  `json:"facts" nullable:"false" doc:"What was known of each event when it was stored, in the same order"`
	Next   string         `json:"next,omitempty" doc:"For the parameter after; absent at the end"`
	Cut    []string       `json:"cut,omitempty" doc:"What is left out"`
}

type eventInput struct {
	Tenant
	ID string `path:"id" format:"uuid" doc:"Id of the event"`
}

type histogramInput struct {
	Tenant
	Filter string `query:"filter" maxLength:"2000" doc:"As in a search"`
	Bars   int    `query:"bars" minimum:"1" maximum:"500" default:"80" doc:"Most bars"`
}

type histogramAnswer struct {
	Tenant string `json:"tenant" doc:"Whose events; empty: those of all that you may see"`
	*query.Histogram
}

func (s *Server) events() {
	ask(s, operation{id: "search-events", method: http.MethodGet, path: "/events", needs: ReadEvents, tag: "events",
		summary: "Find events, newest first"}, s.search)
	ask(s, operation{id: "get-event", method: http.MethodGet, path: "/events/{id}", needs: ReadEvents, tag: "events",
		summary: "One event, the exact bytes of it, where it lies in the log, and the first checkpoint over it"}, func(ctx context.Context, q *question, in *eventInput) (*query.Stored, error) {
		stored, err := q.reader.Stored(ctx, strings.ToLower(in.ID))
		if err == nil {
			q.rows = 1
		}
		return stored, err
	})
	ask(s, operation{id: "count-events", method: http.MethodGet, path: "/histogram", needs: ReadEvents, tag: "events",
		summary: "How many events there are over time"}, func(ctx context.Context, q *question, in *histogramInput) (*histogramAnswer, error) {
		f, err := s.filter(q, "query.filter", in.Filter)
		if err != nil {
			return nil, err
		}
		h, err := q.reader.Histogram(ctx, f, in.Bars, s.cfg.Now())
		if err != nil {
			return nil, err
		}
		q.rows = len(h.Bars)
		return &histogramAnswer{q.tenant, h}, nil
	})
}

func (s *Server) search(ctx context.Context, q *question, in *searchInput) (*searchAnswer, error) {
	if err := s.limited(in.Limit); err != nil {
		return nil, err
	}
	f, err := s.filter(q, "query.filter", in.Filter)
	if err != nil {
		return nil, err
	}
	page, err := q.reader.Search(ctx, f, in.Limit, in.After)
	if err != nil {
		return nil, err
	}
	q.rows = len(page.Events)
	out := &searchAnswer{Events: list(page.Events), Facts: list(page.Facts), Next: page.Next}
	if page.Next != "" {
		q.cut = []string{fmt.Sprintf("events after the first %d: ask for the next page", in.Limit)}
	}
	out.Cut = q.cut
	return out, nil
}

// limited refuses to answer more rows than one may ask for.
func (s *Server) limited(rows int) error {
	if rows > s.cfg.Limits.Rows {
		return invalid("query.limit", fmt.Sprintf("want at most %d", s.cfg.Limits.Rows))
	}
	return nil
}

// list is never null in JSON.
func list[T any](values []T) []T { return append([]T{}, values...) }
