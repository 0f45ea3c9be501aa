package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/event"
)

// A token in hand is hashed here, as a token and as a key.
func TestStarts(t *testing.T) {
	key := bytes.Repeat([]byte("k"), 32)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, key, 0o600); err != nil {
		t.Fatal(err)
	}
	const token = "rpt_secret"
	for _, c := range []struct {
		args, stdin, keyFile string
		want                 []string
		wrong                string
	}{
		{args: "--token-stdin", stdin: token + "\n", want: []string{event.TokenRef(token)}},
		{args: "-", stdin: " " + token, want: []string{event.TokenRef(token)}},
		{args: "-", stdin: token, keyFile: file, want: []string{event.TokenRef(token), event.SecretRef("k1", key, token)}},
		{args: "principal:alice", want: []string{"principal:alice"}},
		{args: "-", stdin: "\n", wrong: "want a token on stdin"},
		{args: "", wrong: "want one start"},
		{args: "--token-stdin principal:alice", stdin: token, wrong: "want one start"},
	} {
		a := &app{config: defaults()}
		a.config.Collector.Redact.KeyFile, a.config.Collector.Redact.KeyID = c.keyFile, "k1"
		cmd := newChain(a)
		var flags startFlags
		cmd.ResetFlags()
		flags.add(cmd, "24h", "")
		cmd.SetIn(strings.NewReader(c.stdin))
		if err := cmd.ParseFlags(strings.Fields(c.args)); err != nil {
			t.Fatal(err)
		}
		got, err := flags.starts(a, cmd, cmd.Flags().Args())
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) || strings.Contains(err.Error(), token) {
				t.Errorf("%q: %v, want %s", c.args, err, c.wrong)
			}
			continue
		}
		if err != nil || strings.Join(got, " ") != strings.Join(c.want, " ") {
			t.Errorf("%q: %q, %v, want %q", c.args, got, err, c.want)
		}
	}
}

// askChains asks a running installation in every form of output.
func askChains(t *testing.T, dir, start string) {
	t.Helper()
	var found query.Chains
	if err := json.Unmarshal([]byte(ask(t, "chain", "--data-dir", dir, "--output", "json", start)), &found); err != nil || len(found.Chains) == 0 {
		t.Fatalf("chain of %s: %v", start, err)
	}
	for output, want := range map[string]string{"tree": "tenant ", "dot": "digraph custody {", "mermaid": "flowchart TD", "timeline": "tool_invocation"} {
		if text := ask(t, "chain", "--data-dir", dir, "--output", output, start); !strings.Contains(text, want) {
			t.Errorf("chain of %s as %s:\n%s", start, output, text)
		}
	}
	var b query.Blast
	if err := json.Unmarshal([]byte(ask(t, "blast", "--data-dir", dir, "--output", "json", start)), &b); err != nil || b.Calls == 0 || len(b.Servers) == 0 {
		t.Errorf("blast radius of %s: %+v, %v", start, b, err)
	}
	if text := ask(t, "blast", "--data-dir", dir, start); !strings.Contains(text, "STILL VALID") {
		t.Errorf("blast radius of %s:\n%s", start, text)
	}
}
