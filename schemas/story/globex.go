package story

import (
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// tellGlobex tells what goes wrong between token, decision and call. One
// gateway reports the calls of both servers, and traces are what joins.
func tellGlobex(s *script) {
	gateway := source{id: "globex-gateway", kind: "otlp"}
	t := &tenant{
		script: s, name: "globex", iss: "https://sso.globex.example/realms/staff", rule: event.ActorChained,
		sts: source{id: "globex-keycloak", kind: "keycloak"}, pdp: source{id: "globex-pdp", kind: "authzen"}, engine: "authzen",
		reporter: map[string]source{"crm-mcp": gateway, "billing-mcp": gateway}, traced: true,
	}
	g := &globex{
		tenant: t, analyst: t.party(event.Agent, "analyst"),
		crm: t.server("crm-mcp", "2.1.0"), billing: t.server("billing-mcp", "3.0.1"),
	}
	g.callAfterDeny()
	g.widening()
	g.passthrough()
	g.callWithoutDecision()
	g.decisionError()
}

type globex struct {
	*tenant
	bruno        token // from the first chapter on
	analyst      event.Party
	crm, billing event.Server
}

// from exchanges bruno's token for one of a server.
func (g *globex) from(name string, at event.Server, scope ...string) token {
	return g.exchange(name, exchange{of: g.bruno, by: g.analyst, at: at, scope: scope, lasts: 5 * time.Minute})
}

func (g *globex) callAfterDeny() {
	g.open(time.Hour, Chapter{
		Name: "call-after-deny", Title: "A refund runs although it was denied", Tenant: g.name,
		Chain:   "bruno -> analyst -> billing-mcp",
		Teaches: "The policy engine said deny, and the same call with the same token succeeded a moment later: the server did not enforce the decision.",
	})
	g.bruno = g.login("bruno-login", g.party(event.Human, "bruno"), "analyst", time.Hour, "crm:read", "billing:read", "billing:refund")
	k := g.from("exchange-refund", g.billing, "billing:refund")
	u := g.use(k, g.billing, "refund_payment", `{"amount_cents":49900,"payment":"p-8812"}`)
	g.decide("refund-decision", u, event.Deny, "refund_limit", "refunds over 100 EUR need a second person")
	g.call("refund-call", "refund-decision", u)
}

func (g *globex) widening() {
	g.open(75*time.Minute, Chapter{
		Name: "widening", Title: "An exchange grants more than its subject token had", Tenant: g.name,
		Chain: "bruno -> analyst -> crm-mcp",
		Teaches: "bruno's token never held crm:export, no step-up was asked for, and the issued token holds it. " +
			"The call below it was allowed by a policy that looks at the token alone.",
	})
	k := g.from("exchange-widening", g.crm, "crm:read", "crm:export")
	g.allowed("export", g.use(k, g.crm, "export_contacts", `{"format":"csv","segment":"all"}`))
}

func (g *globex) passthrough() {
	g.open(90*time.Minute, Chapter{
		Name: "passthrough", Title: "A server passes its caller's token on", Tenant: g.name,
		Chain: "bruno -> analyst -> billing-mcp",
		Teaches: "crm-mcp was to exchange its token and sent it on instead. The same reference appears at two servers, at the second one " +
			"with the wrong audience, and the hop through crm-mcp is missing from the chain; only the client address shows it.",
	})
	k := g.from("exchange-crm", g.crm, "crm:read", "billing:read")
	first := g.allowed("customer", g.use(k, g.crm, "get_customer", `{"id":"c-2041"}`))
	first.ClientAddress = "10.20.0.14:51522"
	g.parent = "customer-call"
	second := g.allowed("invoices", g.use(k, g.billing, "list_invoices", `{"customer":"c-2041"}`))
	second.ClientAddress = "crm-mcp.globex.example:40112"
}

func (g *globex) callWithoutDecision() {
	g.open(105*time.Minute, Chapter{
		Name: "call-without-decision", Title: "A call that nobody decided", Tenant: g.name,
		Chain:   "bruno -> analyst -> crm-mcp",
		Teaches: "The policy engine of this tenant is connected and reported on every other call of the hour. For this one it was not asked.",
	})
	k := g.from("exchange-notes", g.crm, "crm:read")
	g.call("notes-call", "", g.use(k, g.crm, "list_notes", `{"customer":"c-2041"}`))
}

func (g *globex) decisionError() {
	g.open(110*time.Minute, Chapter{
		Name: "decision-error", Title: "The policy engine could not decide", Tenant: g.name,
		Chain:   "bruno -> analyst -> billing-mcp",
		Teaches: "An error is not a deny: no policy refused this, the gateway failed closed. It counts against the engine, not against bruno or the agent.",
	})
	k := g.from("exchange-payments", g.billing, "billing:read")
	u := g.use(k, g.billing, "list_payments", `{"month":"2026-09"}`)
	g.decide("payments-decision", u, event.EffectError, "", "attribute store did not answer within 500 ms")
	e := g.call("payments-call", "payments-decision", u)
	refused(e, "503")
	e.Outcome = event.Error
}
