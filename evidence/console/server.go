package console

import (
	"cmp"
	"net/http"
	"net/url"

	"github.com/custody-audit/custody/evidence/query"
)

// serverPage is one MCP server, as its callers know it.
type serverPage struct {
	Days       string
	ID         string
	Servers    []*query.MCPServer
	Callers    []*query.CallerOf
	Privileges []*query.Privilege // of others at it, that nobody uses
	Cut        []string
}

func showServer(q *request) (*view, error) {
	p := &serverPage{Days: cmp.Or(q.FormValue("days"), defaultDays), ID: q.PathValue("server")}
	var found struct {
		Servers []*query.MCPServer `json:"servers"`
		Callers []*query.CallerOf  `json:"callers"`
		Cut     []string           `json:"cut"`
	}
	err := q.get("/servers/"+url.PathEscape(p.ID), &found, "days", p.Days)
	if err != nil && status(err) != http.StatusNotFound { // nobody called it in these days, and the page says so
		return nil, err
	}
	p.Servers, p.Callers, p.Cut = found.Servers, found.Callers, found.Cut
	var held struct {
		Privileges []*query.Privilege `json:"privileges"`
		Cut        []string           `json:"cut"`
	}
	if err := q.get("/privileges", &held, "server", p.ID, "state", query.NeverUsed, "state", query.NotUsedLately); err != nil {
		return nil, err
	}
	p.Privileges, p.Cut = held.Privileges, append(p.Cut, held.Cut...)
	return &view{name: "server", title: label(p.ID, 100), data: p}, nil
}
