package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// AllTenants is the tenant of a caller who may ask about every one.
const AllTenants = "*"

// Caller is who asks.
type Caller struct {
	// Party is the caller in events.
	Party event.Party
	// By is how it is known: key, token or session.
	By string
	// Roles decide what it may ask, Tenants whose evidence; one may be AllTenants.
	Roles   []Role
	Tenants []string

	client  event.Client // of a token
	token   event.Token  // facts of a token
	session string       // what its reads have in common, for correlation
	key     string       // hash of the key that it is known by, or that its session was begun with
	owner   string       // its name as an owner in the registry: of a key, or an email address that its issuer verified
}

// Ways to be known.
const (
	byKey     = "key"
	byToken   = "token"
	bySession = "session"
)

// name is unique among callers.
func (c *Caller) name() string { return c.By + " " + c.Party.Iss + " " + c.Party.Sub }

type callerKey struct{}

// callerOf is who asks; every operation has one.
func callerOf(ctx context.Context) *Caller {
	c, ok := ctx.Value(callerKey{}).(*Caller)
	if !ok {
		panic("api: an operation without a caller") // guard lets none through
	}
	return c
}

// narrow returns the tenant that a question is about; empty is all of them. What
// it answers for a tenant of others does not depend on whether that exists.
func (c *Caller) narrow(asked string) (string, error) {
	all := slices.Contains(c.Tenants, AllTenants)
	switch {
	case asked != "" && !event.ValidTenant(asked):
		return "", invalid("query.tenant", "want lower-case letters, digits, - and _, at most 63")
	case asked != "" && (all || slices.Contains(c.Tenants, asked)):
		return asked, nil
	case asked != "":
		return "", &refusal{http.StatusForbidden, "tenant", "the tenant is not one of yours"}
	case all:
		return "", nil
	case len(c.Tenants) == 1:
		return c.Tenants[0], nil
	case len(c.Tenants) == 0:
		return "", &refusal{http.StatusForbidden, "tenant", "you have no tenant"}
	}
	return "", invalid("query.tenant", "say which of your tenants: "+strings.Join(c.Tenants, ", "))
}

// home is the tenant in whose log the caller is recorded when it asked for what
// it may not have.
func (c *Caller) home(own string) string {
	if len(c.Tenants) == 0 || c.Tenants[0] == AllTenants {
		return own
	}
	return c.Tenants[0]
}

// needsCaller tells whether a path is open to known callers only. The document
// holds nothing that is not in Custody's repository.
func needsCaller(path string) bool {
	return !strings.HasPrefix(path, loginPrefix) && path != Prefix+"/openapi.json"
}

// authenticate finds out who asks. What is said deliberately comes before the
// cookie that a browser adds.
func (s *Server) authenticate(r *http.Request) (*Caller, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return s.fromSession(r)
	}
	scheme, bearer, _ := strings.Cut(header, " ")
	bearer = strings.TrimSpace(bearer)
	switch {
	case !strings.EqualFold(scheme, "Bearer") || bearer == "":
		return nil, unauthorized(`want "Authorization: Bearer" with an API key or an access token`)
	case strings.HasPrefix(bearer, keyPrefix) && s.cfg.Keys != nil:
		return s.cfg.Keys.authenticate(bearer, s.cfg.Now())
	case !strings.HasPrefix(bearer, keyPrefix) && s.cfg.OIDC != nil:
		return s.cfg.OIDC.authenticate(r.Context(), bearer)
	}
	return nil, unauthorized("the bearer is of no kind that is accepted here")
}

// fromSession is the caller of a login. A request that a page of another site
// makes the browser send is not the caller's.
func (s *Server) fromSession(r *http.Request) (*Caller, error) {
	caller := s.sessions.caller(s.sessionOf(r), s.cfg.Now())
	if caller == nil {
		return nil, unauthorized(`want "Authorization: Bearer" with an API key or an access token, or a session of ` + loginPrefix)
	}
	if err := sameOrigin(r); err != nil {
		return nil, err
	}
	if caller.key == "" {
		return caller, nil
	}
	return s.stillOf(caller)
}

// stillOf holds a session to the key that it was begun with: it ends with the key, and
// may what the key may now.
func (s *Server) stillOf(c *Caller) (*Caller, error) {
	owner, err := s.cfg.Keys.owner(c.key, s.cfg.Now())
	if err != nil {
		return nil, unauthorized("the API key that this session was begun with is expired or disabled")
	}
	c.Roles, c.Tenants, c.owner = owner.Roles, owner.Tenants, owner.owner
	return c, nil
}

// refusal is an error that the caller is told as it is.
type refusal struct {
	status int
	code   string // for metrics
	reason string
}

func (e *refusal) Error() string { return e.reason }

func unauthorized(format string, args ...any) error {
	return &refusal{http.StatusUnauthorized, "unauthorized", fmt.Sprintf(format, args...)}
}
