package api

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/uuid"
	"golang.org/x/oauth2"

	"github.com/custody-audit/custody/schemas/event"
)

// loginPrefix is below which browsers log in and out.
const loginPrefix = "/auth/"

// loginTime is how long a user may take at the issuer.
const loginTime = 10 * time.Minute

// maxPending bounds the logins under way.
const maxPending = 1000

// attempt is a login that was sent to the issuer. Its cookie binds it to the
// browser, so that nobody can be logged in as somebody else.
type attempt struct {
	cookieHash, nonce, verifier, back string
	expires                           time.Time
}

type pending struct {
	mu      sync.Mutex
	byState map[string]*attempt // guarded by mu
}

func (p *pending) add(state string, a *attempt, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.byState) >= maxPending {
		for s, old := range p.byState {
			if !now.Before(old.expires) {
				delete(p.byState, s)
			}
		}
	}
	if len(p.byState) >= maxPending {
		return false
	}
	p.byState[state] = a
	return true
}

// take returns an attempt once.
func (p *pending) take(state string, now time.Time) *attempt {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.byState[state]
	delete(p.byState, state)
	if a == nil || !now.Before(a.expires) {
		return nil
	}
	return a
}

func (s *Server) logins(mux *http.ServeMux) {
	mux.HandleFunc("GET "+loginPrefix+"login", s.told(s.login))
	mux.HandleFunc("GET "+loginPrefix+"callback", s.told(s.callback))
	mux.HandleFunc("POST "+loginPrefix+"logout", s.told(s.logout))
}

// told answers what a handler refuses.
func (s *Server) told(handle func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := handle(w, r); err != nil {
			s.refuse(w, r, err)
		}
	}
}

// login sends the browser to the issuer: authorization code with PKCE.
func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	o, now := s.cfg.OIDC, s.cfg.Now()
	if o.cfg.ClientID == "" {
		return newProblem(http.StatusNotFound, "logins are not configured")
	}
	back := r.URL.Query().Get("return")
	if back != "" && !localPath(back) {
		return invalid("query.return", "want a path of this server")
	}
	client, err := o.oauth()
	if err != nil {
		return err
	}
	a := &attempt{nonce: rand.Text(), verifier: oauth2.GenerateVerifier(), back: back, expires: now.Add(loginTime)}
	bound, state := rand.Text(), rand.Text()
	a.cookieHash = hashKey(bound)
	if !o.pending.add(state, a, now) {
		return later(http.StatusServiceUnavailable, "too many logins are under way", 60)
	}
	http.SetCookie(w, cookie(loginCookie, bound, a.expires))
	http.Redirect(w, r, client.AuthCodeURL(state, oidc.Nonce(a.nonce), oauth2.S256ChallengeOption(a.verifier)), http.StatusFound)
	return nil
}

// localPath keeps a login from sending the browser elsewhere.
func localPath(p string) bool {
	return strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "//") && !strings.ContainsAny(p, "\\\r\n\t")
}

// callback takes the browser back from the issuer.
func (s *Server) callback(w http.ResponseWriter, r *http.Request) error {
	o, now := s.cfg.OIDC, s.cfg.Now()
	http.SetCookie(w, dropCookie(loginCookie))
	a := o.pending.take(r.URL.Query().Get("state"), now)
	bound, err := r.Cookie(loginCookie)
	if a == nil || err != nil || subtle.ConstantTimeCompare([]byte(hashKey(bound.Value)), []byte(a.cookieHash)) != 1 {
		return &refusal{http.StatusBadRequest, "login", "this login was not begun here, or too long ago: begin again at " + loginPrefix + "login"}
	}
	if r.URL.Query().Has("error") {
		return &refusal{http.StatusForbidden, "login", "the issuer did not log you in"}
	}
	caller, expires, err := o.redeem(r.Context(), r.URL.Query().Get("code"), a)
	if err != nil {
		return err
	}
	if len(caller.Roles) == 0 || len(caller.Tenants) == 0 {
		return &refusal{http.StatusForbidden, "login", "your account has no role or no tenant here"}
	}
	caller.session = "login:" + uuid.NewString()
	if err := s.recordLogin(r, caller, event.TypeSessionStarted); err != nil {
		return err
	}
	http.SetCookie(w, cookie(sessionCookie, o.sessions.begin(caller, now, expires), expires))
	to := a.back
	if to == "" {
		to = Prefix + "/whoami"
	}
	http.Redirect(w, r, to, http.StatusFound)
	return nil
}

// redeem exchanges the code for an ID token and checks it.
func (o *OIDC) redeem(ctx context.Context, code string, a *attempt) (*Caller, time.Time, error) {
	refused := &refusal{http.StatusForbidden, "login", "the issuer's answer is not good: begin again at " + loginPrefix + "login"}
	client, err := o.oauth()
	if err != nil {
		return nil, time.Time{}, err
	}
	t, err := client.Exchange(oidc.ClientContext(ctx, o.cfg.HTTP), code, oauth2.VerifierOption(a.verifier))
	if err != nil {
		var answered *oauth2.RetrieveError
		if errors.As(err, &answered) {
			return nil, time.Time{}, refused
		}
		return nil, time.Time{}, &unavailable{err}
	}
	raw, _ := t.Extra("id_token").(string)
	v, err := o.verifier(o.cfg.ClientID)
	if err != nil {
		return nil, time.Time{}, err
	}
	id, err := v.Verify(ctx, raw)
	if err != nil || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.nonce)) != 1 {
		return nil, time.Time{}, refused
	}
	c, err := o.caller(id, bySession)
	return c, o.cfg.Now().Add(o.cfg.SessionTime), err
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	if err := sameOrigin(r); err != nil {
		return err
	}
	o := s.cfg.OIDC
	if caller := o.sessions.caller(r, s.cfg.Now()); caller != nil {
		o.sessions.end(r)
		if err := s.recordLogin(r, caller, event.TypeSessionEnded); err != nil {
			return err
		}
	}
	http.SetCookie(w, dropCookie(sessionCookie))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// recordLogin records that a session began or ended, in the caller's own tenant.
func (s *Server) recordLogin(r *http.Request, c *Caller, what string) error {
	q := &question{op: operation{id: what, needs: ReadOwn}, caller: c, asked: map[string]string{clientAddress: r.RemoteAddr, userAgent: r.UserAgent()}, tenant: c.home(s.cfg.OwnTenant)}
	e := s.readEvent(r.Context(), q, http.StatusOK, nil)
	e.Type = what
	return s.keep(r.Context(), q, e)
}
