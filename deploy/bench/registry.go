package bench

import "strings"

// registryOf is what is registered of a tenant TENANT of the workload, so that
// enrichment finds something.
const registryOf = `  TENANT:
    principals:
    - {iss: "https://idp.TENANT.example", sub: "user-*", type: human, owner: people@TENANT.example, team: shop}
    - {sub: planner, type: agent, owner: agents@TENANT.example, team: platform}
    - {sub: reviewer, type: agent, owner: agents@TENANT.example, team: platform}
    - {sub: "release-*", type: agent, owner: agents@TENANT.example, team: platform}
    - {sub: "support-*", type: agent, owner: support@TENANT.example, team: support}
    servers:
    - {id: github-mcp, uris: ["https://github-mcp.TENANT.example/mcp"], owner: code@TENANT.example, sensitivity: internal}
    - {id: payments-mcp, uris: ["https://payments-mcp.TENANT.example/mcp"], owner: money@TENANT.example, sensitivity: restricted}
    - {id: crm-mcp, uris: ["https://crm-mcp.TENANT.example/mcp"], owner: sales@TENANT.example, sensitivity: confidential}
    tools:
    - {server: github-mcp, name: merge_pull_request, scopes: ["repo:write"], sensitivity: restricted}
    - {server: github-mcp, name: "search_*", scopes: ["repo:read"]}
    - {server: payments-mcp, name: refund_payment, scopes: ["payments:refund"], sensitivity: restricted, destructive: true}
`

func registryText() string {
	text := "tenants:\n"
	for _, tenant := range []string{"acme", "globex", "initech"} {
		text += strings.ReplaceAll(registryOf, "TENANT", tenant)
	}
	return text
}
