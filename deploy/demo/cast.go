package demo

import (
	"slices"

	"github.com/custody-audit/custody/deploy/demo/pdp"
	"github.com/custody-audit/custody/deploy/demo/sts"
	"github.com/custody-audit/custody/schemas/event"
)

// company is one tenant: who works there and what its servers do. Names are
// public ones ("https://github-mcp.acme.example/mcp") and the same in every run;
// only the addresses behind them are of loopback.
type company struct {
	name    string
	humans  []string
	agents  []role
	servers []service
	// lenient is the server that accepts tokens issued for others; empty for none.
	lenient string
}

// role is an agent or a server as a client of the authorization server.
type role struct {
	id  string
	may map[string][]string // server id to scopes
	lax bool
}

// service is an MCP server.
type service struct {
	id, version string
	may         map[string][]string // as a client of the next servers
	tools       []feature
	keyed       bool // takes static API keys instead of tokens
}

// feature is a tool of a service.
type feature struct {
	name, description     string
	scope, actors         []string
	humanOnly             bool
	readOnly, destructive bool
	upstream              string
	next                  *hop
	// What is wrong with it: it never asks for a decision, or asks and goes on.
	undecided, ignoresDeny bool
}

// hop is the call that a tool makes at the next server.
type hop struct {
	server, tool string
	scope        []string
	passThrough  bool // sends the token on that it received
}

// everyScope is what a human may delegate.
var everyScope = []string{"repo:read", "repo:write", "repo:admin", "deploy:read", "deploy:run", "secret:read", "secret:rotate"}

// cast are the companies. acme is in order; globex makes every mistake that
// custody looks for, beside the same orderly work.
var cast = []company{
	{
		name: "acme", humans: []string{"alice", "bob", "carol"}, agents: agents,
		servers: []service{vault, deploy, service{id: "github-mcp", version: "1.4.0", may: github.may, tools: github.tools}},
	},
	{
		name: "globex", humans: []string{"alice", "bob", "carol"},
		agents:  append(agents[:len(agents):len(agents)], role{id: "assistant", may: map[string][]string{"github-mcp": {"repo:read", "repo:admin"}}, lax: true}),
		servers: []service{vault, deploy, {id: "github-mcp", version: "1.3.2", may: github.may, tools: append(github.tools[:len(github.tools):len(github.tools)], careless...)}, legacy},
		lenient: "deploy-mcp",
	},
}

var agents = []role{
	{id: "planner", may: map[string][]string{"github-mcp": {"repo:read", "repo:write", "deploy:read", "deploy:run", "secret:read"}}},
	{id: "reviewer", may: map[string][]string{"github-mcp": {"repo:read", "repo:write"}}},
	{id: "deployer", may: map[string][]string{"deploy-mcp": {"deploy:read", "deploy:run", "secret:read"}, "vault-mcp": {"secret:rotate"}}},
}

var github = service{
	may: map[string][]string{"deploy-mcp": {"deploy:read", "deploy:run", "secret:read"}},
	tools: []feature{
		{name: "search_issues", description: "Find issues by text.", scope: []string{"repo:read"}, readOnly: true},
		{name: "get_issue", description: "Read one issue.", scope: []string{"repo:read"}, readOnly: true},
		{name: "get_pull_request_diff", description: "Read the changes of a pull request.", scope: []string{"repo:read"}, readOnly: true},
		{name: "create_branch", description: "Make a branch.", scope: []string{"repo:write"}},
		{
			name: "merge_pull_request", description: "Merge a pull request and ship it.", scope: []string{"repo:write"},
			next: &hop{server: "deploy-mcp", tool: "deploy_service", scope: []string{"deploy:run", "secret:read"}},
		},
		{name: "delete_repository", description: "Delete a repository.", scope: []string{"repo:write"}, humanOnly: true, destructive: true},
	},
}

