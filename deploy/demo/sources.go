package demo

import (
	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/native"
	"github.com/custody-audit/custody/collector/opa"
	"github.com/custody-audit/custody/collector/registry"
)

// SourceKey is a source of the estate with the key that opens it.
type SourceKey struct {
	Source collector.Source
	// Key is the bearer key; the source holds its hash only.
	Key string
}

// NewSources lists the sources of the estate, each with a fresh key: per tenant
// one for every MCP server, the authorization server, OPA and the agents'
// runtime. Ids are "TENANT-NAME".
func NewSources() []SourceKey {
	var out []SourceKey
	for i := range cast {
		t := &cast[i]
		for _, s := range t.servers {
			out = append(out, newSource(t, s.id, native.Type, s.id))
		}
		out = append(out,
			newSource(t, "sts", native.Type),
			newSource(t, "agents", native.Type),
			newSource(t, "opa", opa.Type, t.serverIDs()...))
	}
	return out
}

func newSource(t *company, name, typ string, servers ...string) SourceKey {
	key, hash := registry.NewKey()
	return SourceKey{collector.Source{ID: t.name + "-" + name, Tenant: t.name, Type: typ, Servers: servers, KeySHA256: hash}, key}
}

// Keys returns the keys by source id, as [Config] wants them.
func Keys(sources []SourceKey) map[string]string {
	out := make(map[string]string, len(sources))
	for _, s := range sources {
		out[s.Source.ID] = s.Key
	}
	return out
}
