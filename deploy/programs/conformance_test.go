//go:build programs

package programs

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The official conformance suite comes to the same result about a server and
// about the proxy in front of it: whatever a client may notice is passed on.
func testConformance(t *testing.T, i *installation) {
	const released, next = "@modelcontextprotocol/conformance", "conformance-2026-07-28"
	for _, c := range []struct {
		name, server, suite string
		serve               func(*testing.T, *installation) string
		passed              int // checks that the server passes at least, so that there is something to hold against each other
	}{
		{"server-everything", "conformance-everything", released, serveEverything, 13},
		{"Go SDK with sessions", "conformance-sessions", released, serveSDK("-stateless=false"), 40},
		{"Go SDK without sessions", "conformance-stateless", next, serveSDK("-stateless=true"), 150},
	} {
		t.Run(c.name, func(t *testing.T) {
			upstream := c.serve(t, i)
			direct := conform(t, i, c.suite, upstream)
			proxied := conform(t, i, c.suite, proxy(t, i, "conformance", c.server, upstream))
			passed := 0
			for _, check := range direct {
				if strings.HasSuffix(check, " SUCCESS") {
					passed++
				}
			}
			t.Logf("%d of %d checks passed", passed, len(direct))
			if passed < c.passed {
				t.Errorf("the server passes %d checks, want at least %d:\n%s", passed, c.passed, strings.Join(direct, "\n"))
			}
			if diff := cmp.Diff(ownDefence(direct), proxied); diff != "" {
				t.Errorf("checks (-direct +proxied):\n%s", diff)
			}
			i.find(t, 1, "source:conformance type:mcp.tools.call tool:test_image_content server:"+c.server)
		})
	}
}

// serveSDK serves the conformance server of the Go SDK.
func serveSDK(mode string) func(*testing.T, *installation) string {
	return func(t *testing.T, i *installation) string {
		address := "127.0.0.1:" + freePort(t)
		start(t, regexp.MustCompile(`listening`), exec.Command(i.program("everything-server"), mode, "-http", address))
		awaitListener(t, address)
		return "http://" + address
	}
}

// ownDefence says what is expected of a proxy: it refuses DNS rebinding itself,
// since a server behind it sees only the proxy's name.
func ownDefence(checks []string) []string {
	const rebinding = "dns-rebinding-protection localhost-host-rebinding-rejected "
	all := slices.Clone(checks)
	for i, c := range all {
		if c == rebinding+"FAILURE" {
			all[i] = rebinding + "SUCCESS"
		}
	}
	return all
}

var scenarioFolder = regexp.MustCompile(`^server-(.+)-\d{4}-\d\d-\d\dT[0-9-]+Z$`)

// conform runs the suite and returns each check with its scenario and status, sorted.
func conform(t *testing.T, i *installation, suite, address string) (checks []string) {
	t.Helper()
	dir := t.TempDir()
	cmd := i.node(i.module(suite+"/dist/index.js"), "server", "--url", address+"/mcp", "--suite", "all", "--output-dir", dir)
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError // as the suite says that a check failed
	if err != nil && !errors.As(err, &failed) || !strings.Contains(string(out), "=== SUMMARY ===") {
		t.Fatalf("the suite does not run: %v\n%s", err, out)
	}
	scenarios, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scenarios {
		name := scenarioFolder.FindStringSubmatch(s.Name())
		if name == nil {
			t.Fatalf("the suite left %s", s.Name())
		}
		text, err := os.ReadFile(filepath.Join(dir, s.Name(), "checks.json"))
		if err != nil {
			t.Fatal(err)
		}
		var all []struct{ ID, Status string }
		if err := json.Unmarshal(text, &all); err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			checks = append(checks, fmt.Sprintf("%s %s %s", name[1], c.ID, c.Status))
		}
	}
	slices.Sort(checks)
	return checks
}
