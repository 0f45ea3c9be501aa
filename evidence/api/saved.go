package api

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"

	"github.com/custody-audit/custody/evidence/query"
)

// TypeChange is the type of the event that a change to what callers keep here is.
const TypeChange = "custody.change"

type queriesInput struct{ Tenant }

type queriesAnswer struct {
	Queries []query.Saved `json:"queries" nullable:"false" doc:"Sorted by name"`
}

type saveInput struct {
	Tenant
	Name string `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$" patternDescription:"lower-case letters, digits, - and _" doc:"Name of the filter"`
	Body struct {
		Filter      string `json:"filter" minLength:"1" maxLength:"2000" doc:"The filter; @NAME in it stands for another"`
		Description string `json:"description,omitempty" maxLength:"500"`
	}
}

type removeInput struct {
	Tenant
	Name string `path:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$" patternDescription:"lower-case letters, digits, - and _" doc:"Name of the filter"`
}

type savedAnswer struct {
	Query query.Saved `json:"query"`
}

func (s *Server) queries() {
	ask(s, operation{id: "list-queries", method: http.MethodGet, path: "/queries", needs: ReadQueries, tag: "queries",
		summary: "The tenant's saved filters; @NAME in a filter stands for one"}, s.listQueries)
	ask(s, operation{id: "save-query", method: http.MethodPut, path: "/queries/{name}", needs: WriteQueries, tag: "queries", changes: true,
		summary: "Save a filter, or replace that of the same name"}, s.saveQuery)
	ask(s, operation{id: "remove-query", method: http.MethodDelete, path: "/queries/{name}", needs: WriteQueries, tag: "queries", changes: true,
		summary: "Take a saved filter away"},
		func(_ context.Context, q *question, in *removeInput) (*queriesAnswer, error) {
			s.saving.Lock()
			defer s.saving.Unlock()
			file, err := s.saved(q)
			if err == nil {
				err = file.Remove(in.Name)
			}
			if err != nil {
				return nil, err
			}
			all, err := file.List()
			return &queriesAnswer{list(all)}, err
		})
}

// saved is the file of a tenant's filters; those of all tenants together lie with
// the installation's own.
func (s *Server) saved(q *question) (query.SavedFile, error) {
	if s.cfg.QueriesDir == "" {
		return query.SavedFile{}, newProblem(http.StatusNotFound, "saved filters are not configured: serve.queries_dir")
	}
	return s.savedFile(q.tenant), nil
}

func (s *Server) savedFile(tenant string) query.SavedFile {
	if s.cfg.QueriesDir == "" {
		return query.SavedFile{}
	}
	if tenant == "" {
		tenant = s.cfg.OwnTenant
	}
	return query.SavedFile{Path: filepath.Join(s.cfg.QueriesDir, tenant+".yaml")} // a tenant's name is safe in paths
}

// filter parses a filter, in which @NAME stands for one of the tenant's.
func (s *Server) filter(q *question, field, text string) (*query.Filter, error) {
	f, err := s.savedFile(q.tenant).Parse(text, s.cfg.Now())
	if errors.Is(err, query.ErrSavedFile) {
		return nil, err
	}
	if err != nil {
		return nil, invalid(field, err.Error())
	}
	return f, nil
}

func (s *Server) listQueries(_ context.Context, q *question, _ *queriesInput) (*queriesAnswer, error) {
	file, err := s.saved(q)
	if err != nil {
		return nil, err
	}
	all, err := file.List()
	q.rows = len(all)
	return &queriesAnswer{list(all)}, err
}

func (s *Server) saveQuery(_ context.Context, q *question, in *saveInput) (*savedAnswer, error) {
	q.asked["body.filter"] = in.Body.Filter
	s.saving.Lock() // the file is read, changed and written
	defer s.saving.Unlock()
	file, err := s.saved(q)
	if err != nil {
		return nil, err
	}
	if _, err := s.filter(q, "body.filter", in.Body.Filter); err != nil {
		return nil, err
	}
	saved := query.Saved{Name: in.Name, Filter: in.Body.Filter, Description: in.Body.Description}
	err = file.Save(saved)
	if errors.Is(err, query.ErrSavedFull) {
		return nil, newProblem(http.StatusUnprocessableEntity, err.Error())
	}
	return &savedAnswer{saved}, err
}
