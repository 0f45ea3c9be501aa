package enrich

import (
	"slices"

	"github.com/custody-audit/custody/schemas/event"
)

// Facts is what is known about an event beside what it says. A text that is
// empty and a list without entries are not known, if nothing else is said.
type Facts struct {
	// RegistryVersion that the facts are from; empty when the tenant has none.
	RegistryVersion string
	// Subject and Actor as registered.
	Subject, Actor PrincipalFacts

	ServerOwner, ServerTeam string
	ServerSensitivity       Sensitivity
	ServerState             State // at the event's time; empty: not registered

	ToolOwner       string // the server's when the tool has none of its own
	ToolSensitivity Sensitivity
	ToolScopes      []string // that a call needs; not to be changed
	ToolDestructive bool
	ToolRegistered  bool

	// TokenLifetimeSeconds is that of the token presented, from its issue to its
	// expiry; the lifetime of one that an exchange issued is exchange.expires_in.
	TokenLifetimeSeconds int64
	// TokenRemainingSeconds is from the event to the expiry of the token
	// presented, rounded down: it is negative when the token had expired. 0 also
	// when the expiry is not known.
	TokenRemainingSeconds int64

	// ScopeAdded and ScopeDropped compare the scope that an exchange granted with
	// that of its subject token. They hold the event's own strings.
	ScopeAdded, ScopeDropped []string
	// OutlivesSeconds is by how much the token issued outlives its subject token;
	// negative when it ends before. 0 also when one of them is not known.
	OutlivesSeconds int64

	// Audience says whether the token presented was issued for this server.
	Audience AudienceCheck
	// Scope says whether the token allows what the tool needs, and no more;
	// ScopeExcess and ScopeMissing say by what. ScopeExcess holds the event's own
	// strings.
	Scope                     ScopeCheck
	ScopeExcess, ScopeMissing []string
}

// PrincipalFacts are those of a subject or an actor.
type PrincipalFacts struct {
	Owner, Team string
	State       State // at the event's time; empty: not registered
}

// AudienceCheck says whether a token was issued for the server that it was
// presented to. It is empty for events in which none is presented to a server.
type AudienceCheck string

// The audience checks.
const (
	AudienceMatch    AudienceCheck = "match"
	AudienceMismatch AudienceCheck = "mismatch"
	AudienceUnknown  AudienceCheck = "unknown" // neither event nor registry says what the server accepts
	AudienceAbsent   AudienceCheck = "absent"  // no audience is known of the token
)

// ScopeCheck compares the scopes of a token with those that the tool needs. It
// is empty for events that are not about a tool.
type ScopeCheck string

// The scope checks.
const (
	ScopeExact        ScopeCheck = "exact"
	ScopeExcessive    ScopeCheck = "excess"       // allows what the tool does not need
	ScopeInsufficient ScopeCheck = "insufficient" // lacks what the tool needs, whatever else it has
	ScopeUnknown      ScopeCheck = "unknown"      // of the token or of the tool
)

// Facts writes what is known about e into f, whose slices are used again. The
// strings of e may lie in a buffer that is used again: some of f's are e's.
func (s *Snapshot) Facts(e *event.Event, f *Facts) {
	*f = Facts{ScopeAdded: f.ScopeAdded[:0], ScopeDropped: f.ScopeDropped[:0], ScopeExcess: f.ScopeExcess[:0], ScopeMissing: f.ScopeMissing[:0]}
	f.times(e)
	if e.Kind == event.TokenExchange {
		f.exchange(e)
	}
	presented := e.Kind == event.ToolInvocation || e.Kind == event.PermissionDecision
	var at *server
	if x := s.tenant(e.Tenant); x != nil {
		f.RegistryVersion = x.version
		f.Subject.of(x.principals.find(e.Subject.Iss, e.Subject.Sub), e.Time)
		f.Actor.of(x.principals.find(e.Actor.Iss, e.Actor.Sub), e.Time)
		at = x.server(e.Server.ID, e.Server.URI)
		if at != nil {
			f.ServerOwner, f.ServerTeam, f.ServerSensitivity, f.ServerState = at.Owner, at.Team, at.Sensitivity, StateAt(at.Lifecycle, e.Time)
			f.tool(x.tools.find(at.ID, e.Tool.Name), at)
		}
	}
	if presented {
		f.Audience = audience(e, at)
		f.scope(e)
	}
}

