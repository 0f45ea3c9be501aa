// Package event defines the identity event: the one record type that every
// collector produces, Kafka carries, the processor seals and ClickHouse keeps.
//
// It stands at the start of the flow and imports nothing of the project. It
// gives the Go type, strict and lenient decoding ([Decode], [DecodeLenient]),
// validation that reports every problem at once ([Event.Validate]), canonical
// bytes ([Event.AppendCanonical], RFC 8785) and the content hash that tells a
// re-delivery from a forgery ([Event.ContentHash]). event.schema.json is
// generated from the types in this file and their comments.
//
// It guarantees that an event accepted by Validate encodes to at most
// [MaxBytes] bytes and decodes to an equal value. It does not look for secrets
// inside fields: that is package collector/redact.
package event

//go:generate go run ./generate

import "strings"

// SchemaVersion is the version written by this code. The major number changes
// when a reader of the old version would misread a record.
const SchemaVersion = "1.0"

// Readable tells whether a version is of the major version that this code knows.
func Readable(version string) bool {
	major, _, _ := strings.Cut(version, ".")
	known, _, _ := strings.Cut(SchemaVersion, ".")
	return major == known
}

// Event is one identity event. Names are those of OAuth 2.0 (RFC 6749, RFC
// 8693), the Model Context Protocol, AuthZEN and OpenTelemetry. A zero field is
// absent from the canonical bytes.
type Event struct {
	// Identifier, a UUID (RFC 9562) whose first 48 bits are Time in milliseconds since 1970, so that a look-up by id knows its time range. Version 8 when derived from tenant, source and source.event_id, version 7 when random.
	ID string `json:"id"`
	// Version of this schema, "MAJOR.MINOR".
	SchemaVersion string `json:"schema_version"`
	// Which of the six facts this event states.
	Kind Kind `json:"kind"`
	// The source's finer name of what happened, lower case with dots, for example "mcp.tools.call", "oauth.token_exchange", "opa.decision", "session.ended".
	Type string `json:"type,omitzero"`
	// When it happened, by the source's clock.
	Time Time `json:"time"`
	// When the collector received it, by the collector's clock.
	ObservedTime Time `json:"observed_time,omitzero"`
	// The tenant the event belongs to. Set from the authenticated source, never from the payload.
	Tenant string `json:"tenant"`
	// Who reported the event.
	Source Source `json:"source"`
	// How it ended: success, failure (the operation ran and reported failure), denied (refused by policy), error (could not be carried out).
	Outcome Outcome `json:"outcome"`

	// The principal on whose behalf it happened (RFC 8693 section 1.1: the subject).
	Subject Party `json:"subject,omitzero"`
	// The immediate actor: who presented the token (RFC 8693 section 4.1, outermost "act").
	Actor Party `json:"actor,omitzero"`
	// The delegation chain, current actor first as RFC 8693 nests "act"; the subject is not in it.
	Chain []Link `json:"chain,omitzero"`
	// How the source nests the chain.
	ChainRule ChainRule `json:"chain_rule,omitzero"`
	// The source said that it left out links.
	ChainTruncated bool `json:"chain_truncated,omitzero"`
	// Why the source's chain could not be read whole; empty when it could.
	ChainMalformed string `json:"chain_malformed,omitzero"`
	// The raw "act" claim as JSON text, kept beside the normalised chain. At most 8 KiB.
	ChainRaw string `json:"chain_raw,omitzero"`
	// The client software.
	Client Client `json:"client,omitzero"`

	// The MCP server (or, for other kinds, the service) where it happened.
	Server Server `json:"server,omitzero"`
	// The legacy or downstream backend the server called for this.
	Upstream string `json:"upstream,omitzero"`
	// Network address of the caller as the source saw it, "host" or "host:port".
	ClientAddress string `json:"client_address,omitzero"`
	// User-Agent of the caller.
	UserAgent string `json:"user_agent,omitzero"`

	// The token presented, as facts. The token itself is never part of an event.
	Token Token `json:"token,omitzero"`
	// The exchange; for kind token_exchange.
	Exchange Exchange `json:"exchange,omitzero"`
	// The tool call; for kind tool_invocation, and the tool decided upon for permission_decision.
	Tool Tool `json:"tool,omitzero"`
	// The decision; for kind permission_decision.
	Decision Decision `json:"decision,omitzero"`
	// What joins this event to others.
	Correlation Correlation `json:"correlation,omitzero"`

	// Further facts of the source, redacted. At most 64 entries.
	Attributes map[string]string `json:"attributes,omitzero"`
	// What the collector could not keep or did not believe: identity lost at the source, clock skew, field dropped, secret replaced.
	Warnings []string `json:"warnings,omitzero"`
	// 16 random bytes, base64url, set by the collector, so that the hash of an event reveals nothing about guessable contents.
	Salt string `json:"salt,omitzero"`
}

