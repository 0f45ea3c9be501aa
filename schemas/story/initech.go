package story

import (
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// tellInitech tells what goes wrong with credentials and with the record
// itself. There are no traces: JSON-RPC id, token, server and time must do.
func tellInitech(s *script) {
	t := &tenant{
		script: s, name: "initech", iss: "https://login.initech.example", rule: event.SubjectChained,
		sts: source{id: "initech-sts", kind: "native", numbered: true}, pdp: source{id: "initech-opa", kind: "opa"}, engine: "opa",
		reporter: map[string]source{
			"tickets-mcp": {id: "initech-tickets-mcp", kind: "native", numbered: true},
			"payroll-mcp": {id: "initech-payroll-mcp", kind: "native", numbered: true},
		},
	}
	i := &initech{
		tenant: t, runner: t.party(event.Agent, "runner"),
		tickets: t.server("tickets-mcp", "5.2.0"), payroll: t.server("payroll-mcp", "1.0.7"),
		inventory: source{id: "initech-inventory", kind: "native", numbered: true},
	}
	i.staticCredential()
	i.outlivedTask()
	i.unusedGrant()
	i.orphanToken()
	i.redelivery()
	i.revokedCredential()
}

type initech struct {
	*tenant
	ivy              token // from the chapter of the outlived task on
	runner           event.Party
	tickets, payroll event.Server
	inventory        source // lists client configurations and entitlements
}

// from is an exchange of ivy's token for one of a server.
func (i *initech) from(at event.Server, lasts time.Duration, scope ...string) exchange {
	return exchange{of: i.ivy, by: i.runner, at: at, scope: scope, lasts: lasts}
}

// apiKey is the key of the story's static credential. A key can be guessed
// where a token cannot, so its reference is an HMAC under a key of the tenant.
func (i *initech) apiKey() token {
	return token{subject: i.runner, facts: event.Token{
		Ref:       event.SecretRef("initech-1", []byte("fixture key of initech"), "payroll api key"),
		TokenType: "api_key", Static: true, Verified: event.TokenUnverified,
	}}
}

func (i *initech) staticCredential() {
	i.open(2*time.Hour, Chapter{
		Name: "static-credential", Title: "A key in a client's configuration", Tenant: i.name,
		Chain: "runner -> payroll-mcp",
		Teaches: "The scan found an API key that never expires, and calls are made with it. They name the agent and nobody behind it: " +
			"whoever asked for the salaries is lost at the source.",
	})
	key := i.apiKey()
	found := &event.Event{Kind: event.Credential, Type: event.TypeCredentialStatic, Server: i.payroll}
	i.bears(found, key)
	found.Attributes = map[string]string{"config.file": "mcp.json", "config.key": "mcpServers.payroll.env.PAYROLL_API_KEY"}
	i.add("key-found", i.inventory, found)
	const lost = "subject is the agent itself: identity lost at the source"
	for _, month := range []string{"august", "september"} {
		e := i.allowed("salaries-"+month, i.use(key, i.payroll, "list_salaries", `{"month":"`+month+`"}`))
		e.Warnings = []string{lost}
		i.wait(time.Minute)
	}
}

func (i *initech) outlivedTask() {
	i.open(135*time.Minute, Chapter{
		Name: "outlived-task", Title: "A token is used after its task ended", Tenant: i.name,
		Chain:   "ivy -> runner -> tickets-mcp",
		Teaches: "The token is valid for half an hour, the task took five minutes, and ten minutes later the agent still calls with it.",
	})
	ivy := i.party(event.Human, "ivy")
	i.ivy = i.login("ivy-login", ivy, "runner", time.Hour, "tickets:read", "tickets:write", "payroll:read")
	i.session("triage-started", event.TypeSessionStarted, i.sts, i.runner, ivy)
	k := i.exchange("exchange-triage", i.from(i.tickets, 30*time.Minute, "tickets:read", "tickets:write"))
	i.allowed("triage", i.use(k, i.tickets, "search_tickets", `{"state":"open"}`))
	i.wait(5 * time.Minute)
	i.session("triage-ended", event.TypeSessionEnded, i.sts, i.runner, ivy)
	i.wait(10 * time.Minute)
	i.allowed("late-close", i.use(k, i.tickets, "close_ticket", `{"id":"t-77"}`))
}

func (i *initech) unusedGrant() {
	i.open(155*time.Minute, Chapter{
		Name: "unused-grant", Title: "A privilege stands and is never used", Tenant: i.name,
		Chain: "runner -> payroll-mcp",
		Teaches: "Two tools are granted to the agent since May. It lists salaries, as the chapter of the static credential shows; " +
			"it has never approved a payment, and that grant can go.",
	})
	for _, g := range []struct{ name, tool, scope string }{
		{"grant-salaries", "list_salaries", "payroll:read"},
		{"grant-payments", "approve_payment", "payroll:approve"},
	} {
		e := &event.Event{Kind: event.Grant, Type: event.TypeGrantListed, Subject: i.runner, Server: i.payroll}
		e.Tool.Name, e.Token.Scope = g.tool, []string{g.scope}
		e.Attributes = map[string]string{"grant.id": "runner/payroll-mcp/" + g.tool, "grant.since": "2026-05-04T00:00:00Z"}
		i.add(g.name, i.inventory, e)
	}
}

func (i *initech) orphanToken() {
	i.open(160*time.Minute, Chapter{
		Name: "orphan-token", Title: "A token that nobody was seen to issue", Tenant: i.name,
		Chain: "ivy -> runner -> payroll-mcp",
		Teaches: "The call names its subject and its actor, and no exchange for its token was ever received. The token service counts its " +
			"events and one number is missing: the event was withheld, which is not the same as a token from elsewhere.",
	})
	k := i.withhold("exchange-withheld", i.from(i.payroll, 5*time.Minute, "payroll:read"))
	i.allowed("payslip", i.use(k, i.payroll, "get_payslip", `{"employee":"e-310"}`))
}

func (i *initech) redelivery() {
	i.open(165*time.Minute, Chapter{
		Name: "redelivery", Title: "The same event arrives twice", Tenant: i.name,
		Chain: "ivy -> runner -> tickets-mcp",
		Teaches: "The server never saw the answer to its first request and sent the call again: same id, same content, another " +
			"time of observation. One call happened and one is to be counted.",
	})
	k := i.exchange("exchange-report", i.from(i.tickets, 5*time.Minute, "tickets:read"))
	i.allowed("report", i.use(k, i.tickets, "export_report", `{"week":40}`))
	i.redeliver("report-call-again", "report-call", 90*time.Second)
}

func (i *initech) revokedCredential() {
	i.open(170*time.Minute, Chapter{
		Name: "revoked-credential", Title: "A revoked token still works", Tenant: i.name,
		Chain: "runner -> tickets-mcp",
		Teaches: "The agent's own token was revoked and is accepted eight minutes later: the server checks the signature and " +
			"never asks whether the token still stands.",
	})
	k := i.login("runner-issued", i.runner, i.tickets.URI, time.Hour, "tickets:read")
	i.allowed("backlog", i.use(k, i.tickets, "search_tickets", `{"state":"backlog"}`))
	i.wait(2 * time.Minute)
	revoked := &event.Event{Kind: event.Credential, Type: event.TypeCredentialRevoked}
	i.bears(revoked, k)
	i.add("runner-revoked", i.sts, revoked)
	i.wait(8 * time.Minute)
	i.allowed("after-revocation", i.use(k, i.tickets, "search_tickets", `{"state":"escalated"}`))
}
