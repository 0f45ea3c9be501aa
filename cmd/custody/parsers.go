package main

import (
	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/opa"
)

// parsers are the sources with a format of their own, by type: what
// POST /v1/push/TYPE takes and "custody source test" reads.
var parsers = map[string]collector.Parse{
	opa.Type: opa.Parse,
}
