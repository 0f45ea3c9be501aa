package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/custody-audit/custody/evidence/api"
)

// page is one thing that can be looked at or done.
type page struct {
	pattern string // of net/http's ServeMux
	nav     string // its name in the navigation; empty: it is not there
	needs   api.Permission
	show    func(*request) (*view, error)
	maxBody int64 // of a form, in bytes; 0 is maxForm
}

// pages are all of them, those of the navigation in its order.
var pages = []page{
	{pattern: "GET /{$}", nav: "Home", needs: api.ReadOwn, show: home},
	{pattern: "GET /search", nav: "Search", needs: api.ReadEvents, show: search},
	{pattern: "GET /search/bars", needs: api.ReadEvents, show: searchBars},
	{pattern: "POST /search/saved", show: saveSearch},
	{pattern: "GET /events/{id}", show: showEvent},
	{pattern: "GET /chain", nav: "Chain", needs: api.ReadChains, show: showChain},
	{pattern: "GET /chain/drawing.svg", needs: api.ReadChains, show: drawChain},
	{pattern: "GET /identities", nav: "Identities", needs: api.ReadPrivileges, show: showIdentities},
	{pattern: "GET /identities/{holder}", needs: api.ReadPrivileges, show: showIdentity},
	{pattern: "GET /identities/servers/{server}", needs: api.ReadPrivileges, show: showServer},
	{pattern: "GET /findings", nav: "Findings", needs: api.ReadFindings, show: findings},
	{pattern: "GET /findings/{key}", show: finding},
	{pattern: "POST /findings", show: actOnFindings},
	{pattern: "GET /reviews", nav: "Reviews", needs: api.ReadReviews, show: reviews},
	{pattern: "POST /reviews", show: createReview},
	{pattern: "GET /reviews/{review}", show: showReview},
	{pattern: "POST /reviews/{review}", show: actOnReview},
	{pattern: "GET /integrity", nav: "Integrity", needs: api.ReadIntegrity, show: showIntegrity},
	{pattern: "POST /integrity/verify", needs: api.ReadIntegrity, show: verifyBundle, maxBody: maxBundle},
	{pattern: "GET /sources", nav: "Sources", needs: api.ReadVerdicts, show: sources},
}

// path of a page that is looked at.
func (p *page) path() string {
	_, path, _ := strings.Cut(p.pattern, " ")
	return strings.TrimSuffix(path, "{$}")
}

// view is what a page shows.
type view struct {
	name    string   // of the template in page/
	title   string   // of the browser's window
	scripts []string // in assets/, beside console.js
	styles  []string // in assets/, beside console.css
	data    any
	// to is where the browser is sent instead: after something was done.
	to string
	// file is sent instead, to be kept.
	file *file
}

// frame is what templates see.
type frame struct {
	Title   string
	Who     *whoami // nil before a login
	Tenant  string
	Path    string
	Here    string // the page with all it is asked, to come back to
	Nav     []navItem
	Scripts []string
	Styles  []string
	Done    string // what was done before
	Data    any
}

type navItem struct {
	Name, To string
	Current  bool
}

// whoami is what the API says of who asks.
type whoami struct {
	Name        string           `json:"name"`
	Issuer      string           `json:"issuer"`
	Roles       []api.Role       `json:"roles"`
	Permissions []api.Permission `json:"permissions"`
	Tenants     []string         `json:"tenants"`
	Limits      struct {
		Rows       int `json:"rows"`
		ExportRows int `json:"export_rows"`
	} `json:"limits"`
}

// May tells templates and pages what to offer; the API decides.
func (w *whoami) May(p string) bool { return slices.Contains(w.Permissions, api.Permission(p)) }

// All tells whether the caller sees every tenant.
func (w *whoami) All() bool { return slices.Contains(w.Tenants, api.AllTenants) }

// Link is a path with parameters, given as names and values in turn, and the tenant
// that is looked at. Empty values are left out.
func (f *frame) Link(path string, params ...string) string { return link(f.Tenant, path, params...) }

func link(tenant, path string, params ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(params); i += 2 {
		if params[i+1] != "" {
			q.Add(params[i], params[i+1])
		}
	}
	if tenant != "" && !q.Has("tenant") {
		q.Set("tenant", tenant)
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// errNoPage is told as such.
var errNoPage = errors.New("no such page")

// page shows one. Who asks is found out first; a browser without a session is sent to
// begin one.
func (c *Console) page(p page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := &request{Request: r, console: c, tenant: r.URL.Query().Get("tenant")}
		if r.Method != http.MethodPost && api.FromElsewhere(r) {
			c.arrive(w, q)
			return
		}
		var v *view
		err := q.identify()
		if err == nil {
			v, err = p.show(q)
		}
		switch {
		case err != nil && status(err) == http.StatusUnauthorized: // there is no session, or it ended meanwhile
			toLogin(w, r)
		case err != nil:
			c.fail(w, q, err)
		case v.to != "":
			http.Redirect(w, r, v.to, http.StatusSeeOther)
		case v.file != nil:
			v.file.send(w)
		default:
			c.render(w, http.StatusOK, q, v)
		}
	}
}

func (c *Console) render(w http.ResponseWriter, status int, q *request, v *view) {
	f := &frame{Title: v.title, Who: q.who, Tenant: q.tenant, Path: localPath(q.URL.EscapedPath()), Here: localPath(q.URL.RequestURI()), Data: v.data, Done: done[q.URL.Query().Get("done")]}
	if q.who != nil {
		for _, p := range pages {
			if p.nav != "" && q.who.May(string(p.needs)) {
				path := p.path()
				current := path == q.URL.Path || path != "/" && strings.HasPrefix(q.URL.Path, path+"/")
				f.Nav = append(f.Nav, navItem{p.nav, f.Link(path), current})
			}
		}
	}
	f.Styles = c.assets.paths(append([]string{"console.css"}, v.styles...))
	f.Scripts = c.assets.paths(append([]string{"console.js"}, v.scripts...))
	if err := c.views.write(w, status, v.name, f); err != nil {
		c.cfg.Logger.ErrorContext(q.Context(), "a page cannot be shown", "page", v.name, "error", err)
		http.Error(w, "the page cannot be shown; the server's log says why", http.StatusInternalServerError)
	}
}

// localPath is a path that a form may be sent to: no other host.
func localPath(path string) string { return "/" + strings.TrimLeft(path, "/") }

// done is what a page says of what was done before it, by the parameter done.
var done = map[string]string{
	"acknowledge": "Acknowledged.", "assign": "Assigned.", "resolve": "Resolved. It opens again by itself when more is found.", "except": "Excepted. It is open again when the exception ends.",
	"reopen": "Reopened.", "comment": "Commented.", "query-saved": "Saved.", "review-created": "The review has begun.", "certify": "Certified: they stay.", "revoke": "Revoked: they are to go, which whoever grants them does.", "close": "The review is closed.", "query-removed": "Removed.",
}
