package keycloak

import (
	"slices"

	"github.com/custody-audit/custody/schemas/event"
)

// Error codes of org.keycloak.events.Errors. What is in neither list is a failure.
var (
	// refusals say that a rule, an administrator or the user said no.
	refusals = []string{
		"access_denied", "not_allowed", "consent_denied", "rejected_by_user", "client_disabled", "user_disabled",
		"user_temporarily_disabled", "realm_disabled", "registration_disabled", "reset_credential_disabled", "ssl_required",
		"illegal_origin", "password_rejected", "unauthorized_client", "insufficient_scope", "slow_down",
	}
	// troubles say that Keycloak, or what it asked, did not work.
	troubles = []string{
		"identity_provider_error", "email_send_failed", "user_delete_error", "invalid_config", "logout_failed", "unknown_error", "server_error",
	}
)

func (r *record) outcome() event.Outcome {
	switch {
	case r.Error == "" && !r.failed():
		return event.Success
	case slices.Contains(refusals, r.Error), r.delegationRefused():
		return event.Denied
	case slices.Contains(troubles, r.Error):
		return event.Error
	}
	return event.Failure
}

// delegationRefused tells a delegation that the rules do not allow (may_act, the
// permission to delegate, the depth) from a token that does not hold. Both are
// invalid_token; the actor is told only when both tokens held.
func (r *record) delegationRefused() bool {
	return r.Error == "invalid_token" && r.name() == "TOKEN_EXCHANGE" && r.Details.text("actor_id") != ""
}
