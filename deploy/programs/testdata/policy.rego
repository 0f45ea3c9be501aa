package mcp

# Four ways to answer.
default allow := false

allow if "repo:read" in input.token.scope

decide := {"allow": allow, "reason": reason}

default reason := "scope repo:read is missing"

reason := "ok" if allow

broken := input.tool.name

broken := input.action.name

silent if input.tool.name == "no such tool"
