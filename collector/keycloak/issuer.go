package keycloak

import "github.com/custody-audit/custody/schemas/event"

// issued names the realm's issuer where the event has what a token of the realm
// has: a user's id, which is its sub, and a token that the realm issued. What is
// no sub keeps no issuer: the internal ids of clients, groups and roles, an actor
// known by name, an administrator of another realm.
func (r *record) issued(e *event.Event, issuer string) {
	if issuer == "" {
		return
	}
	if e.Subject.Sub != "" && (r.OperationType == "" || e.Attributes["keycloak.subject_kind"] == "users") {
		e.Subject.Iss = issuer
	}
	if r.actorIsUser() {
		e.Actor.Iss = issuer
		if len(e.Chain) > 0 { // the current actor; those below it are told by name
			e.Chain[0].Iss = issuer
		}
	}
	if e.Token.JTI != "" {
		e.Token.Iss = issuer
	}
}

// actorIsUser says that the actor is told by its id in this realm.
func (r *record) actorIsUser() bool {
	if r.OperationType != "" {
		return r.AuthDetails.UserID != "" && r.AuthDetails.RealmID != "" && r.AuthDetails.RealmID == r.RealmID
	}
	return r.name() == "TOKEN_EXCHANGE" && r.Details.text("actor_id") != ""
}
