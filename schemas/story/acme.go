package story

import (
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// tellAcme tells how delegation looks when it is in order. Its servers record
// the decision that let a call happen, so every join is certain.
func tellAcme(s *script) {
	github := source{id: "acme-github-mcp", kind: "native", numbered: true}
	deploy := source{id: "acme-deploy-mcp", kind: "native", numbered: true}
	t := &tenant{
		script: s, name: "acme", iss: "https://idp.acme.example", rule: event.SubjectChained,
		sts: source{id: "acme-sts", kind: "native", numbered: true}, pdp: source{id: "acme-opa", kind: "opa"}, engine: "opa",
		reporter: map[string]source{"github-mcp": github, "deploy-mcp": deploy}, traced: true, decisions: true,
	}
	a := &acme{
		tenant: t, planner: t.party(event.Agent, "planner"),
		github: t.server("github-mcp", "1.4.0"), deploy: t.server("deploy-mcp", "0.9.2"),
		gateway: source{id: "acme-gateway", kind: "otlp"},
	}
	a.delegation()
	a.cachedExchange()
	a.stepUp()
	a.deniedCall()
}

type acme struct {
	*tenant
	alice          token // from the chapter of the delegation on
	planner        event.Party
	github, deploy event.Server
	gateway        source
}

func (a *acme) delegation() {
	a.open(0, Chapter{
		Name: "delegation", Title: "Alice ships a release through three hops", Tenant: a.name,
		Chain: "alice -> planner -> github-mcp -> deploy-mcp",
		Teaches: "The whole chain is there: two exchanges, each narrower than the token before, nest the actors, " +
			"and every call has its decision. Nothing is to be found here.",
	})
	alice := a.party(event.Human, "alice")
	a.alice = a.login("alice-login", alice, "planner", time.Hour, "repo:read", "repo:write", "deploy:run")
	a.session("release-started", event.TypeSessionStarted, a.gateway, a.planner, alice)
	forGitHub := a.exchange("exchange-github", exchange{
		of: a.alice, by: a.planner, at: a.github, scope: []string{"repo:write", "deploy:run"}, lasts: 5 * time.Minute,
	})
	merge := a.allowed("merge", a.use(forGitHub, a.github, "merge_pull_request", `{"number":412,"repo":"acme/shop"}`))
	merge.Tool.DurationMS = 2100 // the deployment happens inside
	a.parent = "merge-call"
	forDeploy := a.exchange("exchange-deploy", exchange{
		of: forGitHub, by: a.party(event.MCP, "github-mcp"), at: a.deploy, scope: []string{"deploy:run"}, lasts: 2 * time.Minute,
	})
	deployed := a.allowed("deploy", a.use(forDeploy, a.deploy, "deploy_service", `{"service":"shop","version":"7.3.0"}`))
	deployed.Upstream = "kubernetes/prod-eu"
	a.wait(3 * time.Second)
	a.parent = "delegation"
	a.session("release-ended", event.TypeSessionEnded, a.gateway, a.planner, alice)
}

func (a *acme) cachedExchange() {
	a.open(15*time.Minute, Chapter{
		Name: "cached-exchange", Title: "One exchange stands for three calls", Tenant: a.name,
		Chain: "alice -> planner -> github-mcp",
		Teaches: "The gateway keeps the token for as long as it is valid and says so once. The second and the third call " +
			"have no exchange next to them and are in order: join by the token and its validity, never by adjacency.",
	})
	k := a.exchange("exchange-search", exchange{of: a.alice, by: a.planner, at: a.github, scope: []string{"repo:read"}, lasts: 5 * time.Minute})
	a.allowed("search-issues", a.use(k, a.github, "search_issues", `{"query":"label:release","repo":"acme/shop"}`))
	a.wait(90 * time.Second)
	a.repeat("exchange-search-cached", "exchange-search", a.gateway)
	a.allowed("read-issue", a.use(k, a.github, "get_issue", `{"number":398,"repo":"acme/shop"}`))
	a.wait(2 * time.Minute)
	a.allowed("read-diff", a.use(k, a.github, "get_pull_request_diff", `{"number":412,"repo":"acme/shop"}`))
}

func (a *acme) stepUp() {
	a.open(30*time.Minute, Chapter{
		Name: "step-up", Title: "A step-up asks for the union of scopes", Tenant: a.name,
		Chain: "alice -> planner -> github-mcp",
		Teaches: "The server answers insufficient_scope, and the next token holds the old scope and the new one together, as MCP " +
			"prescribes. All of it was in alice's token: this is no widening, and the second call is no call after a deny.",
	})
	reading := a.exchange("exchange-read", exchange{of: a.alice, by: a.planner, at: a.github, scope: []string{"repo:read"}, lasts: 5 * time.Minute})
	const branch = `{"from":"main","name":"fix/cart","repo":"acme/shop"}`
	tooLittle := a.use(reading, a.github, "create_branch", branch)
	a.decide("branch-refused-decision", tooLittle, event.Deny, "scope_missing", "insufficient_scope: repo:write")
	refused(a.call("branch-refused-call", "branch-refused-decision", tooLittle), "403")
	both := a.exchange("exchange-step-up", exchange{
		of: a.alice, by: a.planner, at: a.github, scope: []string{"repo:read", "repo:write"}, lasts: 5 * time.Minute, stepUp: true,
	})
	a.allowed("branch", a.use(both, a.github, "create_branch", branch))
}

func (a *acme) deniedCall() {
	a.open(45*time.Minute, Chapter{
		Name: "denied-call", Title: "A call is denied and stays denied", Tenant: a.name,
		Chain:   "alice -> planner -> github-mcp",
		Teaches: "Policy refuses to let an agent delete a repository and the server obeys: the control works. One denial is no burst.",
	})
	k := a.exchange("exchange-cleanup", exchange{of: a.alice, by: a.planner, at: a.github, scope: []string{"repo:write"}, lasts: 5 * time.Minute})
	u := a.use(k, a.github, "delete_repository", `{"repo":"acme/shop-old"}`)
	a.decide("delete-decision", u, event.Deny, "destructive_needs_human", "agents may not delete repositories")
	refused(a.call("delete-call", "delete-decision", u), "-32001")
}
