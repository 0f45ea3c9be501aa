package otlp

import (
	"encoding/json"
	"fmt"

	"github.com/custody-audit/custody/schemas/event"
)

// parties fills who did it and on whose behalf: by the token's claims, else by
// what the conventions say.
func (r *record) parties(e *event.Event) {
	r.subject(e)
	if len(e.Chain) == 0 {
		r.chain(e)
	}
	if e.Actor == (event.Party{}) {
		e.Actor = r.actor(e)
	}
	r.attrs.fill(&e.Client.Name, "mcp.client.name")
	r.attrs.fill(&e.Client.Version, "mcp.client.version")
	if e.Client.ID == "" {
		e.Client.ID = r.attrs.text("jwt.client_id", "jwt.azp")
		e.Client.Verified = e.Client.ID != ""
	}
}

func (r *record) subject(e *event.Event) {
	if e.Subject != (event.Party{}) {
		return
	}
	if sub := r.attrs.text("jwt.sub"); sub != "" {
		e.Subject = event.Party{Iss: asText(r.attrs.values["jwt.iss"]), Sub: sub}
		return
	}
	if sub := r.attrs.text("enduser.id", "user.id"); sub != "" {
		e.Subject = event.Party{Sub: sub, Type: event.Human, Name: r.attrs.text("user.name")}
		return
	}
	if e.Kind == event.ToolInvocation {
		e.Warnings = append(e.Warnings, "no subject: identity lost at the source")
	}
}

func (r *record) actor(e *event.Event) event.Party {
	if len(e.Chain) > 0 {
		return event.Party{Iss: e.Chain[0].Iss, Sub: e.Chain[0].Sub, Type: e.Chain[0].Type}
	}
	if id := r.attrs.text("gen_ai.agent.id"); id != "" {
		return event.Party{Sub: id, Type: event.Agent, Name: r.attrs.text("gen_ai.agent.name")}
	}
	if name := r.attrs.text("gen_ai.agent.name"); name != "" {
		return event.Party{Sub: name, Type: event.Agent}
	}
	if id := r.attrs.text("src.identity"); id != "" { // the certificate that the caller showed
		return event.Party{Sub: id, Type: event.Workload}
	}
	if r.caller && e.Kind == event.ToolInvocation {
		if name := r.resource.text("service.name"); name != "" {
			return event.Party{Sub: name, Type: event.Agent}
		}
	}
	return event.Party{}
}

// chain reads the claim act, the current actor outermost (RFC 8693 section 4.1).
func (r *record) chain(e *event.Event) {
	claim := r.attrs.take("jwt.act")
	if claim == nil {
		return
	}
	raw := jsonText(claim)
	if s, ok := claim.(string); ok && json.Unmarshal(raw, &claim) != nil {
		raw, _ = json.Marshal(s) // a string always can
		e.ChainMalformed, claim = "act is not JSON", nil
	}
	if len(raw) <= event.MaxChainRaw {
		e.ChainRaw = string(raw)
	}
	for claim != nil {
		act, ok := claim.(map[string]any)
		if !ok {
			e.ChainMalformed = fmt.Sprintf("act at depth %d is no object", len(e.Chain)+1)
			return
		}
		link := event.Link{Iss: asText(act["iss"]), Sub: asText(act["sub"])}
		if link.Iss == "" && link.Sub == "" {
			e.ChainMalformed = fmt.Sprintf("act at depth %d names nobody", len(e.Chain)+1)
			return
		}
		if len(e.Chain) == event.MaxChain {
			e.ChainTruncated = true
			return
		}
		e.Chain = append(e.Chain, link)
		claim = act["act"]
	}
}
