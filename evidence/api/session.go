package api

import (
	"crypto/rand"
	"net"
	"net/http"
	"sync"
	"time"
)

// Cookies. Over TLS their names have a prefix that makes browsers hold us to Secure,
// no Domain and Path=/, so that no other host of the site can set them.
const (
	sessionCookie = "custody-session"
	loginCookie   = "custody-login"
	cookiePrefix  = "__Host-"
)

// cookieName is that of a cookie for who sent the request. Without TLS there is only
// this machine, where some browsers take no Secure cookie, no domain can be named,
// and all ports share their cookies: there the name has the port.
func (s *Server) cookieName(r *http.Request, name string) string {
	if s.cfg.Secure {
		return cookiePrefix + name
	}
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		return name
	}
	return name + "-" + port
}

// maxSessions bounds the logins that are remembered; beyond it the oldest ends.
const maxSessions = 10_000

// sessions are the logins of this process. They end with it, and other processes
// do not know them.
type sessions struct {
	mu     sync.Mutex
	byHash map[string]*session // by the cookie's hash; guarded by mu
}

type session struct {
	caller  Caller
	expires time.Time
}

// begin returns the cookie's value.
func (s *sessions) begin(c *Caller, now, expires time.Time) string {
	value := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byHash) >= maxSessions {
		s.makeRoom(now)
	}
	s.byHash[hashKey(value)] = &session{*c, expires}
	return value
}

// makeRoom drops what has expired, or else what expires first. Called with mu held.
func (s *sessions) makeRoom(now time.Time) {
	var first string
	for hash, x := range s.byHash {
		if !now.Before(x.expires) {
			delete(s.byHash, hash)
			continue
		}
		if first == "" || x.expires.Before(s.byHash[first].expires) {
			first = hash
		}
	}
	if len(s.byHash) >= maxSessions {
		delete(s.byHash, first)
	}
}

// caller is whose session this is; nil when it is none.
func (s *sessions) caller(value string, now time.Time) *Caller {
	s.mu.Lock()
	defer s.mu.Unlock()
	hash := hashKey(value)
	found := s.byHash[hash]
	if found == nil {
		return nil
	}
	if !now.Before(found.expires) {
		delete(s.byHash, hash)
		return nil
	}
	c := found.caller
	return &c
}

func (s *sessions) end(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byHash, hashKey(value))
}

// sessionOf is what a request's cookie says; empty without one.
func (s *Server) sessionOf(r *http.Request) string {
	c, err := r.Cookie(s.cookieName(r, sessionCookie))
	if err != nil {
		return ""
	}
	return c.Value
}

// crossOrigin tells requests that pages of other sites make browsers send.
var crossOrigin = http.NewCrossOriginProtection()

// sameOrigin refuses a request that no page of ours sent. Browsers say where a
// request comes from. One that changes something must say it: what is no browser has
// no session. One that reads may be silent, as old browsers are; but what another page
// makes a browser ask would be recorded as read by whoever sits before it.
func sameOrigin(r *http.Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		if FromElsewhere(r) {
			return &refusal{http.StatusForbidden, "cross_origin", "a page of another origin sent this, and what is read with a session is recorded as read by its owner: open it from here"}
		}
		return nil
	}
	silent := r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == ""
	if silent || crossOrigin.Check(r) != nil {
		return &refusal{http.StatusForbidden, "cross_origin", "a request with a session that is no GET must come from the same origin"}
	}
	return nil
}

// FromElsewhere tells whether a page of another origin made the browser send a request.
// What somebody types, or opens from a program or a bookmark, is from nowhere. Another
// port of this machine is another origin, though the same site, whose requests have our
// cookie.
func FromElsewhere(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site != "" && site != "same-origin" && site != "none"
}

func (s *Server) setCookie(w http.ResponseWriter, r *http.Request, name, value string, expires time.Time) {
	http.SetCookie(w, &http.Cookie{Name: s.cookieName(r, name), Value: value, Path: "/", Expires: expires, Secure: s.cfg.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

func (s *Server) dropCookie(w http.ResponseWriter, r *http.Request, name string) {
	http.SetCookie(w, &http.Cookie{Name: s.cookieName(r, name), Path: "/", MaxAge: -1, Secure: s.cfg.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}
