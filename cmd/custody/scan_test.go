package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/schemas/event"
)

const scanSecret = "hunter2-of-the-scan"

// clientHome writes the home of a user of several clients.
func clientHome(t *testing.T) string {
	t.Helper()
	home := filepath.Join(t.TempDir(), "alice")
	for path, text := range map[string]string{
		".cursor/mcp.json":           `{"mcpServers":{"github":{"command":"npx","env":{"GITHUB_TOKEN":"` + scanSecret + `","LOG_LEVEL":"debug"}}}}`,
		".config/Code/User/mcp.json": "{ // of a colleague\n \"servers\": {\"sales\": {\"args\": [\"postgres://app:" + scanSecret + "@db/sales\",]}}}",
		".claude.json":               `{"mcpServers":{"ok":{"headers":{"Authorization":"Bearer ${TOKEN}"}}}}`,
		".gemini/settings.json":      `{"mcpServers":{"` + scanSecret, // cut off
	} {
		full := filepath.Join(home, path)
		err := os.MkdirAll(filepath.Dir(full), 0o755)
		if err == nil {
			err = os.WriteFile(full, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return home
}

// scanned is what "scan mcp-config --output json" says.
func scanned(t *testing.T, args ...string) (result scanResult, text, said string, err error) {
	t.Helper()
	var out, messages bytes.Buffer
	root := newRoot()
	root.SetArgs(append([]string{"scan", "mcp-config", "--output", "json"}, args...))
	root.SetOut(&out)
	root.SetErr(&messages)
	err = root.ExecuteContext(t.Context())
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &result); err != nil {
			t.Fatalf("%v: %s", err, out.String())
		}
	}
	return result, out.String(), messages.String(), err
}

// Real files through the whole binary: each credential is an event with a reference
// that is the same in both files, and its value is nowhere.
func TestScanMCPConfig(t *testing.T) {
	t.Parallel()
	home, dir := clientHome(t), t.TempDir()
	redactKey, sourceKey := filepath.Join(dir, "redact"), filepath.Join(dir, "source")
	secret := []byte(strings.Repeat("k", 32))
	if err := os.WriteFile(redactKey, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	url, key, search := install(t, []string{"--collector-redact-key-id", "k1", "--collector-redact-key-file", redactKey, "--log-level", "debug"}, "scanner", "--type", "mcpconfig")
	if err := os.WriteFile(sourceKey, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	result, text, said, err := scanned(t, "--home", home, "--host", "laptop", "--collector-url", url, "--key-file", sourceKey)
	if err == nil || err.Error() != "1 files or folders could not be read" {
		t.Errorf("error %v", err)
	}
	if result.Files != 3 || result.Accepted != 2 || result.Rejected != 0 || len(result.Problems) != 1 || strings.Contains(text+said, scanSecret) {
		t.Errorf("result %+v, %s", result, said)
	}
	if want := filepath.Join(home, ".gemini/settings.json") + ": is not JSON"; !strings.Contains(said, want) {
		t.Errorf("said %s, want %s", said, want)
	}
	events := stored(t, search, "kind:credential", 2)
	got := map[string]event.Token{}
	for _, e := range events {
		got[e.Attributes["mcp.config.place"]] = e.Token
		if e.Source.Type != "mcpconfig" || e.Subject.Sub != "alice" || e.Attributes["host.name"] != "laptop" || !strings.HasPrefix(e.Attributes["mcp.config.path"], home) {
			t.Errorf("got %s", e.Canonical())
		}
	}
	ref := event.SecretRef("k1", secret, scanSecret)
	want := map[string]event.Token{
		"mcpServers.github.env.GITHUB_TOKEN": {Ref: ref, TokenType: "api_key", Static: true, Verified: event.TokenUnverified},
		"servers.sales.args[0] userinfo":     {Ref: ref, TokenType: "password", Static: true, Verified: event.TokenUnverified},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	inFiles(t, search[2], []plant{{scanSecret, scanSecret}})
}

// With the redaction key here, the references are those that the collector makes.
func TestScanDryRun(t *testing.T) {
	t.Parallel()
	home := clientHome(t)
	redactKey := filepath.Join(t.TempDir(), "redact")
	if err := os.WriteFile(redactKey, []byte(strings.Repeat("k", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, here := range []bool{false, true} {
		args, ref := []string{"--home", home, "--dry-run", "--collector-url", "http://collector.example"}, ""
		if here {
			args, ref = append(args, "--collector-redact-key-id", "k1", "--collector-redact-key-file", redactKey), event.SecretRef("k1", []byte(strings.Repeat("k", 32)), scanSecret)
		}
		result, text, said, err := scanned(t, args...)
		if err == nil || !result.DryRun || result.Accepted != 0 || strings.Contains(text+said, scanSecret) || !strings.Contains(said, "3 files read, 2 credentials found, nothing was sent") {
			t.Errorf("%+v, said %s, %v", result, said, err)
		}
		want := []configCredential{
			{Path: filepath.Join(home, ".cursor/mcp.json"), Client: "Cursor", User: "alice", Server: "github", Place: "mcpServers.github.env.GITHUB_TOKEN", Kind: "api_key", Ref: ref},
			{Path: filepath.Join(home, ".config/Code/User/mcp.json"), Client: "VS Code", User: "alice", Server: "sales", Place: "servers.sales.args[0] userinfo", Kind: "password", Ref: ref},
		}
		if diff := cmp.Diff(want, result.Credentials); diff != "" {
			t.Errorf("credentials (-want +got):\n%s", diff)
		}
	}
	table := ask(t, "scan", "mcp-config", "--dry-run", filepath.Join(home, ".cursor"))
	if !strings.HasPrefix(table, "KIND ") || !strings.Contains(table, "mcpServers.github.env.GITHUB_TOKEN  Cursor") || strings.Contains(table, scanSecret) {
		t.Errorf("table:\n%s", table)
	}
}

func TestScanSaysWhatItWants(t *testing.T) {
	home := clientHome(t)
	t.Setenv(keyVariable, "cst_x")
	for want, args := range map[string][]string{
		"credentials would cross the network in the clear: want https": {"--collector-url", "http://collector.example:4318"},
		"collector-url http://10.0.0.1: credentials would cross":       {"--collector-url", "http://10.0.0.1"},
		"send what was found: Post ":                                   {"--collector-url", "http://" + freeAddress(t)},
		"collector.redact: want key_id and key_file both":              {"--collector-redact-key-id", "k1"},
		"no such file or directory":                                    {"--key-file", filepath.Join(home, "missing"), "--collector-url", "http://" + freeAddress(t)},
	} {
		_, text, _, err := scanned(t, append(args, "--home", home)...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(text+err.Error(), scanSecret) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
	t.Setenv(keyVariable, "")
	if _, _, _, err := scanned(t, "--home", home); err == nil || !strings.Contains(err.Error(), "want the source's key: --key-file FILE") {
		t.Errorf("without a key: %v", err)
	}
}

// Every place that docs/sources/mcpconfig.md names is read.
func TestScanPlacesAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "sources", "mcpconfig.md"))
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(t.TempDir(), "alice")
	places := map[string]bool{}
	for _, line := range strings.Split(string(text), "\n") {
		for i, part := range strings.Split(line, "`") {
			if path, ok := strings.CutPrefix(part, "~/"); ok && i%2 == 1 && strings.HasSuffix(path, ".json") {
				places[path] = true
				full := filepath.Join(home, path)
				if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(full, []byte(`{"mcpServers":{"s":{"env":{"API_TOKEN":"x1"}}}}`), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	result, _, _, err := scanned(t, "--home", home, "--dry-run")
	if err != nil || len(places) < 10 || result.Files != len(places) {
		t.Errorf("%d of %d documented places read, %v: %v", result.Files, len(places), err, slices.Sorted(maps.Keys(places)))
	}
}