// Kind says which of the six facts an event states.
type Kind string

// The kinds: the three that the mission names, then what those are judged against.
const (
	TokenExchange      Kind = "token_exchange"
	ToolInvocation     Kind = "tool_invocation"
	PermissionDecision Kind = "permission_decision"
	Credential         Kind = "credential" // issued, rotated, revoked, found static
	Grant              Kind = "grant"      // entitlement listed or changed
	Session            Kind = "session"    // task or session started, ended, revoked
)

// Kinds lists every kind in the order of the documentation.
var Kinds = []Kind{TokenExchange, ToolInvocation, PermissionDecision, Credential, Grant, Session}

// Types of the kinds that have a life cycle; a source may use finer names for the others.
const (
	TypeToolCall          = "mcp.tools.call"
	TypeToolList          = "mcp.tools.list"
	TypeTokenExchange     = "oauth.token_exchange"
	TypeDecision          = "authz.decision"
	TypeCredentialIssued  = "credential.issued"
	TypeCredentialRotated = "credential.rotated"
	TypeCredentialRevoked = "credential.revoked"
	TypeCredentialStatic  = "credential.static"
	TypeSessionStarted    = "session.started"
	TypeSessionEnded      = "session.ended"
	TypeSessionRevoked    = "session.revoked"
	TypeGrantListed       = "grant.listed"
	TypeGrantChanged      = "grant.changed"
	TypeGrantRemoved      = "grant.removed"
)

// Outcome says how the operation ended.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success"
	Failure Outcome = "failure"
	Denied  Outcome = "denied"
	Error   Outcome = "error"
)

// ChainRule says how a source nests delegation.
type ChainRule string

// The chain rules.
const (
	SubjectChained ChainRule = "subject_chained" // act of the subject token nested below the new actor (RFC 8693, ToolHive)
	ActorChained   ChainRule = "actor_chained"   // act of the actor token nested (Keycloak)
	Flat           ChainRule = "flat"            // a list, origin first (XFCC), already turned round
)

// PartyType is the type of a principal.
type PartyType string

// The principal types.
const (
	Human    PartyType = "human"
	Agent    PartyType = "agent"
	Workload PartyType = "workload"
	Service  PartyType = "service"
	MCP      PartyType = "server" // an MCP server acting on its own token
	Unknown  PartyType = "unknown"
)

// Source is who reported the event, as the collector authenticated it.
type Source struct {
	// Id of the configured source.
	ID string `json:"id"`
	// Kind of source: the name of its folder under collector, for example "native", "otlp", "opa".
	Type string `json:"type"`
	// The source's own id of the event; what makes a re-delivery recognisable.
	EventID string `json:"event_id,omitzero"`
	// The source's own counter, from 1, where it has one; gaps and replays show.
	Sequence int64 `json:"sequence,omitzero"`
}

// Party is a principal. Iss and Sub together name it.
type Party struct {
	// Issuer that vouches for sub, an absolute URI where known.
	Iss string `json:"iss,omitzero"`
	// Subject identifier, unique within iss.
	Sub string `json:"sub,omitzero"`
	// What it is.
	Type PartyType `json:"type,omitzero"`
	// Display name; never used to join.
	Name string `json:"name,omitzero"`
}

// Link is one actor of a delegation chain.
type Link struct {
	// Issuer that vouches for sub.
	Iss string `json:"iss,omitzero"`
	// Subject identifier, unique within iss.
	Sub string `json:"sub,omitzero"`
	// What it is.
	Type PartyType `json:"type,omitzero"`
}

