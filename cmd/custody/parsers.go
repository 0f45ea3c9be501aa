package main

import (
	"maps"
	"slices"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/native"
	"github.com/custody-audit/custody/collector/opa"
	"github.com/custody-audit/custody/collector/otlp"
)

// parsers are the sources with a format of their own, by type: what
// POST /v1/push/TYPE takes and "custody source test" reads.
var parsers = map[string]collector.Parse{
	opa.Type: opa.Parse,
}

// types are the source types that have an endpoint.
func types() []string {
	return slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(parsers)), native.Type, otlp.Type)))
}
