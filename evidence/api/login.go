package api

import (
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
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

// attempt is a login that was sent to the issuer. It lies, sealed, in a cookie of
// the browser that began it: so nobody can be logged in as somebody else, and
// logins that are begun and not ended cost nothing here.
type attempt struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"` // of PKCE
	Back     string    `json:"back,omitempty"`
	Expires  time.Time `json:"expires"`
}

// newSeal makes a key of this process.
func newSeal() (cipher.AEAD, error) {
	var key [32]byte
	rand.Read(key[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (o *OIDC) seal(a *attempt) (string, error) {
	b, err := json.Marshal(a)
	return base64.RawURLEncoding.EncodeToString(o.cookies.Seal(nil, nil, b, []byte(loginCookie))), err
}

// unseal returns the attempt that a browser's cookie has when it comes back with
// this state; nil when it began none, or too long ago.
func (o *OIDC) unseal(text, state string, now time.Time) *attempt {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	b, err := o.cookies.Open(nil, nil, sealed, []byte(loginCookie))
	if err != nil {
		return nil
	}
	var a attempt
	if json.Unmarshal(b, &a) != nil || !now.Before(a.Expires) || subtle.ConstantTimeCompare([]byte(state), []byte(a.State)) != 1 {
		return nil
	}
	return &a
}

func (s *Server) logins(mux *http.ServeMux) {
	if s.cfg.OIDC != nil {
		mux.HandleFunc("GET "+loginPrefix+"login", s.told(s.login))
		mux.HandleFunc("GET "+loginPrefix+"callback", s.told(s.callback))
	}
	if s.cfg.Links {
		mux.HandleFunc("GET "+loginPrefix+"local", s.told(s.takeLink))
	}
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
	if FromElsewhere(r) {
		back = "" // the issuer may know the user and ask nothing: who sent the browser here does not choose what it reads
	}
	client, err := o.oauth()
	if err != nil {
		return err
	}
	a := &attempt{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Back: back, Expires: now.Add(loginTime)}
	sealed, err := o.seal(a)
	if err != nil {
		return err
	}
	s.setCookie(w, r, loginCookie, sealed, a.Expires)
	http.Redirect(w, r, client.AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), http.StatusFound)
	return nil
}

// localPath keeps a login from sending the browser elsewhere.
func localPath(p string) bool {
	return strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "//") && !strings.ContainsAny(p, "\\\r\n\t")
}

// callback takes the browser back from the issuer.
func (s *Server) callback(w http.ResponseWriter, r *http.Request) error {
	o, now := s.cfg.OIDC, s.cfg.Now()
	var sealed string
	if c, err := r.Cookie(s.cookieName(r, loginCookie)); err == nil {
		sealed = c.Value
	}
	s.dropCookie(w, r, loginCookie)
	a := o.unseal(sealed, r.URL.Query().Get("state"), now)
	if a == nil {
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
	if err := s.begin(w, r, caller, expires); err != nil {
		return err
	}
	onward(w, r, cmp.Or(a.Back, s.cfg.Home))
	return nil
}

// onward leads to a path of this server. The browser comes from the issuer, and says
// the same of what it is redirected to: so a page of ours sends it there.
func onward(w http.ResponseWriter, r *http.Request, path string) {
	if !FromElsewhere(r) {
		http.Redirect(w, r, path, http.StatusFound)
		return
	}
	w.Header().Set("Refresh", Onward+path)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "You are logged in. Go on to %s\n", path)
}

// Onward is what the header Refresh has before the path that a login leads to.
const Onward = "0; url="

// begin records that a session begins, and begins it.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, c *Caller, expires time.Time) error {
	c.session = "login:" + uuid.NewString()
	if err := s.recordLogin(r, c, event.TypeSessionStarted); err != nil {
		return err
	}
	s.setCookie(w, r, sessionCookie, s.sessions.begin(c, s.cfg.Now(), expires), expires)
	return nil
}

// redeem exchanges the code for an ID token and checks it.
func (o *OIDC) redeem(ctx context.Context, code string, a *attempt) (*Caller, time.Time, error) {
	refused := &refusal{http.StatusForbidden, "login", "the issuer's answer is not good: begin again at " + loginPrefix + "login"}
	client, err := o.oauth()
	if err != nil {
		return nil, time.Time{}, err
	}
	t, err := client.Exchange(oidc.ClientContext(ctx, o.cfg.HTTP), code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		var answered *oauth2.RetrieveError
		if errors.As(err, &answered) {
			return nil, time.Time{}, refused
		}
		return nil, time.Time{}, &unavailable{err}
	}
	raw, _ := t.Extra("id_token").(string)
	issuer, err := o.discover()
	if err != nil {
		return nil, time.Time{}, err
	}
	id, err := o.verify(ctx, issuer.id, raw)
	var away *unavailable
	switch {
	case errors.As(err, &away):
		return nil, time.Time{}, err
	case err != nil || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.Nonce)) != 1:
		return nil, time.Time{}, refused
	}
	c, err := o.caller(id, bySession)
	return c, o.cfg.Now().Add(o.cfg.SessionTime), err
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	if err := sameOrigin(r); err != nil {
		return err
	}
	value := s.sessionOf(r)
	if caller := s.sessions.caller(value, s.cfg.Now()); caller != nil {
		s.sessions.end(value)
		if err := s.recordLogin(r, caller, event.TypeSessionEnded); err != nil {
			return err
		}
	}
	s.dropCookie(w, r, sessionCookie)
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
