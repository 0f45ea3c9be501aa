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
	"github.com/custody-audit/custody/processor/worklist"
)

// Narrowing is what narrows findings.
type Narrowing struct {
	Rule     string `query:"rule" pattern:"^[a-z0-9_]{0,100}$" patternDescription:"the id of a rule" doc:"Only of this rule"`
	Status   string `query:"status" enum:"active,open,acknowledged,assigned,resolved,auto_resolved,excepted,all" default:"active" doc:"active: open, acknowledged or assigned"`
	Severity string `query:"severity" enum:"info,low,medium,high,critical" doc:"At least this severe"`
	Assignee string `query:"assignee" maxLength:"200" doc:"Only those that this one is to handle"`
	Identity string `query:"identity" maxLength:"2048" doc:"Only of this identity: who acted, or on whose behalf when nobody else did"`
	Chain    string `query:"chain" maxLength:"2000" doc:"Only of this delegation, as the field chain names it"`
	Limit    int    `query:"limit" minimum:"1" maximum:"9999" default:"100" doc:"Most findings, or groups"`
}

// filter asks for one more than the limit, to know whether there are more.
func (n *Narrowing) filter(tenant string) worklist.Filter {
	return worklist.Filter{
		Tenant: tenant, Rule: n.Rule, Status: n.Status, AtLeast: detect.Severity(n.Severity), Assignee: n.Assignee, Identity: n.Identity, Chain: n.Chain, Limit: n.Limit + 1,
	}
}

type findingsInput struct {
	Tenant
	Narrowing
}

type findingsAnswer struct {
	Findings []*worklist.Finding `json:"findings" nullable:"false" doc:"The severest and then the newest first"`
	Cut      []string            `json:"cut,omitempty" doc:"What is left out"`
}

type groupsInput struct {
	Tenant
	Narrowing
	By string `query:"by" enum:"identity,chain" default:"identity" doc:"What the findings of a group have in common"`
}

type groupsAnswer struct {
	Groups []*worklist.Group `json:"groups" nullable:"false" doc:"Those with the severest findings first"`
	Cut    []string          `json:"cut,omitempty" doc:"What is left out"`
}

type findingInput struct {
	Tenant
	Key string `path:"key" pattern:"^[0-9a-f]{1,64}$" patternDescription:"hexadecimal digits" doc:"Key of the finding; the first digits suffice"`
}

type findingAnswer struct {
	Finding *worklist.Finding `json:"finding"`
	History []*worklist.Entry `json:"history" nullable:"false" doc:"What happened to it, the oldest first"`
}

func (s *Server) findings() {
	ask(s, operation{id: "list-findings", method: http.MethodGet, path: "/findings", needs: ReadFindings, tag: "findings",
		summary: "What the detections found, as it stands"},
		func(ctx context.Context, q *question, in *findingsInput) (*findingsAnswer, error) {
			if err := s.limited(in.Limit); err != nil {
				return nil, err
			}
			found, err := worklist.List(ctx, q.conn, in.filter(q.tenant))
			found = first(q, found, in.Limit, "findings")
			return &findingsAnswer{list(found), q.cut}, err
		})
	ask(s, operation{id: "group-findings", method: http.MethodGet, path: "/findings/groups", needs: ReadFindings, tag: "findings",
		summary: "Findings by what they have in common: an identity, or a delegation"},
		func(ctx context.Context, q *question, in *groupsInput) (*groupsAnswer, error) {
			if err := s.limited(in.Limit); err != nil {
				return nil, err
			}
			groups, err := worklist.Groups(ctx, q.conn, in.By, in.filter(q.tenant))
			groups = first(q, groups, in.Limit, "groups")
			return &groupsAnswer{list(groups), q.cut}, err
		})
	ask(s, operation{id: "get-finding", method: http.MethodGet, path: "/findings/{key}", needs: ReadFindings, tag: "findings",
		summary: "One finding, and what happened to it"},
		func(ctx context.Context, q *question, in *findingInput) (*findingAnswer, error) {
			f, err := s.finding(ctx, q, in.Key)
			if err != nil {
				return nil, err
			}
			q.rows = 1
			history, err := worklist.History(ctx, q.conn, f.Tenant, f.Key)
			return &findingAnswer{f, list(history)}, err
		})
	s.acts()
}

// finding is the one whose key begins so.
func (s *Server) finding(ctx context.Context, q *question, key string) (*worklist.Finding, error) {
	f, err := worklist.Find(ctx, q.conn, q.tenant, key)
	if errors.Is(err, worklist.ErrSeveral) {
		return nil, invalid("path.key", worklist.ErrSeveral.Error())
	}
	return f, err
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
