package table

import (
	"time"

	"github.com/google/uuid"

	"github.com/custody-audit/custody/schemas/event"
)

// State says what became of a Kafka record.
type State string

// The states.
const (
	Stored    State = "stored"    // an event, and the first with its id
	Duplicate State = "duplicate" // the same event again: same id, same content
	Conflict  State = "conflict"  // an id that was stored with other content
	Malformed State = "malformed" // no event: the dead-letter topic has it too
)

// Position is where a record is in the log.
type Position struct {
	Topic     string
	Epoch     string // incarnation of the partition's log
	Partition int
	Offset    int64
}

// Record is one row of records.
type Record struct {
	Position
	LogTime     time.Time // the broker's, to the millisecond
	State       State
	Problem     string
	LeafHash    [32]byte
	ContentHash [32]byte
	Raw         []byte
	Event       event.Event // zero when malformed
}

type column struct {
	name  string
	value func(*Record) any
}

// columns is the one place that says which column holds what; an insert names
// them, so the order means nothing.
var columns = []column{
	{"topic", func(r *Record) any { return r.Topic }},
	{"epoch", func(r *Record) any { return r.Epoch }},
	{"partition", func(r *Record) any { return uint32(r.Partition) }},
	{"offset", func(r *Record) any { return uint64(r.Offset) }},
	{"log_time", func(r *Record) any { return r.LogTime }},
	{"state", func(r *Record) any { return string(r.State) }},
	{"problem", func(r *Record) any { return r.Problem }},
	{"leaf_hash", func(r *Record) any { return string(r.LeafHash[:]) }},
	{"content_hash", func(r *Record) any { return string(r.ContentHash[:]) }},
	{"raw", func(r *Record) any { return string(r.Raw) }},

	{"id", func(r *Record) any { id, _ := uuid.Parse(r.Event.ID); return id }},
	{"schema_version", func(r *Record) any { return r.Event.SchemaVersion }},
	{"kind", func(r *Record) any { return string(r.Event.Kind) }},
	{"type", func(r *Record) any { return r.Event.Type }},
	{"time", func(r *Record) any { return instant(r.Event.Time) }},
	{"observed_time", func(r *Record) any { return instant(r.Event.ObservedTime) }},
	{"tenant", func(r *Record) any { return r.Event.Tenant }},
	{"source_id", func(r *Record) any { return r.Event.Source.ID }},
	{"source_type", func(r *Record) any { return r.Event.Source.Type }},
	{"source_event_id", func(r *Record) any { return r.Event.Source.EventID }},
	{"source_sequence", func(r *Record) any { return uint64(r.Event.Source.Sequence) }},
	{"outcome", func(r *Record) any { return string(r.Event.Outcome) }},

	{"subject_iss", func(r *Record) any { return r.Event.Subject.Iss }},
	{"subject_sub", func(r *Record) any { return r.Event.Subject.Sub }},
	{"subject_type", func(r *Record) any { return string(r.Event.Subject.Type) }},
	{"subject_name", func(r *Record) any { return r.Event.Subject.Name }},
	{"actor_iss", func(r *Record) any { return r.Event.Actor.Iss }},
	{"actor_sub", func(r *Record) any { return r.Event.Actor.Sub }},
	{"actor_type", func(r *Record) any { return string(r.Event.Actor.Type) }},
	{"actor_name", func(r *Record) any { return r.Event.Actor.Name }},
	{"chain_iss", func(r *Record) any { return links(r, func(l event.Link) string { return l.Iss }) }},
	{"chain_sub", func(r *Record) any { return links(r, func(l event.Link) string { return l.Sub }) }},
	{"chain_type", func(r *Record) any { return links(r, func(l event.Link) string { return string(l.Type) }) }},
	{"chain_rule", func(r *Record) any { return string(r.Event.ChainRule) }},
	{"chain_truncated", func(r *Record) any { return r.Event.ChainTruncated }},
	{"chain_malformed", func(r *Record) any { return r.Event.ChainMalformed }},
	{"client_id", func(r *Record) any { return r.Event.Client.ID }},
	{"client_name", func(r *Record) any { return r.Event.Client.Name }},
	{"client_version", func(r *Record) any { return r.Event.Client.Version }},
	{"client_verified", func(r *Record) any { return r.Event.Client.Verified }},

	{"server_id", func(r *Record) any { return r.Event.Server.ID }},
	{"server_name", func(r *Record) any { return r.Event.Server.Name }},
	{"server_uri", func(r *Record) any { return r.Event.Server.URI }},
	{"server_version", func(r *Record) any { return r.Event.Server.Version }},
	{"upstream", func(r *Record) any { return r.Event.Upstream }},
	{"client_address", func(r *Record) any { return r.Event.ClientAddress }},
	{"user_agent", func(r *Record) any { return r.Event.UserAgent }},

	{"token_ref", func(r *Record) any { return r.Event.Token.Ref }},
	{"token_jti", func(r *Record) any { return r.Event.Token.JTI }},
	{"token_iss", func(r *Record) any { return r.Event.Token.Iss }},
	{"token_audience", func(r *Record) any { return r.Event.Token.Audience }},
	{"token_scope", func(r *Record) any { return r.Event.Token.Scope }},
	{"token_issued_at", func(r *Record) any { return instant(r.Event.Token.IssuedAt) }},
	{"token_not_before", func(r *Record) any { return instant(r.Event.Token.NotBefore) }},
	{"token_expires_at", func(r *Record) any { return instant(r.Event.Token.ExpiresAt) }},
	{"token_type", func(r *Record) any { return r.Event.Token.TokenType }},
	{"token_confirmation", func(r *Record) any { return r.Event.Token.Confirmation }},
	{"token_static", func(r *Record) any { return r.Event.Token.Static }},
	{"token_verified", func(r *Record) any { return string(r.Event.Token.Verified) }},

	{"exchange_grant_type", func(r *Record) any { return r.Event.Exchange.GrantType }},
	{"exchange_subject_token_ref", func(r *Record) any { return r.Event.Exchange.SubjectTokenRef }},
	{"exchange_actor_token_ref", func(r *Record) any { return r.Event.Exchange.ActorTokenRef }},
	{"exchange_issued_token_ref", func(r *Record) any { return r.Event.Exchange.IssuedTokenRef }},
	{"exchange_requested_token_type", func(r *Record) any { return r.Event.Exchange.RequestedTokenType }},
	{"exchange_issued_token_type", func(r *Record) any { return r.Event.Exchange.IssuedTokenType }},
	{"exchange_requested_scope", func(r *Record) any { return r.Event.Exchange.RequestedScope }},
	{"exchange_subject_scope", func(r *Record) any { return r.Event.Exchange.SubjectScope }},
	{"exchange_granted_scope", func(r *Record) any { return r.Event.Exchange.GrantedScope }},
	{"exchange_requested_audience", func(r *Record) any { return r.Event.Exchange.RequestedAudience }},
	{"exchange_resource", func(r *Record) any { return r.Event.Exchange.Resource }},
	{"exchange_expires_in", func(r *Record) any { return uint64(r.Event.Exchange.ExpiresIn) }},
	{"exchange_cached", func(r *Record) any { return r.Event.Exchange.Cached }},
	{"exchange_step_up", func(r *Record) any { return r.Event.Exchange.StepUp }},

	{"tool_name", func(r *Record) any { return r.Event.Tool.Name }},
	{"tool_call_id", func(r *Record) any { return r.Event.Tool.CallID }},
	{"tool_server_method", func(r *Record) any { return r.Event.Tool.ServerMethod }},
	{"tool_arguments_hash", func(r *Record) any { return r.Event.Tool.ArgumentsHash }},
	{"tool_argument_names", func(r *Record) any { return r.Event.Tool.ArgumentNames }},
	{"tool_result_status", func(r *Record) any { return r.Event.Tool.ResultStatus }},
	{"tool_error_code", func(r *Record) any { return r.Event.Tool.ErrorCode }},
	{"tool_duration_ms", func(r *Record) any { return uint64(r.Event.Tool.DurationMS) }},
	{"tool_request_bytes", func(r *Record) any { return uint64(r.Event.Tool.RequestBytes) }},
	{"tool_response_bytes", func(r *Record) any { return uint64(r.Event.Tool.ResponseBytes) }},

	{"decision_id", func(r *Record) any { return r.Event.Decision.ID }},
	{"decision_effect", func(r *Record) any { return string(r.Event.Decision.Effect) }},
	{"decision_engine", func(r *Record) any { return r.Event.Decision.Engine }},
	{"decision_policy", func(r *Record) any { return r.Event.Decision.Policy }},
	{"decision_policy_version", func(r *Record) any { return r.Event.Decision.PolicyVersion }},
	{"decision_rule", func(r *Record) any { return r.Event.Decision.Rule }},
	{"decision_reason", func(r *Record) any { return r.Event.Decision.Reason }},
	{"decision_action", func(r *Record) any { return r.Event.Decision.Action }},
	{"decision_resource", func(r *Record) any { return r.Event.Decision.Resource }},
	{"decision_inferred", func(r *Record) any { return r.Event.Decision.Inferred }},

	{"trace_id", func(r *Record) any { return r.Event.Correlation.TraceID }},
	{"span_id", func(r *Record) any { return r.Event.Correlation.SpanID }},
	{"parent_span_id", func(r *Record) any { return r.Event.Correlation.ParentSpanID }},
	{"request_id", func(r *Record) any { return r.Event.Correlation.RequestID }},
	{"jsonrpc_id", func(r *Record) any { return r.Event.Correlation.JSONRPCID }},
	{"session_id", func(r *Record) any { return r.Event.Correlation.SessionID }},
	{"task_id", func(r *Record) any { return r.Event.Correlation.TaskID }},
	{"transaction_id", func(r *Record) any { return r.Event.Correlation.TransactionID }},
	{"correlation_decision_id", func(r *Record) any { return r.Event.Correlation.DecisionID }},

	{"attributes", func(r *Record) any { return orEmpty(r.Event.Attributes) }},
	{"warnings", func(r *Record) any { return r.Event.Warnings }},
}

// InsertRecords is the insert statement for Record.Values, columns by name.
var InsertRecords = insertStatement()

func insertStatement() string {
	sql := "INSERT INTO records ("
	for i, c := range columns {
		if i > 0 {
			sql += ", "
		}
		sql += c.name
	}
	return sql + ")"
}

// Values appends the row's values in the order InsertRecords names them.
func (r *Record) Values(dst []any) []any {
	for _, c := range columns {
		dst = append(dst, c.value(r))
	}
	return dst
}

// instant gives the epoch for an absent time: DateTime64 has no other zero.
func instant(t event.Time) time.Time { return time.UnixMicro(int64(t)).UTC() }

func links(r *Record, part func(event.Link) string) []string {
	out := make([]string, len(r.Event.Chain))
	for i, l := range r.Event.Chain {
		out[i] = part(l)
	}
	return out
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
