package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/custody-audit/custody/schemas/event"
)

func TestSourceTest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "decisions.jsonl")
	secret := "ghp_" + strings.Repeat("canary", 7)
	records := `{"decision_id":"d1","timestamp":"2026-11-02T09:00:00Z","result":true,"path":"p","input":{"subject":{"id":"alice"},"token":{"scope":"a ` + secret + `"}}}
{"decision_id":"d2"}
{"decision_id":"d3","timestamp":"2026-11-02T09:00:01Z","result":false}
`
	if err := os.WriteFile(file, []byte(records), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := try(t, "source", "test", "opa", file, "--output", "json", "--tenant", "acme")
	if err == nil || !strings.Contains(err.Error(), "1 of 3 records refused") {
		t.Errorf("error %v", err)
	}
	var lines []string
	for s := bufio.NewScanner(strings.NewReader(out)); s.Scan(); {
		lines = append(lines, s.Text())
	}
	if len(lines) != 3 || strings.Contains(out, secret) {
		t.Fatalf("got %d lines:\n%s", len(lines), out)
	}
	for _, i := range []int{0, 2} {
		e, err := event.Decode([]byte(lines[i]))
		if err != nil || e.Validate() != nil || e.Tenant != "acme" {
			t.Errorf("line %d is no event of acme: %v\n%s", i, err, lines[i])
		}
	}
	var refusal struct {
		Index *int   `json:"index"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal([]byte(lines[1]), &refusal); err != nil || refusal.Index == nil || *refusal.Index != 1 || !strings.Contains(refusal.Error, "timestamp") {
		t.Errorf("line 1: %s (%v)", lines[1], err)
	}
	for _, args := range [][]string{{"gossip", file}, {"opa", file + ".missing"}} {
		if _, err := try(t, append([]string{"source", "test"}, args...)...); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}