// Client is the client software: the OAuth client and, for MCP, clientInfo.
type Client struct {
	// OAuth client_id.
	ID string `json:"id,omitzero"`
	// MCP clientInfo.name, or the OAuth client name.
	Name string `json:"name,omitzero"`
	// MCP clientInfo.version.
	Version string `json:"version,omitzero"`
	// The id comes from a verified token; false for what the client says of itself.
	Verified bool `json:"verified,omitzero"`
}

// Server is an MCP server or another protected resource.
type Server struct {
	// Id in the catalogue.
	ID string `json:"id,omitzero"`
	// Implementation name as the server reports it.
	Name string `json:"name,omitzero"`
	// Resource identifier (RFC 8707), what a token's audience must contain.
	URI string `json:"uri,omitzero"`
	// Implementation version.
	Version string `json:"version,omitzero"`
}

// Verified says whether a hop is cryptographically attributable.
type Verified string

// The values of Verified; a failed check is "failed:" and the reason.
const (
	TokenVerified   Verified = "verified"
	TokenUnverified Verified = "unverified"
	TokenAbsent     Verified = "absent"
	TokenFailed     Verified = "failed:" // prefix
)

// Token is what is known of the token presented.
type Token struct {
	// Reference: "sha256:" + base64url(SHA-256(token)) as DPoP's ath (RFC 9449 section 4.2), or "hmac:KEYID:" + base64url(HMAC-SHA256(key, secret)) for low-entropy secrets.
	Ref string `json:"ref,omitzero"`
	// Claim jti.
	JTI string `json:"jti,omitzero"`
	// Claim iss.
	Iss string `json:"iss,omitzero"`
	// Claim aud.
	Audience []string `json:"audience,omitzero"`
	// Claim scope, split at spaces.
	Scope []string `json:"scope,omitzero"`
	// Claim iat.
	IssuedAt Time `json:"issued_at,omitzero"`
	// Claim nbf.
	NotBefore Time `json:"not_before,omitzero"`
	// Claim exp.
	ExpiresAt Time `json:"expires_at,omitzero"`
	// "Bearer", "DPoP", "api_key" or a token type URI.
	TokenType string `json:"token_type,omitzero"`
	// Proof-of-possession binding: the cnf member, for example "jkt:..." or "x5t#S256:...".
	Confirmation string `json:"confirmation,omitzero"`
	// A long-lived secret that is not issued per task (API key, password, personal access token).
	Static bool `json:"static,omitzero"`
	// verified, unverified, absent, or "failed:" and the reason.
	Verified Verified `json:"verified,omitzero"`
}

// Exchange is an RFC 8693 token exchange (or one of its profiles: ID-JAG, transaction tokens).
type Exchange struct {
	// Request parameter grant_type.
	GrantType string `json:"grant_type,omitzero"`
	// Reference of the subject_token.
	SubjectTokenRef string `json:"subject_token_ref,omitzero"`
	// Reference of the actor_token.
	ActorTokenRef string `json:"actor_token_ref,omitzero"`
	// Reference of the token issued.
	IssuedTokenRef string `json:"issued_token_ref,omitzero"`
	// Request parameter requested_token_type.
	RequestedTokenType string `json:"requested_token_type,omitzero"`
	// Response parameter issued_token_type.
	IssuedTokenType string `json:"issued_token_type,omitzero"`
	// Request parameter scope.
	RequestedScope []string `json:"requested_scope,omitzero"`
	// Scope of the subject token.
	SubjectScope []string `json:"subject_scope,omitzero"`
	// Scope of the token issued.
	GrantedScope []string `json:"granted_scope,omitzero"`
	// Request parameter audience.
	RequestedAudience []string `json:"requested_audience,omitzero"`
	// Request parameter resource (RFC 8707).
	Resource []string `json:"resource,omitzero"`
	// Lifetime of the token issued, in seconds.
	ExpiresIn int64 `json:"expires_in,omitzero"`
	// Served from the gateway's cache: no request reached the token service.
	Cached bool `json:"cached,omitzero"`
	// A step-up asked for by the resource (MCP insufficient_scope), so the union of scopes is expected.
	StepUp bool `json:"step_up,omitzero"`
}

