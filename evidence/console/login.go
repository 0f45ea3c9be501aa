package console

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/custody-audit/custody/evidence/api"
)

// toLogin sends the browser to where sessions begin, and back here afterwards.
func toLogin(w http.ResponseWriter, r *http.Request) {
	to := "/login"
	if r.Method == http.MethodGet && r.URL.Path != "/" {
		to += "?" + url.Values{"return": {r.URL.RequestURI()}}.Encode()
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// arrive asks somebody whom a page of another site sent here whether that was meant,
// before anything is read as theirs. Here is where it leads, and that link is ours.
func (c *Console) arrive(w http.ResponseWriter, q *request) {
	c.render(w, http.StatusOK, q, &view{name: "arrive", title: "Continue?"})
}

// entrance is what the page of the login shows.
type entrance struct {
	Login  bool // by OpenID Connect
	Links  bool // by a link
	Return string
}

func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	q := &request{Request: r, console: c}
	if q.identify() == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	c.render(w, http.StatusOK, q, &view{name: "login", title: "Log in", data: entrance{c.cfg.Login, c.cfg.Links, r.URL.Query().Get("return")}})
}

// loginPath is where the API begins a login at the issuer.
const loginPath = "/auth/login"

// auth lets the API log browsers in and out, and shows what it says is wrong.
func (c *Console) auth(w http.ResponseWriter, r *http.Request) {
	q := &request{Request: r, console: c}
	if r.Method == http.MethodGet && r.URL.Path == loginPath && api.FromElsewhere(r) {
		// The issuer may know the user already, and nobody would be asked anything.
		http.Redirect(w, r, "/login?"+url.Values{"return": {r.URL.Query().Get("return")}}.Encode(), http.StatusSeeOther)
		return
	}
	s := c.serve(r)
	for name, values := range s.header {
		w.Header()[name] = values
	}
	if to, ok := strings.CutPrefix(s.header.Get("Refresh"), api.Onward); ok {
		headers(w.Header())
		c.render(w, http.StatusOK, q, &view{name: "welcome", title: "Logged in", data: to})
		return
	}
	if s.status >= 400 && r.Method == http.MethodGet {
		headers(w.Header())
		c.fail(w, q, s.problem())
		return
	}
	w.WriteHeader(s.status)
	w.Write(s.body.Bytes()) // the client is gone when this fails
}

// logout ends the session, which is what the API does.
func (c *Console) logout(w http.ResponseWriter, r *http.Request) {
	q := &request{Request: r, console: c}
	out, err := q.relayed(http.MethodPost, "/auth/logout", nil)
	if err != nil {
		c.fail(w, q, err)
		return
	}
	s := c.serve(out)
	if s.status >= 400 {
		c.fail(w, q, s.problem())
		return
	}
	w.Header()["Set-Cookie"] = s.header["Set-Cookie"]
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}
