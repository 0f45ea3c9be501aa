package main

import (
	"maps"
	"slices"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/agentgateway"
	"github.com/custody-audit/custody/collector/authzen"
	"github.com/custody-audit/custody/collector/cerbos"
	"github.com/custody-audit/custody/collector/contextforge"
	"github.com/custody-audit/custody/collector/envoyai"
	"github.com/custody-audit/custody/collector/keycloak"
	"github.com/custody-audit/custody/collector/kong"
	"github.com/custody-audit/custody/collector/mcpconfig"
	"github.com/custody-audit/custody/collector/native"
	"github.com/custody-audit/custody/collector/opa"
	"github.com/custody-audit/custody/collector/openbao"
	"github.com/custody-audit/custody/collector/otlp"
	"github.com/custody-audit/custody/collector/ssf"
	"github.com/custody-audit/custody/collector/teleport"
	"github.com/custody-audit/custody/collector/toolhive"
)

// parsers are the sources with a format of their own, by type: what
// POST /v1/push/TYPE takes and "custody source test" reads.
var parsers = map[string]collector.Parse{
	agentgateway.Type: agentgateway.Parse,
	authzen.Type:      authzen.Parse,
	cerbos.Type:       cerbos.Parse,
	contextforge.Type: contextforge.Parse,
	envoyai.Type:      envoyai.Parse,
	keycloak.Type:     keycloak.Parse,
	kong.Type:         kong.Parse,
	mcpconfig.Type:    mcpconfig.Parse,
	opa.Type:          opa.Parse,
	openbao.Type:      openbao.Parse,
	teleport.Type:     teleport.Parse,
	toolhive.Type:     toolhive.Parse,
}

// types are the source types that have an endpoint.
func types() []string {
	return slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(parsers)), native.Type, otlp.Type, ssf.Type)))
}
