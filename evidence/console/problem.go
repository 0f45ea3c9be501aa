package console

import (
	"errors"
	"net/http"
	"strings"

	"github.com/custody-audit/custody/evidence/api"
)

// trouble is what the page of an error shows.
type trouble struct {
	Status int
	What   string   // happened
	Detail string   // as the API says it
	Next   string   // what to do
	Roles  []string // that would be allowed
	Fields []api.Field
}

// status of an answer that an error is.
func status(err error) int {
	var p *api.Problem
	switch {
	case errors.As(err, &p):
		return p.Status
	case errors.Is(err, errNoPage):
		return http.StatusNotFound
	case errors.Is(err, errTooLarge):
		return http.StatusUnprocessableEntity
	}
	return http.StatusInternalServerError
}

// fail shows what went wrong.
func (c *Console) fail(w http.ResponseWriter, q *request, err error) {
	t := troubleOf(err)
	if t.Status == http.StatusInternalServerError {
		c.cfg.Logger.ErrorContext(q.Context(), "a page has no answer", "path", q.URL.Path, "error", err)
	}
	c.render(w, t.Status, q, &view{name: "problem", title: t.What, data: t})
}

func troubleOf(err error) *trouble {
	t := &trouble{Status: status(err)}
	var p *api.Problem
	if errors.As(err, &p) {
		t.Detail, t.Fields = p.Detail, p.Errors
	}
	switch t.Status {
	case http.StatusForbidden:
		t.What, t.Next = "You may not see this", "Ask whoever administers Custody for a role that allows it, or look at a tenant that is yours."
		if _, permission, ok := strings.Cut(t.Detail, "wants the permission "); ok {
			for _, r := range api.Grants(api.Permission(permission)) {
				t.Roles = append(t.Roles, string(r))
			}
		}
	case http.StatusNotFound:
		t.What, t.Next = "There is nothing here", "It may be of another tenant, or deleted by a retention rule. Check the address, or search for it."
	case http.StatusGone:
		t.What, t.Next = "The link works no longer", "Run \"custody console link\" where Custody runs, and open what it prints."
	case http.StatusUnprocessableEntity, http.StatusBadRequest:
		t.What, t.Next = "The question cannot be answered as it is asked", "Change what is named below and ask again."
		if errors.Is(err, errTooLarge) {
			t.Detail = "The answer is larger than a page shows."
			t.Next = "Ask for fewer rows or a shorter time."
		}
	case http.StatusConflict, http.StatusPreconditionFailed:
		t.What, t.Next = "Somebody else was faster", "Go back and load the page again to see how it stands now."
	case http.StatusTooManyRequests:
		t.What, t.Next = "Too many questions at once", "Wait a second and load the page again."
	case http.StatusGatewayTimeout:
		t.What, t.Next = "The question took too long", "Narrow it: a shorter time (last:24h), one kind, one server."
	case http.StatusServiceUnavailable:
		t.What, t.Next = "There is no answer now", "Wait a few seconds and load the page again; if it stays so, \"custody doctor\" says what is wrong."
	default:
		t.What, t.Next = "Something went wrong here", "The server's log says what. Load the page again, or go back."
	}
	return t
}