func (f *PrincipalFacts) of(p *Principal, at event.Time) {
	if p != nil {
		f.Owner, f.Team, f.State = p.Owner, p.Team, StateAt(p.Lifecycle, at)
	}
}

func (f *Facts) tool(t *Tool, at *server) {
	if t == nil {
		return
	}
	f.ToolRegistered, f.ToolOwner, f.ToolSensitivity, f.ToolScopes, f.ToolDestructive = true, t.Owner, t.Sensitivity, t.Scopes, t.Destructive
	if f.ToolOwner == "" {
		f.ToolOwner = at.Owner
	}
	if f.ToolSensitivity == "" {
		f.ToolSensitivity = at.Sensitivity
	}
}

const second = 1_000_000 // in the unit of event.Time

func (f *Facts) times(e *event.Event) {
	t := &e.Token
	if t.ExpiresAt == 0 {
		return
	}
	f.TokenRemainingSeconds = floorSeconds(t.ExpiresAt - e.Time)
	if t.IssuedAt != 0 {
		f.TokenLifetimeSeconds = floorSeconds(t.ExpiresAt - t.IssuedAt)
	}
	if e.Exchange.ExpiresIn != 0 && e.Token.Ref == e.Exchange.SubjectTokenRef {
		f.OutlivesSeconds = e.Exchange.ExpiresIn - f.TokenRemainingSeconds
	}
}

func floorSeconds(t event.Time) int64 {
	s := int64(t) / second
	if int64(t)%second < 0 {
		s--
	}
	return s
}

// exchange compares scopes. Where the answer of the token service does not
// repeat the scope it is the one asked for (RFC 6749 section 5.1); where the
// source does not say that of the subject token, it is the one presented.
func (f *Facts) exchange(e *event.Event) {
	x := &e.Exchange
	granted, had := x.GrantedScope, x.SubjectScope
	if len(granted) == 0 {
		granted = x.RequestedScope
	}
	if len(had) == 0 && e.Token.Ref != "" && e.Token.Ref == x.SubjectTokenRef {
		had = e.Token.Scope
	}
	if e.Outcome != event.Success || len(granted) == 0 || len(had) == 0 {
		return // not known is not empty
	}
	f.ScopeAdded = appendMissing(f.ScopeAdded, granted, had)
	f.ScopeDropped = appendMissing(f.ScopeDropped, had, granted)
}

// appendMissing appends what is in a and not in b.
func appendMissing(dst, a, b []string) []string {
	for _, s := range a {
		if !slices.Contains(b, s) && !slices.Contains(dst, s) {
			dst = append(dst, s)
		}
	}
	return dst
}

func audience(e *event.Event, at *server) AudienceCheck {
	if len(e.Token.Audience) == 0 {
		return AudienceAbsent
	}
	if at == nil && e.Server.URI == "" && e.Server.ID == "" {
		return AudienceUnknown
	}
	uri := bare(e.Server.URI)
	for _, a := range e.Token.Audience {
		a = bare(a)
		if a != "" && (a == uri || a == e.Server.ID || at != nil && at.audiences[a]) {
			return AudienceMatch
		}
	}
	if at == nil && uri == "" {
		return AudienceUnknown // an id that is no audience says nothing about others
	}
	return AudienceMismatch
}

func (f *Facts) scope(e *event.Event) {
	if e.Tool.Name == "" {
		return
	}
	if len(f.ToolScopes) == 0 || len(e.Token.Scope) == 0 {
		f.Scope = ScopeUnknown
		return
	}
	f.ScopeExcess = appendMissing(f.ScopeExcess, e.Token.Scope, f.ToolScopes)
	f.ScopeMissing = appendMissing(f.ScopeMissing, f.ToolScopes, e.Token.Scope)
	switch {
	case len(f.ScopeMissing) > 0:
		f.Scope = ScopeInsufficient
	case len(f.ScopeExcess) > 0:
		f.Scope = ScopeExcessive
	default:
		f.Scope = ScopeExact
	}
}
