package table

// Facts is what was known about an event beside what it says, at the time it was
// stored. A text that is empty and a list without entries are not known, if
// nothing else is said. Package processor/enrich finds them; a block copies them.
type Facts struct {
	// RegistryVersion that the registered facts are from; empty when the tenant
	// has no registry. The lifecycles are those at the event's time.
	RegistryVersion string

	SubjectOwner, SubjectTeam string
	SubjectLifecycle          string // empty: not registered
	ActorOwner, ActorTeam     string
	ActorLifecycle            string // empty: not registered
	ServerOwner, ServerTeam   string
	ServerSensitivity         string
	ServerLifecycle           string // empty: not registered

	ToolRegistered  bool
	ToolOwner       string // the server's when the tool has none of its own
	ToolSensitivity string // the server's when the tool has none of its own
	ToolScopes      []string
	ToolDestructive bool

	// LifetimeSeconds is that of the token presented, from its issue to its
	// expiry; the lifetime of one that an exchange issued is exchange.expires_in.
	LifetimeSeconds int64
	// RemainingSeconds is from the event to the expiry of the token presented,
	// rounded down: it is negative when the token had expired. 0 also when the
	// expiry is not known.
	RemainingSeconds int64

	// ScopeAdded and ScopeDropped compare the scope that an exchange granted with
	// that of its subject token.
	ScopeAdded, ScopeDropped []string
	// OutlivesSeconds is by how much the token issued outlives its subject token;
	// negative when it ends before. 0 also when one of them is not known.
	OutlivesSeconds int64

	// AudienceCheck says whether the token presented was issued for this server;
	// empty when none is presented to a server.
	AudienceCheck string
	// ScopeCheck says whether the token allows what the tool needs, and no more,
	// ScopeExcess and ScopeMissing by what not; empty for events not about a tool.
	ScopeCheck                string
	ScopeExcess, ScopeMissing []string
}

// factGroups are the columns of Facts.
var factGroups = []group{
	{func(r *Record) bool { return r.Facts != nil && r.Facts.RegistryVersion != "" }, []definition{
		{"registry_version", aWord(func(r *Record) string { return r.Facts.RegistryVersion })},
		{"subject_owner", aWord(func(r *Record) string { return r.Facts.SubjectOwner })},
		{"subject_team", aWord(func(r *Record) string { return r.Facts.SubjectTeam })},
		{"subject_lifecycle", aWord(func(r *Record) string { return r.Facts.SubjectLifecycle })},
		{"actor_owner", aWord(func(r *Record) string { return r.Facts.ActorOwner })},
		{"actor_team", aWord(func(r *Record) string { return r.Facts.ActorTeam })},
		{"actor_lifecycle", aWord(func(r *Record) string { return r.Facts.ActorLifecycle })},
		{"server_owner", aWord(func(r *Record) string { return r.Facts.ServerOwner })},
		{"server_team", aWord(func(r *Record) string { return r.Facts.ServerTeam })},
		{"server_sensitivity", aWord(func(r *Record) string { return r.Facts.ServerSensitivity })},
		{"server_lifecycle", aWord(func(r *Record) string { return r.Facts.ServerLifecycle })},
	}},
	{func(r *Record) bool { return r.Facts != nil && r.Facts.ToolRegistered }, []definition{
		{"tool_registered", aBool(func(r *Record) bool { return r.Facts.ToolRegistered })},
		{"tool_owner", aWord(func(r *Record) string { return r.Facts.ToolOwner })},
		{"tool_sensitivity", aWord(func(r *Record) string { return r.Facts.ToolSensitivity })},
		{"tool_scopes", aWordList(func(_ []string, r *Record) []string { return r.Facts.ToolScopes })},
		{"tool_destructive", aBool(func(r *Record) bool { return r.Facts.ToolDestructive })},
	}},
	{func(r *Record) bool { return r.Facts != nil && r.Event.Token.ExpiresAt != 0 }, []definition{
		{"token_lifetime_seconds", aInt64(func(r *Record) uint64 { return uint64(r.Facts.LifetimeSeconds) })},
		{"token_remaining_seconds", aInt64(func(r *Record) uint64 { return uint64(r.Facts.RemainingSeconds) })},
		{"exchange_outlives_seconds", aInt64(func(r *Record) uint64 { return uint64(r.Facts.OutlivesSeconds) })},
	}},
	{func(r *Record) bool { return r.Facts != nil && !zero(&r.Event.Exchange) }, []definition{
		{"exchange_scope_added", aWordList(func(_ []string, r *Record) []string { return r.Facts.ScopeAdded })},
		{"exchange_scope_dropped", aWordList(func(_ []string, r *Record) []string { return r.Facts.ScopeDropped })},
	}},
	{func(r *Record) bool { return r.Facts != nil && r.Facts.AudienceCheck != "" }, []definition{
		{"token_audience_check", aWord(func(r *Record) string { return r.Facts.AudienceCheck })},
		{"token_scope_check", aWord(func(r *Record) string { return r.Facts.ScopeCheck })},
		{"token_scope_excess", aWordList(func(_ []string, r *Record) []string { return r.Facts.ScopeExcess })},
		{"token_scope_missing", aWordList(func(_ []string, r *Record) []string { return r.Facts.ScopeMissing })},
	}},
}

func aInt64(get func(*Record) uint64) func() column { return aNumber("Int64", get) }
