package pdp

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/open-policy-agent/opa/v1/bundle"

	"github.com/custody-audit/custody/deploy/demo/loopback"
	"github.com/custody-audit/custody/schemas/event"
)

//go:embed policy.rego
var policy []byte

const bundlePath = "bundles/mcp.tar.gz"

// buildBundle packs the policy and the tenant's rules. The revision names the
// contents, so that a decision tells which policy it was made by.
func buildBundle(cfg Config) ([]byte, error) {
	rules, err := json.Marshal(cfg.Rules)
	if err != nil {
		return nil, fmt.Errorf("encode rules: %w", err)
	}
	var tools map[string]any
	if err := json.Unmarshal(rules, &tools); err != nil {
		return nil, fmt.Errorf("encode rules: %w", err)
	}
	revision := event.TokenRef(string(policy) + string(rules))[len("sha256:"):][:12]
	var b bytes.Buffer
	err = bundle.NewWriter(&b).UseModulePath(true).DisableFormat(true).Write(bundle.Bundle{
		Manifest: bundle.Manifest{Revision: revision, Roots: &[]string{"mcp", "mcp_tools", "mcp_tenant"}},
		Data:     map[string]any{"mcp_tools": tools, "mcp_tenant": cfg.Tenant},
		Modules:  []bundle.ModuleFile{{Path: "/policy.rego", URL: "/policy.rego", Raw: policy}},
	})
	if err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	return b.Bytes(), nil
}

// serveBundle serves the packed policy to OPA.
func serveBundle(cfg Config) (*loopback.Server, error) {
	packed, err := buildBundle(cfg)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /"+bundlePath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/gzip")
		w.Write(packed) // OPA asks again when this fails
	})
	return loopback.Serve(mux)
}