// careless are the tools that globex added.
var careless = []feature{
	{name: "export_members", description: "List everybody with access.", scope: []string{"repo:admin"}, readOnly: true},
	{name: "list_webhooks", description: "List the webhooks.", scope: []string{"repo:read"}, readOnly: true, undecided: true},
	{name: "delete_branch", description: "Delete a branch.", scope: []string{"repo:admin"}, destructive: true, ignoresDeny: true},
	{
		name: "mirror_status", description: "Show the state of a deployment beside its pull request.", scope: []string{"repo:read"}, readOnly: true,
		next: &hop{server: "deploy-mcp", tool: "get_status", passThrough: true},
	},
}

var deploy = service{
	id: "deploy-mcp", version: "0.9.2",
	may: map[string][]string{"vault-mcp": {"secret:read"}},
	tools: []feature{
		{name: "get_status", description: "Read the state of a service.", scope: []string{"deploy:read"}, readOnly: true, upstream: "kubernetes/prod-eu"},
		{
			name: "deploy_service", description: "Roll out a version.", scope: []string{"deploy:run"}, upstream: "kubernetes/prod-eu",
			next: &hop{server: "vault-mcp", tool: "read_secret", scope: []string{"secret:read"}},
		},
	},
}

var vault = service{
	id: "vault-mcp", version: "2.0.1",
	tools: []feature{
		{name: "read_secret", description: "Read a secret for a deployment.", scope: []string{"secret:read"}, actors: []string{"deploy-mcp"}, readOnly: true, upstream: "openbao/prod"},
		{name: "rotate_secret", description: "Replace a secret.", scope: []string{"secret:rotate"}, actors: []string{"deployer"}, destructive: true, upstream: "openbao/prod"},
	},
}

var legacy = service{
	id: "legacy-mcp", version: "0.1.0", keyed: true,
	tools: []feature{{name: "export_report", description: "Export the monthly report.", readOnly: true, upstream: "reports-db"}},
}

// keyOwner is whom the static key was made for.
const keyOwner = "report-job"

// typeOf says what a principal is, as the company's directory has it.
func (c *company) typeOf(_, sub string) event.PartyType {
	switch {
	case slices.Contains(c.humans, sub):
		return event.Human
	case slices.Contains(c.serverIDs(), sub):
		return event.MCP
	case slices.ContainsFunc(c.agents, func(r role) bool { return r.id == sub }):
		return event.Agent
	case sub == keyOwner:
		return event.Workload
	}
	return event.Unknown
}

func (c *company) issuer() string { return "https://sts." + c.name + ".example" }

// uri is the resource identifier of a server: the audience of its tokens.
func (c *company) uri(server string) string {
	return "https://" + server + "." + c.name + ".example/mcp"
}

func (c *company) server(s *service) event.Server {
	return event.Server{ID: s.id, Name: s.id, URI: c.uri(s.id), Version: s.version}
}

func (c *company) serverIDs() []string {
	var ids []string
	for _, s := range c.servers {
		ids = append(ids, s.id)
	}
	return ids
}

// rules are what the policy knows of the tools.
func (c *company) rules() map[string]map[string]pdp.Rule {
	out := map[string]map[string]pdp.Rule{}
	for _, s := range c.servers {
		out[s.id] = map[string]pdp.Rule{}
		for _, f := range s.tools {
			out[s.id][f.name] = pdp.Rule{Scope: f.scope, Actors: f.actors, HumanOnly: f.humanOnly}
		}
	}
	return out
}

// clients registers agents and servers at the authorization server.
func (c *company) clients(secrets map[string]string) []sts.Client {
	var out []sts.Client
	register := func(r role, typ event.PartyType) {
		may := map[string][]string{}
		for server, scope := range r.may {
			may[c.uri(server)] = scope
		}
		out = append(out, sts.Client{ID: r.id, Secret: secrets[r.id], Type: typ, May: may, Lax: r.lax})
	}
	for _, a := range c.agents {
		register(a, event.Agent)
	}
	for _, s := range c.servers {
		register(role{id: s.id, may: s.may}, event.MCP)
	}
	return out
}
