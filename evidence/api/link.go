package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// linkTime is how long a link works, and linkSession how long the session that it
// begins lasts.
const (
	linkTime    = 15 * time.Minute
	linkSession = 8 * time.Hour
)

// maxLinks bounds the links that nobody has used yet; beyond it all of them end.
const maxLinks = 1000

// links are those that were given and not used.
type links struct {
	mu     sync.Mutex
	byHash map[string]*link // by the code's hash; guarded by mu
}

type link struct {
	caller  Caller
	expires time.Time
}

func (l *links) give(c *Caller, expires time.Time) string {
	code := rand.Text()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.byHash) >= maxLinks {
		clear(l.byHash)
	}
	l.byHash[hashKey(code)] = &link{*c, expires}
	return code
}

// take returns whose link it is, once; nil when it is nobody's any more.
func (l *links) take(code string, now time.Time) *Caller {
	l.mu.Lock()
	defer l.mu.Unlock()
	hash := hashKey(code)
	found := l.byHash[hash]
	delete(l.byHash, hash)
	if found == nil || !now.Before(found.expires) {
		return nil
	}
	return &found.caller
}

type linkAnswer struct {
	Path    string    `json:"path" doc:"Of this server, for a browser"`
	Expires time.Time `json:"expires" doc:"When it works no longer"`
}

// Link returns a path that begins a session, once and soon, as the owner of an API key.
func (s *Server) Link(key string) (path string, err error) {
	if !s.cfg.Links || s.cfg.Keys == nil {
		return "", errors.New("api: no links are given here")
	}
	caller, err := s.cfg.Keys.authenticate(key, s.cfg.Now())
	if err != nil {
		return "", err
	}
	return s.link(caller).Path, nil
}

func (s *Server) link(c *Caller) *linkAnswer {
	as := *c
	as.By, as.Party.Type = bySession, event.Unknown // the key's owner is a service, who opens the link need not be
	expires := s.cfg.Now().Add(linkTime)
	return &linkAnswer{loginPrefix + "local?code=" + s.links.give(&as, expires), expires}
}

// giveLinks registers the operation that gives them.
func (s *Server) giveLinks() {
	op := operation{id: "create-login-link", method: http.MethodPost, path: "/login-links", needs: ReadOwn, tag: "self", summary: "A link that begins a session in a browser, once, as who has this API key",
		description: "Only where the installation is on this machine. Reads no evidence; the session that begins by it is recorded."}
	plain(s, op, func(ctx context.Context, _ *struct{}) (*linkAnswer, error) {
		caller := callerOf(ctx)
		switch {
		case !s.cfg.Links:
			return nil, newProblem(http.StatusNotFound, "no links are given here: the installation is not on this machine, or has no console")
		case caller.By != byKey:
			return nil, &refusal{http.StatusForbidden, "link", "a link is given to who has an API key"}
		}
		return s.link(caller), nil
	})
}

// takeLink begins the session. The code is of no use any more when it stands in the
// browser's history.
func (s *Server) takeLink(w http.ResponseWriter, r *http.Request) error {
	now := s.cfg.Now()
	caller := s.links.take(r.URL.Query().Get("code"), now)
	if caller == nil {
		return &refusal{http.StatusGone, "link", `the link has been used, or is older than ` + linkTime.String() + `: "custody console link" gives a new one`}
	}
	if _, err := s.stillOf(caller); err != nil {
		return err
	}
	if err := s.begin(w, r, caller, now.Add(linkSession)); err != nil {
		return err
	}
	http.Redirect(w, r, s.cfg.Home, http.StatusSeeOther)
	return nil
}
