# Which tool may be called by whom. Every reason against a call is collected, so
# that a denial says all that was wrong with it.
package mcp

decision := {"allow": count(against) == 0, "reason": concat("; ", sort(against))}

tool := data.mcp_tools[input.server.id][input.tool.name]

against contains "tool is not in the catalogue" if not tool

against contains sprintf("token was issued for tenant %q", [input.tenant]) if input.tenant != data.mcp_tenant

against contains sprintf("insufficient_scope: %s", [scope]) if {
	some scope in tool.scope
	not scope in input.token.scope
}

against contains "a human must do this, not an agent" if {
	tool.human_only
	input.actor.sub
}

against contains sprintf("%s is not among the actors of this tool", [input.actor.sub]) if {
	tool.actors
	not input.actor.sub in tool.actors
}
