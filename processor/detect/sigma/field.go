package sigma

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/custody-audit/custody/schemas/table"
)

// kind is what a field holds.
type kind int

const (
	text   kind = iota // empty when absent
	texts              // any of them may match
	number             // 0 when absent
	flag               // false when absent
	moment             // the epoch when absent
)

// field is what a rule may name: an expression over a row of events.
type field struct {
	sql  string
	kind kind
}

// columns of the view events that are fields by their own names.
var columns = map[kind]string{
	text: `schema_version kind type tenant source_id source_type source_event_id outcome subject_iss subject_sub subject_type subject_name actor_iss
		actor_sub actor_type actor_name chain_rule chain_malformed client_id client_name client_version server_id server_name server_uri server_version
		upstream client_address user_agent token_ref token_jti token_iss token_type token_confirmation token_verified exchange_grant_type
		exchange_subject_token_ref exchange_actor_token_ref exchange_issued_token_ref exchange_requested_token_type exchange_issued_token_type
		tool_name tool_call_id tool_server_method tool_arguments_hash tool_result_status tool_error_code decision_id decision_effect decision_engine
		decision_policy decision_policy_version decision_rule decision_reason decision_action decision_resource trace_id span_id parent_span_id
		request_id jsonrpc_id session_id task_id transaction_id correlation_decision_id registry_version subject_owner subject_team subject_lifecycle
		actor_owner actor_team actor_lifecycle server_owner server_team server_sensitivity server_lifecycle tool_owner tool_sensitivity
		token_audience_check token_scope_check`,
	texts: `chain_iss chain_sub chain_type token_audience token_scope exchange_requested_scope exchange_subject_scope exchange_granted_scope
		exchange_requested_audience exchange_resource tool_argument_names warnings tool_scopes exchange_scope_added exchange_scope_dropped
		token_scope_excess token_scope_missing`,
	number: `source_sequence exchange_expires_in tool_duration_ms tool_request_bytes tool_response_bytes token_lifetime_seconds
		token_remaining_seconds exchange_outlives_seconds`,
	flag:   `chain_truncated client_verified token_static exchange_cached exchange_step_up decision_inferred tool_registered tool_destructive`,
	moment: `time observed_time token_issued_at token_not_before token_expires_at`,
}

// fields are all that a rule may name.
var fields = known()

func known() map[string]field {
	out := map[string]field{
		"id": {"toString(id)", text},
		// Who acts: the actor, or the subject where nobody acts for it.
		"identity": {"if(actor_sub != '', actor_sub, subject_sub)", text},
	}
	for kind, list := range columns {
		for column := range strings.FieldsSeq(list) {
			out[column] = field{column, kind}
		}
	}
	for _, names := range []map[string]string{table.Names, table.ListNames} {
		for name, column := range names {
			out[name] = out[column]
		}
	}
	return out
}

// Fields returns the names that a rule may use, beside attributes.NAME.
func Fields() []string { return slices.Sorted(maps.Keys(fields)) }

// lookup returns the field of that name.
func lookup(b *binder, name string) (field, error) {
	if f, ok := fields[name]; ok {
		return f, nil
	}
	if key, ok := strings.CutPrefix(name, "attributes."); ok && key != "" {
		return field{"attributes[" + b.text(key) + "]", text}, nil
	}
	return field{}, fmt.Errorf("field %q is unknown: want a column of the view events, a field of the filter language, or attributes.NAME", name)
}

// absent is when an event does not have the field.
func (f field) absent() (string, error) {
	switch f.kind {
	case text:
		return f.sql + " = ''", nil
	case texts:
		return "empty(" + f.sql + ")", nil
	case moment:
		return f.sql + " = toDateTime64(0, 6, 'UTC')", nil
	}
	return "", fmt.Errorf("%s: whether it is absent is not stored", f.sql)
}

// each is a test of the field, or of any element of it.
func (f field) each(test func(x string) string) string {
	if f.kind == texts {
		return "arrayExists(x -> " + test("x") + ", " + f.sql + ")"
	}
	return test(f.sql)
}
