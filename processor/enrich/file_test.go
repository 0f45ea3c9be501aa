package enrich_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/processor/enrich"
)

// folder writes files and returns where.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const acmeYAML = `
tenants:
  acme:
    principals:
    - {iss: https://idp.acme.example, sub: alice, type: human, owner: alice@acme.example, team: shop}
    - iss: https://idp.acme.example
      sub: plan*
      type: agent
      owner: agents@acme.example
      team: agents
      lifecycle:
      - {state: active, since: 2026-10-01}
      - {state: suspended, since: 2026-10-05T09:40:00Z}
    - {iss: https://idp.acme.example, sub: "*", owner: nobody@acme.example}
`

const githubYAML = `
tenants:
  acme:
    servers:
    - {id: github-mcp, uris: ["https://github-mcp.acme.example/mcp/"], owner: code@acme.example, team: code, sensitivity: internal}
    tools:
    - {server: github-mcp, name: merge_pull_request, owner: release@acme.example, sensitivity: restricted, scopes: ["repo:write"]}
    - {server: github-mcp, name: delete_*, scopes: ["repo:admin"], destructive: true}
`

// One tenant may stand in several files, of YAML or JSON, and what is read is
// what was written.
func TestRead(t *testing.T) {
	dir := folder(t, map[string]string{"people.yaml": acmeYAML, "servers.yml": githubYAML, "notes.txt": "no registry", ".hidden.yaml": "tenants: 1"})
	got, err := enrich.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]*enrich.Registry{"acme": acme()}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	text, err := json.MarshalIndent(map[string]any{"tenants": got}, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	again, err := enrich.Read(filepath.Join(folder(t, map[string]string{"r.json": string(text)}), "r.json"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, again); diff != "" {
		t.Errorf("as JSON (-want +got):\n%s", diff)
	}
	if got["acme"].Version() != again["acme"].Version() || got["acme"].Version() != acme().Version() {
		t.Error("the same contents have another version")
	}
}

// All that is wrong is said at once, each with file, line and field.
func TestProblems(t *testing.T) {
	dir := folder(t, map[string]string{
		"a.yaml": `tenants:
  acme:
    principals:
    - {iss: i, sub: alice, typ: human}
    - {iss: i, sub: alice}
    - {iss: i, type: robot}
    - iss: i
      sub: a*b
      owner: [x]
      owner: y
      lifecycle:
      - {state: gone, since: 2026-10-01}
      - {state: active, since: soon}
      - {state: active, since: 2026-10-02}
      - {state: retired, since: 2026-10-01}
    servers: {id: x}
  Globex: {}
extra: 1
`,
		"b.yaml": `tenants:
  acme:
    principals:
    - {iss: i, sub: alice}
    servers:
    - {id: s, uris: [/mcp, "https://s.example", "https://s.example/"], sensitivity: secret}
    tools:
    - {server: s, name: t, scopes: read, destructive: perhaps}
    - {server: nowhere, name: t}
    - {name: t, scopes: [a, a, ""]}
    - "x"
`,
		"c.yaml": "tenants:\n\t- x",
		"d.json": `{"tenants": {}} {"tenants": {}}`,
	})
	_, err := enrich.Read(dir)
	var problems enrich.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("error %v", err)
	}
	want := strings.Split(strings.TrimSpace(`
a.yaml:4: tenants.acme.principals[0].typ: unknown field
a.yaml:5: tenants.acme.principals[1]: the principal alice of i is already at DIR/a.yaml:4
a.yaml:6: tenants.acme.principals[2].type: want one of [human agent workload service server], got "robot"
a.yaml:6: tenants.acme.principals[2].sub: is required
a.yaml:8: tenants.acme.principals[3].sub: "a*b": * stands at the end only
a.yaml:9: tenants.acme.principals[3].owner: want a text
a.yaml:10: tenants.acme.principals[3].owner: is given twice
a.yaml:12: tenants.acme.principals[3].lifecycle[0].state: want one of [active suspended retired], got "gone"
a.yaml:12: tenants.acme.principals[3].lifecycle[0]: want state and since
a.yaml:13: tenants.acme.principals[3].lifecycle[1].since: want a day as 2026-10-05 or a time as 2026-10-05T09:00:00Z, got "soon"
a.yaml:13: tenants.acme.principals[3].lifecycle[1]: want state and since
a.yaml:15: tenants.acme.principals[3].lifecycle[3]: since is not after that of the phase before
a.yaml:16: tenants.acme.servers: want a list
a.yaml:17: tenants.Globex: a tenant's name has lower-case letters, digits, - and _, at most 63
a.yaml:18: extra: unknown field
b.yaml:4: tenants.acme.principals[0]: the principal alice of i is already at DIR/a.yaml:4
b.yaml:6: tenants.acme.servers[0].uris: "/mcp": want an absolute URI without fragment (RFC 8707)
b.yaml:6: tenants.acme.servers[0].uris: the URI https://s.example/ is already at DIR/b.yaml:6
b.yaml:6: tenants.acme.servers[0].sensitivity: want one of [public internal confidential restricted], got "secret"
b.yaml:8: tenants.acme.tools[0].scopes: want a list
b.yaml:8: tenants.acme.tools[0].destructive: want true or false
b.yaml:9: tenants.acme.tools[1].server: the tenant has no server "nowhere"
b.yaml:10: tenants.acme.tools[2].scopes[1]: "a" is given twice
b.yaml:10: tenants.acme.tools[2].scopes[2]: is empty
b.yaml:10: tenants.acme.tools[2].server: is required
b.yaml:11: tenants.acme.tools[3]: want a mapping
b.yaml:11: tenants.acme.tools[3].name: is required
b.yaml:11: tenants.acme.tools[3].server: is required
c.yaml: line 2: found character that cannot start any token
d.json: holds more than one document
`), "\n")
	got := strings.Split(strings.ReplaceAll(strings.ReplaceAll(err.Error(), "at "+dir, "at DIR"), dir+string(filepath.Separator), ""), "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNoFile(t *testing.T) {
	for path, want := range map[string]string{
		filepath.Join(t.TempDir(), "none.yaml"): "no such file",
		t.TempDir():                             "has no .yaml, .yml or .json file",
	} {
		if _, err := enrich.Read(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", path, err, want)
		}
	}
	empty, err := enrich.Read(filepath.Join(folder(t, map[string]string{"r.yaml": "# nothing yet\n"}), "r.yaml"))
	if err != nil || len(empty) != 0 {
		t.Errorf("an empty file: %v, %v", empty, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(acmeYAML))
	f.Add([]byte(githubYAML))
	f.Add([]byte("a: &a [*a]\ntenants: *a"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		name := filepath.Join(dir, "r.yaml")
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		registries, err := enrich.Read(name)
		if err != nil {
			return
		}
		enrich.NewSnapshot(registries)
		b, err := json.Marshal(map[string]any{"tenants": registries})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := enrich.Read(name)
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v\n%s", err, b)
		}
		for tenant, r := range registries {
			if again[tenant].Version() != r.Version() {
				t.Errorf("read again, tenant %s has another version\n%s", tenant, b)
			}
		}
	})
}
