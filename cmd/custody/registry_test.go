package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
)

const registryText = `tenants:
  acme:
    principals:
    - {iss: https://idp.acme.example, sub: planner, type: agent, owner: agents@acme.example, lifecycle: [{state: retired, since: 2026-11-01}]}
    servers:
    - {id: github-mcp, sensitivity: internal, owner: code@acme.example}
    tools:
    - {server: github-mcp, name: delete_repository, scopes: ["repo:admin"], destructive: true}
  globex:
    principals: [{sub: eve, owner: eve@globex.example}]
`

// What is imported can be listed, shown as it was at any time, and is a file again.
func TestRegistryVerbs(t *testing.T) {
	clickhouse := embeddedtest.StartClickHouse(t, "acme", "globex")
	as := func(user string, args ...string) []string {
		secret := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(secret, []byte(clickhouse.Password(user)), 0o600); err != nil {
			t.Fatal(err)
		}
		return append(args, "--clickhouse-addresses", clickhouse.Addr(), "--clickhouse-user", user, "--clickhouse-password-file", secret)
	}
	file := filepath.Join(t.TempDir(), "registry.yaml")
	put := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(strings.Replace(registryText, "type: agent", "type: robot", 1))
	if _, err := try(t, "registry", "check", file); err == nil || !strings.Contains(err.Error(), "registry.yaml:4: tenants.acme.principals[0].type: want one of") {
		t.Errorf("check: %v", err)
	}
	out, err := try(t, "registry", "check", file, "--output", "json")
	if err == nil || !strings.Contains(out, `"line":4,"field":"tenants.acme.principals[0].type"`) {
		t.Errorf("check as JSON: %v, %s", err, out)
	}
	put(registryText)
	if out := ask(t, "registry", "check", file); !strings.Contains(out, "acme") || strings.Count(out, "\n") != 3 {
		t.Errorf("check:\n%s", out)
	}
	if _, err := try(t, as(embedded.Analyst, "registry", "import", file)...); err == nil {
		t.Error("an analyst may import")
	}
	ask(t, as(embedded.Registrar, "registry", "import", file)...)
	between := time.Now().UTC().Format(time.RFC3339Nano)
	put(strings.ReplaceAll(registryText, "agents@acme.example", "platform@acme.example"))
	ask(t, as(embedded.Registrar, "registry", "import", file)...)

	now, then := ask(t, as(embedded.Analyst, "registry", "show", "--tenant", "acme")...), ask(t, as(embedded.Analyst, "registry", "show", "--tenant", "acme", "--at", between)...)
	if !strings.Contains(now, "platform@acme.example") || !strings.Contains(then, "agents@acme.example") || strings.Contains(then, "platform@") || strings.Contains(now, "globex") {
		t.Errorf("now\n%s\nthen\n%s", now, then)
	}
	var list []struct{ Tenant, Version string }
	if err := json.Unmarshal([]byte(ask(t, as(embedded.Analyst, "registry", "list", "--output", "json")...)), &list); err != nil || len(list) != 3 {
		t.Fatalf("%v, %v", list, err)
	}
	if out := ask(t, as("custody_auditor_globex", "registry", "list")...); strings.Contains(out, "acme") || !strings.Contains(out, "globex") {
		t.Errorf("the list of an auditor:\n%s", out)
	}
	put(ask(t, as(embedded.Analyst, "registry", "show", "--output", "json")...))
	if out := ask(t, "registry", "check", file); !strings.Contains(out, list[0].Version) {
		t.Errorf("what was shown as JSON is no file of the same version:\n%s", out)
	}
	if _, err := try(t, as(embedded.Analyst, "registry", "show", "--tenant", "acme", "--version", "0000")...); err == nil || !strings.Contains(err.Error(), "there is no version") {
		t.Errorf("an unknown version: %v", err)
	}
}
