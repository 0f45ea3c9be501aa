package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/custody-audit/custody/evidence/query"
)

// Days is how far a question about identities looks back.
type Days struct {
	Days int `query:"days" minimum:"1" maximum:"3650" default:"30" doc:"Days that count, back from now, with the whole of the first one in UTC"`
}

func (d Days) since(now time.Time) time.Time { return now.AddDate(0, 0, -d.Days) }

type identitiesInput struct {
	Tenant
	Days
	Judging
	Type   string `query:"type" enum:"human,agent,workload,service,server,unknown" doc:"Only of this type"`
	Begins string `query:"begins" maxLength:"2048" doc:"Only those whose name begins so"`
	Limit  int    `query:"limit" minimum:"1" maximum:"9999" default:"100" doc:"Most identities"`
}

type identitiesAnswer struct {
	Identities []*query.Identity `json:"identities" nullable:"false" doc:"Those with privileges that nobody uses first, then who acted last"`
	Cut        []string          `json:"cut,omitempty" doc:"What is left out"`
}

type identityInput struct {
	Tenant
	Days
	Judging
	Holder string `path:"holder" maxLength:"2048" doc:"The identity"`
	Iss    string `query:"iss" maxLength:"2048" doc:"The identity's issuer, where several have one of that name"`
	Limit  int    `query:"limit" minimum:"1" maximum:"9999" default:"50" doc:"Most tokens, and most things of each kind that it was seen with"`
}

type identityAnswer struct {
	Identity *query.Identity    `json:"identity"`
	Seen     []*query.Seen      `json:"seen" nullable:"false" doc:"What it was seen with, what is new first: its baseline"`
	Days     []*query.DayOf     `json:"days" nullable:"false" doc:"Those on which it did something"`
	Tokens   []*query.HeldToken `json:"tokens" nullable:"false" doc:"That it used, the newest first"`
}

type serversInput struct {
	Tenant
	Days
	Limit int `query:"limit" minimum:"1" maximum:"9999" default:"100" doc:"Most servers"`
}

type serversAnswer struct {
	Servers []*query.MCPServer `json:"servers" nullable:"false" doc:"Who was called last first"`
	Cut     []string           `json:"cut,omitempty" doc:"What is left out"`
}

type serverInput struct {
	Tenant
	Days
	Server string `path:"server" maxLength:"2048" doc:"Id of the server"`
	Limit  int    `query:"limit" minimum:"1" maximum:"9999" default:"100" doc:"Most callers"`
}

type serverAnswer struct {
	Servers []*query.MCPServer `json:"servers" nullable:"false" doc:"The server, of each tenant that has one of that id"`
	Callers []*query.CallerOf  `json:"callers" nullable:"false" doc:"Who called which of its tools, those with most calls first"`
	Cut     []string           `json:"cut,omitempty" doc:"What is left out"`
}

// identities registers what is known of those who act, and of the servers that they call.
func (s *Server) identities() {
	ask(s, operation{id: "list-identities", method: http.MethodGet, path: "/identities", needs: ReadPrivileges, tag: "identities",
		summary: "Humans, agents, servers and workloads: what they did, and how many of their privileges nobody uses"},
		func(ctx context.Context, q *question, in *identitiesInput) (*identitiesAnswer, error) {
			if err := s.limited(in.Limit); err != nil {
				return nil, err
			}
			f := query.IdentityFilter{Type: in.Type, Begins: in.Begins, Since: in.since(s.cfg.Now()), Unused: in.filter(s.cfg.Now())}
			found, err := q.reader.Identities(ctx, f, in.Limit+1)
			if err != nil {
				return nil, err
			}
			found = first(q, found, in.Limit, "identities")
			return &identitiesAnswer{list(found), q.cut}, nil
		})
	ask(s, operation{id: "get-identity", method: http.MethodGet, path: "/identities/{holder}", needs: ReadPrivileges, tag: "identities",
		summary: "One identity: what it was seen with since when, what it did on which day, and its tokens"}, s.identity)
	ask(s, operation{id: "list-servers", method: http.MethodGet, path: "/servers", needs: ReadPrivileges, tag: "identities",
		summary: "The MCP servers that were called"},
		func(ctx context.Context, q *question, in *serversInput) (*serversAnswer, error) {
			if err := s.limited(in.Limit); err != nil {
				return nil, err
			}
			found, err := q.reader.Servers(ctx, "", in.since(s.cfg.Now()), in.Limit+1)
			if err != nil {
				return nil, err
			}
			found = first(q, found, in.Limit, "servers")
			return &serversAnswer{list(found), q.cut}, nil
		})
	ask(s, operation{id: "get-server", method: http.MethodGet, path: "/servers/{server}", needs: ReadPrivileges, tag: "identities",
		summary: "One MCP server: who calls which of its tools"}, s.server)
}

func (s *Server) identity(ctx context.Context, q *question, in *identityInput) (*identityAnswer, error) {
	if err := s.limited(in.Limit); err != nil {
		return nil, err
	}
	f := query.IdentityFilter{Sub: in.Holder, Iss: in.Iss, Since: in.since(s.cfg.Now()), Unused: in.filter(s.cfg.Now())}
	found, err := q.reader.Identities(ctx, f, 2)
	if err != nil {
		return nil, err
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("identity %.100q: %w", in.Holder, query.ErrNotFound)
	case 2:
		return nil, invalid("query.iss", fmt.Sprintf("several have that name: one of %s at %.200q, one of %s at %.200q; name issuer and tenant",
			found[0].Tenant, found[0].Iss, found[1].Tenant, found[1].Iss))
	}
	f.Iss = found[0].Iss
	seen, err1 := q.reader.SeenWith(ctx, f, in.Limit)
	days, err2 := q.reader.Days(ctx, f)
	tokens, err3 := q.reader.Tokens(ctx, f, in.Limit)
	q.rows = 1 + len(seen) + len(tokens)
	return &identityAnswer{found[0], list(seen), list(days), list(tokens)}, errors.Join(err1, err2, err3)
}

func (s *Server) server(ctx context.Context, q *question, in *serverInput) (*serverAnswer, error) {
	if err := s.limited(in.Limit); err != nil {
		return nil, err
	}
	since := in.since(s.cfg.Now())
	servers, err := q.reader.Servers(ctx, in.Server, since, in.Limit)
	if err != nil {
		return nil, err
	}
	if len(servers) == 0 {
		return nil, fmt.Errorf("calls of the server %.100q: %w", in.Server, query.ErrNotFound)
	}
	callers, err := q.reader.Callers(ctx, in.Server, since, in.Limit+1)
	if err != nil {
		return nil, err
	}
	callers = first(q, callers, in.Limit, "callers")
	return &serverAnswer{list(servers), list(callers), q.cut}, nil
}
