package api

import (
	"crypto/rand"
	"net/http"
	"sync"
	"time"
)

// Cookies. The prefix makes browsers hold us to Secure, no Domain and Path=/, so
// that no other host of the site can set them.
const (
	sessionCookie = "__Host-custody-session"
	loginCookie   = "__Host-custody-login"
)

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

// caller is whose session the request's cookie is; nil without one.
func (s *sessions) caller(r *http.Request, now time.Time) *Caller {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	hash := hashKey(cookie.Value)
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

func (s *sessions) end(r *http.Request) {
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.byHash, hashKey(cookie.Value))
	}
}

// crossOrigin tells requests that pages of other sites make browsers send.
var crossOrigin = http.NewCrossOriginProtection()

// sameOrigin refuses a request that changes something and that no page of ours
// sent. Browsers say where a request comes from; what is no browser has no
// session, so silence is refused too.
func sameOrigin(r *http.Request) error {
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead
	silent := r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == ""
	if !safe && (silent || crossOrigin.Check(r) != nil) {
		return &refusal{http.StatusForbidden, "cross_origin", "a request with a session that is no GET must come from the same origin"}
	}
	return nil
}

func cookie(name, value string, expires time.Time) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", Expires: expires, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

func dropCookie(name string) *http.Cookie {
	return &http.Cookie{Name: name, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}
