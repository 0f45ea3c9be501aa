package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/custody-audit/custody/dashboards"
	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// Every dashboard is read as text, of what is stored and what is chosen.
func TestDashboardsShow(t *testing.T) {
	t.Parallel()
	c := embeddedtest.StartClickHouse(t)
	stored := storeStory(t, c)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(c.Password(embedded.Analyst)), 0o600); err != nil {
		t.Fatal(err)
	}
	base := []string{"dashboards", "show", "--clickhouse-addresses", c.Addr(), "--clickhouse-user", embedded.Analyst, "--clickhouse-password-file", password,
		"--from", "2026-10-05T09:00:00Z", "--to", "2026-10-05T12:05:00Z"}
	show := func(args ...string) (shown []shownPanel) {
		t.Helper()
		if err := json.Unmarshal([]byte(ask(t, append(append(base, "--output", "json"), args...)...)), &shown); err != nil {
			t.Fatal(err)
		}
		return shown
	}
	for _, b := range dashboards.All() {
		asked := 0
		for _, q := range b.Queries() {
			if !q.Variable {
				asked++
			}
		}
		if shown := show(b.Name); len(shown) != asked {
			t.Errorf("%s: %d answers to %d queries", b.Name, len(shown), asked)
		}
	}
	if glance := show("overview", "--panel", "glance"); glance[0].Rows[0][0].(float64) != float64(stored) {
		t.Errorf("%v events at a glance, %d are stored", glance[0].Rows[0][0], stored)
	}
	for _, p := range show("overview", "--panel", "agents", "--tenant", "acme", "--set", "agent=planner") {
		for _, row := range p.Rows {
			if row[0] != "acme" {
				t.Errorf("of tenant acme: %v", row)
			}
		}
		if len(p.Rows) == 0 {
			t.Error("planner did nothing")
		}
	}
	text := ask(t, append(base, "overview", "--panel", "servers", "--limit", "1")...)
	if !strings.Contains(text, "(servers)\ntenant  server") || !strings.Contains(text, "cut: rows after the first 1") || strings.Count(text, "\n") != 4 {
		t.Errorf("one server:\n%s", text)
	}
	if text := ask(t, append(base, "overview", "--panel", "servers", "--tenant", "nobody")...); !strings.HasSuffix(text, "(servers)\nNo tool call matches.\n") {
		t.Errorf("a tenant without events:\n%s", text)
	}
	for want, args := range map[string][]string{
		`no dashboard "nothing": want overview`: {"nothing"},
		`no panel "nothing"`:                    {"overview", "--panel", "nothing"},
		`no variable "nothing": want agent`:     {"overview", "--set", "nothing=1"},
		"--from: want a time before --to":       {"overview", "--from", "1h", "--to", "2h"},
		`--to "tomorrow": want a time`:          {"overview", "--to", "tomorrow"},
		`no panel "Events accepted"`:            {"pipeline", "--panel", "Events accepted"},
	} {
		if _, err := try(t, append(base, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("dashboards show %v: %v, want %s", args, err, want)
		}
	}
}

// storeStory stores the story and returns how many events it has.
func storeStory(t *testing.T, c *embeddedtest.ClickHouse) int {
	t.Helper()
	var records []*table.Record
	seen := map[string]bool{}
	for i, e := range story.Events() {
		r := &table.Record{Position: table.Position{Topic: "custody.events", Epoch: "e", Offset: int64(i)}, LogTime: e.ObservedTime.Go(), State: table.Stored, Raw: e.Canonical(), ContentHash: e.ContentHash(), Event: e}
		if seen[e.ID] {
			r.State = table.Duplicate
		}
		seen[e.ID] = true
		records = append(records, r)
	}
	c.Store(t, records...)
	return len(seen)
}
