package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/enrich"
)

type findingsInput struct {
	Tenant
	Rule     string `query:"rule" pattern:"^[a-z0-9_]{0,100}$" patternDescription:"the id of a rule" doc:"Only of this rule"`
	Status   string `query:"status" enum:"open,auto_resolved,all" default:"open"`
	Severity string `query:"severity" enum:"info,low,medium,high,critical" doc:"At least this severe"`
	Limit    int    `query:"limit" minimum:"1" maximum:"9999" default:"100" doc:"Most findings"`
}

type findingsAnswer struct {
	Findings []*detect.Finding `json:"findings" nullable:"false" doc:"The severest and then the newest first"`
	Cut      []string          `json:"cut,omitempty" doc:"What is left out"`
}

type findingInput struct {
	Tenant
	Key string `path:"key" pattern:"^[0-9a-f]{1,64}$" patternDescription:"hexadecimal digits" doc:"Key of the finding; the first digits suffice"`
}

type findingAnswer struct {
	Finding *detect.Finding `json:"finding"`
}

func (s *Server) findings() {
	ask(s, operation{id: "list-findings", method: http.MethodGet, path: "/findings", needs: ReadFindings, tag: "findings",
		summary: "What the detections found"}, s.listFindings)
	ask(s, operation{id: "get-finding", method: http.MethodGet, path: "/findings/{key}", needs: ReadFindings, tag: "findings",
		summary: "One finding"}, func(ctx context.Context, q *question, in *findingInput) (*findingAnswer, error) {
		f, err := detect.Find(ctx, q.conn, q.tenant, in.Key)
		if errors.Is(err, detect.ErrSeveral) {
			return nil, invalid("path.key", detect.ErrSeveral.Error())
		}
		if err != nil {
			return nil, err
		}
		q.rows = 1
		return &findingAnswer{f}, nil
	})
}

func (s *Server) listFindings(ctx context.Context, q *question, in *findingsInput) (*findingsAnswer, error) {
	if err := s.limited(in.Limit); err != nil {
		return nil, err
	}
	f := detect.Filter{Tenant: q.tenant, Rule: in.Rule, Status: in.Status, AtLeast: detect.Severity(in.Severity), Limit: in.Limit + 1}
	if in.Status == "all" {
		f.Status = ""
	}
	found, err := detect.List(ctx, q.conn, f)
	if err != nil {
		return nil, err
	}
	found = first(q, found, in.Limit, "findings")
	return &findingsAnswer{list(found), q.cut}, nil
}

// first keeps the first rows of an answer for which one more was asked.
func first[T any](q *question, rows []T, limit int, what string) []T {
	if len(rows) > limit {
		rows = rows[:limit]
		q.cut = append(q.cut, fmt.Sprintf("%s after the first %d: ask for more, or more narrowly", what, limit))
	}
	q.rows = len(rows)
	return rows
}

type quarantineInput struct {
	Tenant
	Since time.Time `query:"since" doc:"Stored since then (RFC 3339); absent: all"`
	Limit int       `query:"limit" minimum:"1" maximum:"9999" default:"100" doc:"Most records"`
}

type quarantineAnswer struct {
	Records []*query.Quarantined `json:"records" nullable:"false"`
	Cut     []string             `json:"cut,omitempty" doc:"What is left out"`
}

type quarantinedInput struct {
	Tenant
	ID string `path:"id" format:"uuid" doc:"Id of the event"`
}

func (s *Server) quarantine() {
	ask(s, operation{id: "list-quarantine", method: http.MethodGet, path: "/quarantine", needs: ReadQuarantine, tag: "quarantine",
		summary: "Records whose id was stored before with other content, the newest first"},
		func(ctx context.Context, q *question, in *quarantineInput) (*quarantineAnswer, error) {
			if err := s.limited(in.Limit); err != nil {
				return nil, err
			}
			found, err := q.reader.Quarantine(ctx, in.Since, in.Limit+1)
			if err != nil {
				return nil, err
			}
			found = first(q, found, in.Limit, "records")
			return &quarantineAnswer{list(found), q.cut}, nil
		})
	ask(s, operation{id: "get-quarantined", method: http.MethodGet, path: "/quarantine/{id}", needs: ReadQuarantine, tag: "quarantine",
		summary: "What came with an id, and what the records say differently"},
		func(ctx context.Context, q *question, in *quarantinedInput) (*quarantineAnswer, error) {
			found, err := q.reader.QuarantineOf(ctx, strings.ToLower(in.ID))
			q.rows = len(found)
			return &quarantineAnswer{Records: list(found)}, err
		})
}

type registryInput struct {
	Tenant
	At time.Time `query:"at" doc:"As it was at this time (RFC 3339); absent: now"`
}

type registryAnswer struct {
	Tenants map[string]registered `json:"tenants" doc:"By tenant"`
}

type registered struct {
	enrich.Version
	Registry *enrich.Registry `json:"registry,omitempty" doc:"Absent when none is in force"`
}

func (s *Server) registry() {
	ask(s, operation{id: "get-registry", method: http.MethodGet, path: "/registry", needs: ReadRegistry, tag: "registry",
		summary: "Who owns what: the registry in force, or at a time"}, s.registered)
}

func (s *Server) registered(ctx context.Context, q *question, in *registryInput) (*registryAnswer, error) {
	at := in.At
	if at.IsZero() {
		at = s.cfg.Now()
	}
	versions, err := enrich.InForce(ctx, q.conn, q.tenant, at)
	if err != nil {
		return nil, err
	}
	out := &registryAnswer{map[string]registered{}}
	for _, v := range versions {
		entry := registered{Version: v}
		if v.Version != "" {
			if entry.Registry, err = enrich.Stored(ctx, q.conn, v.Tenant, v.Version); err != nil {
				return nil, err
			}
			q.rows += len(entry.Registry.Principals) + len(entry.Registry.Servers) + len(entry.Registry.Tools)
		}
		out.Tenants[v.Tenant] = entry
	}
	return out, nil
}
