package agentgateway

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// spread puts the members of the whole claims where single ones were not added.
func (in *entry) spread() {
	for _, c := range []struct {
		field *any
		name  string
	}{
		{&in.Subject, "sub"}, {&in.Issuer, "iss"}, {&in.Act, "act"}, {&in.TokenID, "jti"}, {&in.Audience, "aud"}, {&in.Scopes, "scope"},
		{&in.ScopeList, "scp"}, {&in.IssuedAt, "iat"}, {&in.NotBefore, "nbf"}, {&in.ExpiresAt, "exp"}, {&in.ClientID, "client_id"},
		{&in.Authorized, "azp"}, {&in.TxnID, "txn"},
	} {
		if *c.field == nil {
			*c.field = in.JWT[c.name]
		}
	}
}

// describe fills what every event of the entry has.
func (in *entry) describe(e *event.Event) {
	e.Subject = event.Party{Sub: text(in.Subject)}
	if e.Subject.Sub != "" {
		e.Subject.Iss = text(in.Issuer)
	} else {
		e.Warnings = append(e.Warnings, "no jwt.sub: identity lost at the source")
	}
	in.chain(e)
	in.actor(e)
	e.Client.ID = first(text(in.ClientID), text(in.Authorized))
	e.Client.Verified = e.Client.ID != ""
	e.Server.ID = in.Target
	e.ClientAddress, e.UserAgent = in.SourceAddress, in.UserAgent
	in.correlation(e)
	in.token(e)
	e.SetAttribute("src.identity", in.SourceIdentity)
	e.SetAttribute("agentgateway.gateway", in.Gateway)
	e.SetAttribute("agentgateway.listener", in.Listener)
	e.SetAttribute("agentgateway.route", in.Route)
	e.SetAttribute("agentgateway.endpoint", in.Endpoint)
}

// actor is the token's current actor, else whose certificate the caller showed.
func (in *entry) actor(e *event.Event) {
	switch {
	case len(e.Chain) > 0:
		e.Actor = event.Party{Iss: e.Chain[0].Iss, Sub: e.Chain[0].Sub}
	case e.ChainMalformed == "" && in.SourceIdentity != "":
		e.Actor = event.Party{Sub: in.SourceIdentity, Type: event.Workload}
	}
}

// chain reads the claim act, the current actor outermost (RFC 8693 section 4.1).
// The rule of nesting is the issuer's and not known here.
func (in *entry) chain(e *event.Event) {
	claim := in.Act
	if s, ok := claim.(string); ok && json.Unmarshal([]byte(s), &claim) != nil { // as CEL's toJson writes it
		claim = s
	}
	if claim == nil {
		return
	}
	if raw, err := json.Marshal(claim); err == nil {
		e.ChainRaw = string(raw)
	}
	for claim != nil {
		act, ok := claim.(map[string]any)
		link := event.Link{Iss: text(act["iss"]), Sub: text(act["sub"])}
		switch {
		case !ok:
			malformed(e, fmt.Sprintf("act at depth %d is no object", len(e.Chain)+1))
			return
		case link == event.Link{}:
			malformed(e, fmt.Sprintf("act at depth %d names nobody", len(e.Chain)+1))
			return
		case len(e.Chain) == event.MaxChain:
			e.ChainTruncated = true
			e.Warnings = append(e.Warnings, fmt.Sprintf("chain cut: more than %d actors", event.MaxChain))
			return
		}
		e.Chain = append(e.Chain, link)
		claim = act["act"]
	}
}

func malformed(e *event.Event, reason string) {
	e.ChainMalformed = reason
	e.Warnings = append(e.Warnings, "delegation is malformed: "+reason)
}

var (
	traceID = regexp.MustCompile(`^[0-9a-f]{32}$`)
	spanID  = regexp.MustCompile(`^[0-9a-f]{16}$`)
)

func (in *entry) correlation(e *event.Event) {
	c := &e.Correlation
	c.SessionID, c.TransactionID = in.Session, text(in.TxnID)
	for _, id := range []struct {
		field *string
		form  *regexp.Regexp
		name  string
		value string
	}{{&c.TraceID, traceID, "trace.id", in.TraceID}, {&c.SpanID, spanID, "span.id", in.SpanID}} {
		switch {
		case id.form.MatchString(id.value):
			*id.field = id.value
		case id.value != "":
			e.Warnings = append(e.Warnings, id.name+" is no W3C id in lower-case hex; left out")
		}
	}
}

func first(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

// fields splits the claim scope, which RFC 8693 section 4.2 joins by spaces.
func fields(v any) []string {
	if s, ok := v.(string); ok && !strings.HasPrefix(s, "[") {
		return strings.Fields(s)
	}
	return list(v)
}
