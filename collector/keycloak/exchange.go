package keycloak

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

const (
	grantType        = "urn:ietf:params:oauth:grant-type:token-exchange"
	refreshTokenType = "urn:ietf:params:oauth:token-type:refresh_token"
)

// exchange reads a token exchange. On success the details scope and audience
// are those of the token issued; on an error they are what was asked for.
func (r *record) exchange(e *event.Event) {
	x := &e.Exchange
	x.GrantType = grantType
	x.RequestedTokenType = r.Details.text("requested_token_type")
	x.RequestedAudience = r.Details.list("audience")
	if e.Outcome == event.Success {
		x.IssuedTokenType = x.RequestedTokenType // Keycloak refuses what it does not issue
		x.GrantedScope = r.Details.list("scope")
		r.note(e, "issued_token_jti", r.Details.text("token_id"))
		// Standard exchange, which alone logs this detail, is for confidential clients only.
		e.Client.Verified = r.Details.text("subject_token_client_id") != ""
	} else {
		x.RequestedScope = r.Details.list("scope")
	}
	r.exchangeRefs(e)
	r.actor(e)
}

func (r *record) exchangeRefs(e *event.Event) {
	x := &e.Exchange
	x.SubjectTokenRef = r.Details.reference(e, "subject_token")
	x.ActorTokenRef = r.Details.reference(e, "actor_token")
	x.IssuedTokenRef = r.Details.reference(e, "issued_token")
	if e.Outcome == event.Success && (x.SubjectTokenRef == "" || x.IssuedTokenRef == "") {
		e.Warnings = append(e.Warnings, "no reference of the subject token or of the one issued: Keycloak does not log them, so they join nothing")
	}
}

// actor reads who acts. Without a delegation Keycloak issues a token that names
// the subject only, whoever asked for it.
func (r *record) actor(e *event.Event) {
	id, name := r.Details.text("actor_id"), r.Details.text("actor")
	if id == "" && name == "" {
		if !r.impersonator(e) && e.Outcome == event.Success {
			e.Warnings = append(e.Warnings, "no actor in the exchange: the token issued names the subject only")
		}
		return
	}
	e.Actor = event.Party{Sub: id, Name: name}
	if r.Details.text("actor_type") == "client" || strings.HasPrefix(name, serviceAccount) {
		e.Actor.Type = event.Service
	}
	if id == "" {
		e.Actor.Sub = name
		e.Warnings = append(e.Warnings, "actor is known by name only: no actor_id")
	}
	r.chain(e)
}

// chain reads delegation_chain, which names the actors from the first one to the
// current one, and delegation_chain_depth. The first hop has no list.
func (r *record) chain(e *event.Event) {
	e.Chain = []event.Link{{Sub: e.Actor.Sub, Type: e.Actor.Type}}
	depth := r.depth(e)
	list := r.Details.text("delegation_chain")
	if list == "" {
		r.unlisted(e, depth)
		return
	}
	names := strings.Split(list, ",")
	if len(names) > event.MaxChain {
		e.ChainTruncated = true
		e.Warnings = append(e.Warnings, fmt.Sprintf("chain truncated: %d actors, the last %d are kept", len(names), event.MaxChain))
		names, depth = names[len(names)-event.MaxChain:], 0
	}
	if depth != 0 && depth != len(names) {
		e.ChainMalformed = fmt.Sprintf("delegation_chain has %d names and delegation_chain_depth is %d", len(names), depth)
		e.Warnings = append(e.Warnings, "chain malformed: "+e.ChainMalformed)
	}
	e.ChainRule = event.Flat
	for _, name := range slices.Backward(names[:len(names)-1]) {
		if name = strings.TrimSpace(name); name != "" {
			e.Chain = append(e.Chain, event.Link{Sub: name})
		}
	}
	if len(e.Chain) > 1 {
		e.Warnings = append(e.Warnings, "chain names actors below the first by client id or user name, not by sub")
	}
}

// unlisted is a chain of which only the current actor is told.
func (r *record) unlisted(e *event.Event, depth int) {
	switch {
	case depth > 1:
		e.ChainTruncated = true
		e.Warnings = append(e.Warnings, fmt.Sprintf("chain truncated: %d actors, of which Keycloak names the last", depth))
	case r.Details.text("delegation_chain_depth") == "": // before delegation could be chained, act of the actor token was nested
		e.ChainRule = event.ActorChained
		e.Warnings = append(e.Warnings, "chain may be longer: this Keycloak logs the current actor only")
	}
}

// depth is 0 when it is not told or no number.
func (r *record) depth(e *event.Event) int {
	text := r.Details.text("delegation_chain_depth")
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		e.ChainMalformed = "delegation_chain_depth is no number from 1"
		e.Warnings = append(e.Warnings, "chain malformed: "+e.ChainMalformed)
		return 0
	}
	return n
}
