package table

import (
	"encoding/binary"
	"time"
	"unsafe"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/custody-audit/custody/schemas/event"
)

// State says what became of a Kafka record.
type State uint8

// The states, as the Enum8 of the column state numbers them.
const (
	Stored    State = iota + 1 // an event, and the first with its id
	Duplicate                  // the same event again: same id, same content
	Conflict                   // an id that was stored with other content
	Malformed                  // no event: the dead-letter topic has it too
)

func (s State) String() string {
	return [...]string{"", "stored", "duplicate", "conflict", "malformed"}[s]
}

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
	Event       *event.Event // nil when malformed
	Facts       *Facts       // about Event; nil for none
}

// definition says what a column of records holds.
type definition struct {
	name string
	make func() column
}

// group is columns that have a value together: where present says no, all of
// them have their type's default.
type group struct {
	present func(*Record) bool
	columns []definition
}

// groups is the one place that says which column holds what; an insert names
// them, so the order means nothing.
var groups = []group{
	{func(*Record) bool { return true }, []definition{
		{"partition", aFixed("UInt32", 4, func(b []byte, r *Record) []byte { return binary.LittleEndian.AppendUint32(b, uint32(r.Partition)) })},
		{"offset", aUint64(func(r *Record) uint64 { return uint64(r.Offset) })},
		{"log_time", aNumber("DateTime64(3, 'UTC')", func(r *Record) uint64 { return uint64(r.LogTime.UnixMilli()) })},
		{"leaf_hash", aFixed("FixedString(32)", 32, func(b []byte, r *Record) []byte { return append(b, r.LeafHash[:]...) })},
		{"content_hash", aFixed("FixedString(32)", 32, func(b []byte, r *Record) []byte { return append(b, r.ContentHash[:]...) })},
		{"raw", aText(func(r *Record) string { return unsafe.String(unsafe.SliceData(r.Raw), len(r.Raw)) })},
		{"topic", aWord(func(r *Record) string { return r.Topic })},
		{"epoch", aWord(func(r *Record) string { return r.Epoch })},
	}},
	{func(r *Record) bool { return r.Event != nil }, []definition{
		{"id", aFixed("UUID", 16, func(b []byte, r *Record) []byte { return appendUUID(b, r.Event.ID) })},
		{"schema_version", aWord(func(r *Record) string { return r.Event.SchemaVersion })},
		{"kind", aWord(func(r *Record) string { return string(r.Event.Kind) })},
		{"type", aWord(func(r *Record) string { return r.Event.Type })},
		{"time", aTime(func(r *Record) uint64 { return uint64(r.Event.Time) })},
		{"observed_time", aTime(func(r *Record) uint64 { return uint64(r.Event.ObservedTime) })},
		{"tenant", aWord(func(r *Record) string { return r.Event.Tenant })},
		{"source_id", aWord(func(r *Record) string { return r.Event.Source.ID })},
		{"source_type", aWord(func(r *Record) string { return r.Event.Source.Type })},
		{"source_event_id", aText(func(r *Record) string { return r.Event.Source.EventID })},
		{"source_sequence", aUint64(func(r *Record) uint64 { return uint64(r.Event.Source.Sequence) })},
		{"outcome", aWord(func(r *Record) string { return string(r.Event.Outcome) })},
		{"subject_iss", aWord(func(r *Record) string { return r.Event.Subject.Iss })},
		{"subject_sub", aText(func(r *Record) string { return r.Event.Subject.Sub })},
		{"subject_type", aWord(func(r *Record) string { return string(r.Event.Subject.Type) })},
		{"subject_name", aText(func(r *Record) string { return r.Event.Subject.Name })},
		{"actor_iss", aWord(func(r *Record) string { return r.Event.Actor.Iss })},
		{"actor_sub", aText(func(r *Record) string { return r.Event.Actor.Sub })},
		{"actor_type", aWord(func(r *Record) string { return string(r.Event.Actor.Type) })},
		{"actor_name", aText(func(r *Record) string { return r.Event.Actor.Name })},
		{"trace_id", aText(func(r *Record) string { return r.Event.Correlation.TraceID })},
		{"span_id", aText(func(r *Record) string { return r.Event.Correlation.SpanID })},
		{"parent_span_id", aText(func(r *Record) string { return r.Event.Correlation.ParentSpanID })},
		{"request_id", aText(func(r *Record) string { return r.Event.Correlation.RequestID })},
		{"jsonrpc_id", aText(func(r *Record) string { return r.Event.Correlation.JSONRPCID })},
		{"session_id", aText(func(r *Record) string { return r.Event.Correlation.SessionID })},
		{"task_id", aText(func(r *Record) string { return r.Event.Correlation.TaskID })},
		{"transaction_id", aText(func(r *Record) string { return r.Event.Correlation.TransactionID })},
		{"correlation_decision_id", aText(func(r *Record) string { return r.Event.Correlation.DecisionID })},
	}},
	{func(r *Record) bool { return r.Event != nil && !zero(&r.Event.Client) }, []definition{
		{"client_id", aText(func(r *Record) string { return r.Event.Client.ID })},
		{"client_name", aWord(func(r *Record) string { return r.Event.Client.Name })},
		{"client_version", aWord(func(r *Record) string { return r.Event.Client.Version })},
		{"client_verified", aBool(func(r *Record) bool { return r.Event.Client.Verified })},
	}},
	{func(r *Record) bool {
		return r.Event != nil && (len(r.Event.Chain) > 0 || r.Event.ChainRule != "" || r.Event.ChainTruncated || r.Event.ChainMalformed != "")
	}, []definition{
		{"chain_iss", aWordList(links(func(l *event.Link) string { return l.Iss }))},
		{"chain_sub", aTextList(links(func(l *event.Link) string { return l.Sub }))},
		{"chain_type", aWordList(links(func(l *event.Link) string { return string(l.Type) }))},
		{"chain_rule", aWord(func(r *Record) string { return string(r.Event.ChainRule) })},
		{"chain_truncated", aBool(func(r *Record) bool { return r.Event.ChainTruncated })},
		{"chain_malformed", aText(func(r *Record) string { return r.Event.ChainMalformed })},
	}},
	{func(r *Record) bool { return r.Event != nil && !zero(&r.Event.Server) }, []definition{
		{"server_id", aWord(func(r *Record) string { return r.Event.Server.ID })},
		{"server_name", aWord(func(r *Record) string { return r.Event.Server.Name })},
		{"server_uri", aWord(func(r *Record) string { return r.Event.Server.URI })},
		{"server_version", aWord(func(r *Record) string { return r.Event.Server.Version })},
	}},
	{func(r *Record) bool {
		return r.Event != nil && (r.Event.Upstream != "" || r.Event.ClientAddress != "" || r.Event.UserAgent != "")
	}, []definition{
		{"upstream", aWord(func(r *Record) string { return r.Event.Upstream })},
		{"client_address", aText(func(r *Record) string { return r.Event.ClientAddress })},
		{"user_agent", aWord(func(r *Record) string { return r.Event.UserAgent })},
	}},
	{func(r *Record) bool {
		return r.Event != nil && (len(r.Event.Warnings) > 0 || len(r.Event.Attributes) > 0)
	}, []definition{
		{"warnings", aWordList(func(_ []string, r *Record) []string { return r.Event.Warnings })},
		{"attributes", aMap(func(r *Record) map[string]string { return r.Event.Attributes })},
	}},
	{func(r *Record) bool { return r.Event != nil && !zero(&r.Event.Token) }, []definition{
		{"token_ref", aText(func(r *Record) string { return r.Event.Token.Ref })},
		{"token_jti", aText(func(r *Record) string { return r.Event.Token.JTI })},
		{"token_iss", aWord(func(r *Record) string { return r.Event.Token.Iss })},
		{"token_audience", aWordList(func(_ []string, r *Record) []string { return r.Event.Token.Audience })},
		{"token_scope", aWordList(func(_ []string, r *Record) []string { return r.Event.Token.Scope })},
		{"token_issued_at", aTime(func(r *Record) uint64 { return uint64(r.Event.Token.IssuedAt) })},
		{"token_not_before", aTime(func(r *Record) uint64 { return uint64(r.Event.Token.NotBefore) })},
		{"token_expires_at", aTime(func(r *Record) uint64 { return uint64(r.Event.Token.ExpiresAt) })},
		{"token_type", aWord(func(r *Record) string { return r.Event.Token.TokenType })},
		{"token_confirmation", aText(func(r *Record) string { return r.Event.Token.Confirmation })},
		{"token_static", aBool(func(r *Record) bool { return r.Event.Token.Static })},
		{"token_verified", aWord(func(r *Record) string { return string(r.Event.Token.Verified) })},
	}},
	{func(r *Record) bool { return r.Event != nil && !zero(&r.Event.Exchange) }, []definition{
		{"exchange_grant_type", aWord(func(r *Record) string { return r.Event.Exchange.GrantType })},
		{"exchange_subject_token_ref", aText(func(r *Record) string { return r.Event.Exchange.SubjectTokenRef })},
		{"exchange_actor_token_ref", aText(func(r *Record) string { return r.Event.Exchange.ActorTokenRef })},
		{"exchange_issued_token_ref", aText(func(r *Record) string { return r.Event.Exchange.IssuedTokenRef })},
		{"exchange_requested_token_type", aWord(func(r *Record) string { return r.Event.Exchange.RequestedTokenType })},
		{"exchange_issued_token_type", aWord(func(r *Record) string { return r.Event.Exchange.IssuedTokenType })},
		{"exchange_requested_scope", aWordList(func(_ []string, r *Record) []string { return r.Event.Exchange.RequestedScope })},
		{"exchange_subject_scope", aWordList(func(_ []string, r *Record) []string { return r.Event.Exchange.SubjectScope })},
		{"exchange_granted_scope", aWordList(func(_ []string, r *Record) []string { return r.Event.Exchange.GrantedScope })},
		{"exchange_requested_audience", aWordList(func(_ []string, r *Record) []string { return r.Event.Exchange.RequestedAudience })},
		{"exchange_resource", aWordList(func(_ []string, r *Record) []string { return r.Event.Exchange.Resource })},
		{"exchange_expires_in", aUint64(func(r *Record) uint64 { return uint64(r.Event.Exchange.ExpiresIn) })},
		{"exchange_cached", aBool(func(r *Record) bool { return r.Event.Exchange.Cached })},
		{"exchange_step_up", aBool(func(r *Record) bool { return r.Event.Exchange.StepUp })},
	}},
	{func(r *Record) bool { return r.Event != nil && !zero(&r.Event.Tool) }, []definition{
		{"tool_name", aWord(func(r *Record) string { return r.Event.Tool.Name })},
		{"tool_call_id", aText(func(r *Record) string { return r.Event.Tool.CallID })},
		{"tool_server_method", aWord(func(r *Record) string { return r.Event.Tool.ServerMethod })},
		{"tool_arguments_hash", aText(func(r *Record) string { return r.Event.Tool.ArgumentsHash })},
		{"tool_argument_names", aWordList(func(_ []string, r *Record) []string { return r.Event.Tool.ArgumentNames })},
		{"tool_result_status", aWord(func(r *Record) string { return r.Event.Tool.ResultStatus })},
		{"tool_error_code", aWord(func(r *Record) string { return r.Event.Tool.ErrorCode })},
		{"tool_duration_ms", aUint64(func(r *Record) uint64 { return uint64(r.Event.Tool.DurationMS) })},
		{"tool_request_bytes", aUint64(func(r *Record) uint64 { return uint64(r.Event.Tool.RequestBytes) })},
		{"tool_response_bytes", aUint64(func(r *Record) uint64 { return uint64(r.Event.Tool.ResponseBytes) })},
	}},
	{func(r *Record) bool { return r.Event != nil && !zero(&r.Event.Decision) }, []definition{
		{"decision_id", aText(func(r *Record) string { return r.Event.Decision.ID })},
		{"decision_effect", aWord(func(r *Record) string { return string(r.Event.Decision.Effect) })},
		{"decision_engine", aWord(func(r *Record) string { return r.Event.Decision.Engine })},
		{"decision_policy", aWord(func(r *Record) string { return r.Event.Decision.Policy })},
		{"decision_policy_version", aWord(func(r *Record) string { return r.Event.Decision.PolicyVersion })},
		{"decision_rule", aWord(func(r *Record) string { return r.Event.Decision.Rule })},
		{"decision_reason", aText(func(r *Record) string { return r.Event.Decision.Reason })},
		{"decision_action", aWord(func(r *Record) string { return r.Event.Decision.Action })},
		{"decision_resource", aText(func(r *Record) string { return r.Event.Decision.Resource })},
		{"decision_inferred", aBool(func(r *Record) bool { return r.Event.Decision.Inferred })},
	}},
}