// Tool is a tool call or, in a decision, the tool decided upon.
type Tool struct {
	// Tool name (MCP params.name).
	Name string `json:"name,omitzero"`
	// Id of the call as the agent framework numbers it.
	CallID string `json:"call_id,omitzero"`
	// JSON-RPC method, for example "tools/call".
	ServerMethod string `json:"server_method,omitzero"`
	// "sha256:" + base64url(SHA-256 of the RFC 8785 bytes of the arguments).
	ArgumentsHash string `json:"arguments_hash,omitzero"`
	// Top-level argument names, sorted.
	ArgumentNames []string `json:"argument_names,omitzero"`
	// Redacted arguments as JSON text; only where the source opted in. At most 64 KiB.
	Arguments string `json:"arguments,omitzero"`
	// Tool annotations of MCP (readOnlyHint, destructiveHint, idempotentHint, openWorldHint): hints, not facts.
	Annotations map[string]bool `json:"annotations,omitzero"`
	// "ok", "tool_error" (MCP result.isError), "rpc_error", or "input_required": the server asked the client back and did not
	// finish (MCP 2026-07-28, resultType); the client sends the call again with what was asked for.
	ResultStatus string `json:"result_status,omitzero"`
	// JSON-RPC or HTTP error code.
	ErrorCode string `json:"error_code,omitzero"`
	// Duration, in milliseconds.
	DurationMS int64 `json:"duration_ms,omitzero"`
	// Size of the request's params, in bytes.
	RequestBytes int64 `json:"request_bytes,omitzero"`
	// Size of the result, in bytes.
	ResponseBytes int64 `json:"response_bytes,omitzero"`
}

// Effect is what a policy engine answered.
type Effect string

// The effects. An engine that could not decide is "error", never "deny"; one that has
// no policy for the question, or answers with a condition only, is "not_applicable".
const (
	Allow         Effect = "allow"
	Deny          Effect = "deny"
	EffectError   Effect = "error"
	NotApplicable Effect = "not_applicable"
)

// Decision is a permission decision (AuthZEN access evaluation, OPA decision, gateway rule).
type Decision struct {
	// The engine's id of the decision.
	ID string `json:"id,omitzero"`
	// What was answered.
	Effect Effect `json:"effect,omitzero"`
	// Engine, for example "opa".
	Engine string `json:"engine,omitzero"`
	// Policy path or name.
	Policy string `json:"policy,omitzero"`
	// Policy revision.
	PolicyVersion string `json:"policy_version,omitzero"`
	// Rule within the policy.
	Rule string `json:"rule,omitzero"`
	// Reason given.
	Reason string `json:"reason,omitzero"`
	// Obligations that go with the answer.
	Obligations []string `json:"obligations,omitzero"`
	// Action asked about.
	Action string `json:"action,omitzero"`
	// Resource asked about.
	Resource string `json:"resource,omitzero"`
	// Inferred from an error of a gateway that hides its denials.
	Inferred bool `json:"inferred,omitzero"`
}

// Correlation holds the identifiers that join events.
type Correlation struct {
	// W3C trace-id, 32 lower-case hex digits.
	TraceID string `json:"trace_id,omitzero"`
	// W3C span id, 16 lower-case hex digits.
	SpanID string `json:"span_id,omitzero"`
	// Span id of the parent.
	ParentSpanID string `json:"parent_span_id,omitzero"`
	// X-Request-Id or the gateway's own.
	RequestID string `json:"request_id,omitzero"`
	// JSON-RPC id; unique per connection only.
	JSONRPCID string `json:"jsonrpc_id,omitzero"`
	// MCP session (before 2026-07-28) or login session.
	SessionID string `json:"session_id,omitzero"`
	// Task the agent works on.
	TaskID string `json:"task_id,omitzero"`
	// Claim txn (transaction tokens).
	TransactionID string `json:"transaction_id,omitzero"`
	// decision.id of the decision that let this happen, where the caller recorded it.
	DecisionID string `json:"decision_id,omitzero"`
}
