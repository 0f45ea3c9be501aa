package enrich

import (
	"cmp"
	"slices"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// What token_audience_check says of calls and decisions: was the token presented
// issued for the server that it was presented to?
const (
	AudienceMatch    = "match"
	AudienceMismatch = "mismatch"
	AudienceUnknown  = "unknown" // neither event nor registry says what the server accepts
	AudienceAbsent   = "absent"  // no audience is known of the token
)

// What token_scope_check says of calls and decisions on a tool.
const (
	ScopeExact        = "exact"
	ScopeExcessive    = "excess"       // allows what the tool does not need
	ScopeInsufficient = "insufficient" // lacks what the tool needs, whatever else it has
	ScopeUnknown      = "unknown"      // of the token or of the tool
)

// Facts writes what is known about e into f, whose slices are used again. The
// strings of e may lie in a buffer that is used again: some of f's are e's.
func (s *Snapshot) Facts(e *event.Event, f *table.Facts) {
	*f = table.Facts{ScopeAdded: f.ScopeAdded[:0], ScopeDropped: f.ScopeDropped[:0], ScopeExcess: f.ScopeExcess[:0], ScopeMissing: f.ScopeMissing[:0]}
	times(e, f)
	if e.Kind == event.TokenExchange {
		exchangeScopes(e, f)
	}
	at := s.registered(e, f)
	if e.Kind == event.ToolInvocation || e.Kind == event.PermissionDecision {
		f.AudienceCheck = audience(e, at)
		toolScopes(e, f)
	}
}

// registered writes what the registry has, and returns the server.
func (s *Snapshot) registered(e *event.Event, f *table.Facts) *server {
	x := s.tenant(e.Tenant)
	if x == nil {
		return nil
	}
	f.RegistryVersion = x.version
	if p := x.principals.find(e.Subject.Iss, e.Subject.Sub); p != nil {
		f.SubjectOwner, f.SubjectTeam, f.SubjectLifecycle = p.Owner, p.Team, string(StateAt(p.Lifecycle, e.Time))
	}
	if p := x.principals.find(e.Actor.Iss, e.Actor.Sub); p != nil {
		f.ActorOwner, f.ActorTeam, f.ActorLifecycle = p.Owner, p.Team, string(StateAt(p.Lifecycle, e.Time))
	}
	at := x.server(e.Server.ID, e.Server.URI)
	if at == nil {
		return nil
	}
	f.ServerOwner, f.ServerTeam, f.ServerSensitivity, f.ServerLifecycle = at.Owner, at.Team, string(at.Sensitivity), string(StateAt(at.Lifecycle, e.Time))
	if t := x.tools.find(at.ID, e.Tool.Name); t != nil {
		f.ToolRegistered, f.ToolScopes, f.ToolDestructive = true, t.Scopes, t.Destructive
		f.ToolOwner, f.ToolSensitivity = cmp.Or(t.Owner, at.Owner), string(cmp.Or(t.Sensitivity, at.Sensitivity))
	}
	return at
}

const second = 1_000_000 // in the unit of event.Time

func times(e *event.Event, f *table.Facts) {
	t := &e.Token
	if t.ExpiresAt == 0 {
		return
	}
	f.RemainingSeconds = floorSeconds(t.ExpiresAt - e.Time)
	if t.IssuedAt != 0 {
		f.LifetimeSeconds = floorSeconds(t.ExpiresAt - t.IssuedAt)
	}
	if e.Exchange.ExpiresIn != 0 && e.Token.Ref == e.Exchange.SubjectTokenRef {
		f.OutlivesSeconds = e.Exchange.ExpiresIn - f.RemainingSeconds
	}
}

func floorSeconds(t event.Time) int64 {
	s := int64(t) / second
	if int64(t)%second < 0 {
		s--
	}
	return s
}

// exchangeScopes compares scopes. Where the answer of the token service does not
// repeat the scope it is the one asked for (RFC 6749 section 5.1); where the
// source does not say that of the subject token, it is the one presented.
func exchangeScopes(e *event.Event, f *table.Facts) {
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

func audience(e *event.Event, at *server) string {
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

func toolScopes(e *event.Event, f *table.Facts) {
	if e.Tool.Name == "" {
		return
	}
	if len(f.ToolScopes) == 0 || len(e.Token.Scope) == 0 {
		f.ScopeCheck = ScopeUnknown
		return
	}
	f.ScopeExcess = appendMissing(f.ScopeExcess, e.Token.Scope, f.ToolScopes)
	f.ScopeMissing = appendMissing(f.ScopeMissing, f.ToolScopes, e.Token.Scope)
	switch {
	case len(f.ScopeMissing) > 0:
		f.ScopeCheck = ScopeInsufficient
	case len(f.ScopeExcess) > 0:
		f.ScopeCheck = ScopeExcessive
	default:
		f.ScopeCheck = ScopeExact
	}
}
