package table

// Names are what filters and rules call columns of the view events, beside the
// columns that are called what they are.
var Names = map[string]string{
	"source": "source_id", "source.type": "source_type", "source.event_id": "source_event_id",
	"subject": "subject_sub", "subject.iss": "subject_iss", "subject.type": "subject_type",
	"actor": "actor_sub", "actor.iss": "actor_iss", "actor.type": "actor_type",
	"client": "client_id", "client.name": "client_name",
	"server": "server_id", "server.uri": "server_uri",
	"token": "token_ref", "token.jti": "token_jti", "token.iss": "token_iss", "token.verified": "token_verified",
	"tool": "tool_name", "tool.status": "tool_result_status", "tool.error": "tool_error_code",
	"decision": "decision_effect", "decision.id": "decision_id", "decision.policy": "decision_policy", "decision.engine": "decision_engine",
	"trace": "trace_id", "task": "task_id", "session": "session_id", "transaction": "transaction_id", "jsonrpc": "jsonrpc_id",
	"issued": "exchange_issued_token_ref", "exchanged": "exchange_subject_token_ref",
	"subject.owner": "subject_owner", "subject.team": "subject_team", "subject.lifecycle": "subject_lifecycle",
	"actor.owner": "actor_owner", "actor.team": "actor_team", "actor.lifecycle": "actor_lifecycle",
	"server.owner": "server_owner", "server.team": "server_team", "server.sensitivity": "server_sensitivity", "server.lifecycle": "server_lifecycle",
	"tool.owner": "tool_owner", "tool.sensitivity": "tool_sensitivity",
	"audience.check": "token_audience_check", "scope.check": "token_scope_check", "registry": "registry_version",
}

// ListNames are those of columns that hold several values.
var ListNames = map[string]string{
	"scope": "token_scope", "audience": "token_audience", "granted": "exchange_granted_scope", "chain": "chain_sub", "warning": "warnings",
	"scope.added": "exchange_scope_added", "scope.dropped": "exchange_scope_dropped", "scope.excess": "token_scope_excess", "scope.missing": "token_scope_missing",
}
