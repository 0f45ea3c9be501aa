package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/custody-audit/custody/evidence/query"
)

// Period bounds the time of calls.
type Period struct {
	From time.Time `query:"from" doc:"Since then (RFC 3339); absent: a day before the end"`
	To   time.Time `query:"to" doc:"Before then; absent: now"`
}

// bounded has an end and a beginning: without, a question would be about all that
// is stored.
func (p Period) bounded(now time.Time) (from, to time.Time) {
	from, to = p.From, p.To
	if to.IsZero() {
		to = now
	}
	if from.IsZero() {
		from = to.Add(-24 * time.Hour)
	}
	return from, to
}

// CallFilter says which calls; what is absent does not narrow.
type CallFilter struct {
	Period
	Server  string   `query:"server" maxLength:"2048" doc:"Only calls at this server"`
	Tool    string   `query:"tool" maxLength:"2048" doc:"Only calls of this tool"`
	Actor   string   `query:"actor" maxLength:"2048" doc:"Only calls by this actor"`
	Subject string   `query:"subject" maxLength:"2048" doc:"Only calls on behalf of this subject"`
	Token   string   `query:"token" pattern:"^(sha256|hmac:[A-Za-z0-9._-]{1,64}):[A-Za-z0-9_-]{43}$" patternDescription:"a token reference" doc:"Only calls with the token of this reference"`
	Trace   string   `query:"trace" pattern:"^[0-9a-f]{32}$" patternDescription:"a trace id" doc:"Only calls of this trace"`
	Verdict []string `query:"verdict" maxItems:"20" doc:"Only calls with one of these verdicts, of each kind that is named"`
}

func (f *CallFilter) filter(now time.Time) (query.VerdictFilter, error) {
	for _, word := range f.Verdict {
		if !slices.Contains(query.VerdictWords(), word) {
			return query.VerdictFilter{}, invalid("query.verdict", "want some of "+strings.Join(query.VerdictWords(), ", "))
		}
	}
	from, to := f.bounded(now)
	return query.VerdictFilter{Server: f.Server, Tool: f.Tool, Actor: f.Actor, Subject: f.Subject, Token: f.Token, Trace: f.Trace, Verdicts: f.Verdict, From: from, To: to}, nil
}

type verdictsInput struct {
	Tenant
	CallFilter
	Limit int    `query:"limit" minimum:"1" maximum:"9999" default:"50" doc:"Most calls of one page"`
	After string `query:"after" format:"uuid" doc:"Continue behind this call: the field next of the page before"`
}

type verdictsAnswer struct {
	Verdicts []*query.Verdict `json:"verdicts" nullable:"false" doc:"Newest first"`
	Next     string           `json:"next,omitempty" doc:"For the parameter after; absent at the end"`
	Cut      []string         `json:"cut,omitempty" doc:"What is left out"`
}

type verdictInput struct {
	Tenant
	ID string `path:"id" format:"uuid" doc:"Event id of the call"`
}

type verdictAnswer struct {
	Verdict *query.Verdict `json:"verdict"`
}

type summaryInput struct {
	Tenant
	CallFilter
}

type coverageInput struct {
	Tenant
	Period
}

type coverageAnswer struct {
	Coverage []query.SourceCoverage `json:"coverage" nullable:"false" doc:"By kind of event and what it is about; hours count when they lie in part between from and to"`
}

func (s *Server) verdicts() {
	ask(s, operation{id: "list-verdicts", method: http.MethodGet, path: "/verdicts", needs: ReadVerdicts, tag: "verdicts",
		summary: "Calls as they are judged against the decisions, exchanges and issues that were seen, newest first"}, s.listVerdicts)
	ask(s, operation{id: "get-verdict", method: http.MethodGet, path: "/verdicts/{id}", needs: ReadVerdicts, tag: "verdicts",
		summary: "The verdict about one call"}, func(ctx context.Context, q *question, in *verdictInput) (*verdictAnswer, error) {
		page, err := q.reader.Verdicts(ctx, query.VerdictFilter{ID: strings.ToLower(in.ID)}, 1, "")
		if err == nil && len(page.Verdicts) == 0 {
			err = fmt.Errorf("verdict about %s: %w", in.ID, query.ErrNotFound)
		}
		if err != nil {
			return nil, err
		}
		q.rows = 1
		return &verdictAnswer{page.Verdicts[0]}, nil
	})
	ask(s, operation{id: "summarise-verdicts", method: http.MethodGet, path: "/verdicts/summary", needs: ReadVerdicts, tag: "verdicts",
		summary: "How many calls have which verdict, and who was heard of"},
		func(ctx context.Context, q *question, in *summaryInput) (*query.VerdictSummary, error) {
			f, err := in.filter(s.cfg.Now())
			if err != nil {
				return nil, err
			}
			out, err := q.reader.VerdictSummary(ctx, f)
			if err == nil {
				q.rows = len(out.Servers) + len(out.Coverage)
			}
			return out, err
		})
	ask(s, operation{id: "get-coverage", method: http.MethodGet, path: "/coverage", needs: ReadVerdicts, tag: "verdicts",
		summary: "Which sources were heard of, about which server or issuer: what a silence means"},
		func(ctx context.Context, q *question, in *coverageInput) (*coverageAnswer, error) {
			from, to := in.bounded(s.cfg.Now())
			out, err := q.reader.Coverage(ctx, from, to)
			q.rows = len(out)
			return &coverageAnswer{list(out)}, err
		})
}

func (s *Server) listVerdicts(ctx context.Context, q *question, in *verdictsInput) (*verdictsAnswer, error) {
	if err := s.limited(in.Limit); err != nil {
		return nil, err
	}
	f, err := in.filter(s.cfg.Now())
	if err != nil {
		return nil, err
	}
	page, err := q.reader.Verdicts(ctx, f, in.Limit, in.After)
	if err != nil {
		return nil, err
	}
	q.rows = len(page.Verdicts)
	if page.Next != "" {
		q.cut = []string{fmt.Sprintf("calls before the newest %d: ask for the next page", in.Limit)}
	}
	return &verdictsAnswer{list(page.Verdicts), page.Next, q.cut}, nil
}