func aText(get func(*Record) string) func() column { return func() column { return &text{get: get} } }

func aWord(get func(*Record) string) func() column { return func() column { return &word{get: get} } }

func aTextList(get func([]string, *Record) []string) func() column {
	return func() column { return &textList{get: get} }
}

func aWordList(get func([]string, *Record) []string) func() column {
	return func() column { return &wordList{get: get} }
}

func aMap(get func(*Record) map[string]string) func() column {
	return func() column { return &mapping{get: get} }
}

func aFixed(typ proto.ColumnType, width int, get func([]byte, *Record) []byte) func() column {
	return func() column { return &fixed{typ: typ, width: width, get: get} }
}

func aNumber(typ proto.ColumnType, get func(*Record) uint64) func() column {
	return func() column { return &number{fixed{typ: typ, width: 8}, get} }
}

func aUint64(get func(*Record) uint64) func() column { return aNumber("UInt64", get) }

// aTime gives 1970-01-01 for an absent time: DateTime64 has no other zero.
func aTime(get func(*Record) uint64) func() column { return aNumber("DateTime64(6, 'UTC')", get) }

func aBool(get func(*Record) bool) func() column {
	return func() column { return &flag{fixed{typ: "Bool", width: 1}, get} }
}

func links(part func(*event.Link) string) func([]string, *Record) []string {
	return func(dst []string, r *Record) []string {
		for i := range r.Event.Chain {
			dst = append(dst, part(&r.Event.Chain[i]))
		}
		return dst
	}
}

// zero tells whether all of v's bytes are zero. An empty list that is not nil
// is not zero, and is then written as the empty list that it is.
func zero[T any](v *T) bool {
	for _, w := range unsafe.Slice((*uintptr)(unsafe.Pointer(v)), unsafe.Sizeof(*v)/unsafe.Sizeof(uintptr(0))) {
		if w != 0 {
			return false
		}
	}
	return true
}

// appendUUID writes a UUID that Validate accepted as ClickHouse keeps it: two
// little-endian halves.
func appendUUID(dst []byte, id string) []byte {
	u, _ := event.ParseID(id)
	dst = binary.LittleEndian.AppendUint64(dst, binary.BigEndian.Uint64(u[:8]))
	return binary.LittleEndian.AppendUint64(dst, binary.BigEndian.Uint64(u[8:]))
}
