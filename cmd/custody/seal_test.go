package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/demo"
	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/processor/reconcile"
)

// sealedWhole waits until everything stored is under a checkpoint, and checks it
// by reading it all again.
func sealedWhole(t *testing.T, dataDir string, records int) {
	t.Helper()
	var trees []sealedTree
	eventually(t, time.Minute, "everything is sealed", func(context.Context) bool {
		out, err := try(t, "seal", "show", "--data-dir", dataDir, "--output", "json")
		if err != nil {
			return false // not one checkpoint yet
		}
		if err := json.Unmarshal([]byte(out), &trees); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, tree := range trees {
			n += int(tree.Size)
		}
		return n >= records
	})
	var rep reconcile.Report
	out := ask(t, "reconcile", "--once", "--output", "json", "--data-dir", dataDir)
	if err := json.Unmarshal([]byte(out), &rep); err != nil || len(rep.Discrepancies) > 0 || rep.Trees != len(trees) || int(rep.Records) < records {
		t.Errorf("reconciled: %s, %v; want %d records", out, err, records)
	}
}

// An administrator edits, deletes and inserts rows of a running installation. It
// is found, named and told within a cycle.
func TestTamperedInstallation(t *testing.T) {
	sources, keys := estateSources(t)
	dataDir, address := t.TempDir(), freeAddress(t)
	start(t, "takes events at", "run", "--data-dir", dataDir, "--collector-sources", sources, "--collector-http", address, "--collector-grpc", "127.0.0.1:0",
		"--telemetry-address", "", "--processor-session-timeout", "6s", "--reconcile-interval", "1s", "--detect-interval", "1s")
	estate, err := demo.New(demo.Config{CollectorURL: "http://" + address, Keys: keys, Seed: 3, Once: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	did, err := estate.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	countStates(t, dataDir, did.Total())
	sealedWhole(t, dataDir, did.Total())
	checkProof(t, dataDir, did.Total())

	tamper(t, dataDir, "ALTER TABLE records UPDATE raw = replaceOne(raw, 'deny', 'allow') WHERE kind = 'permission_decision' AND decision_effect = 'deny' AND partition = 0",
		"ALTER TABLE records DELETE WHERE partition = 1 AND offset = 5",
		"INSERT INTO records SELECT * FROM records WHERE partition = 2 AND offset = 7")
	out, err := try(t, "reconcile", "--once", "--data-dir", dataDir)
	if err == nil || !strings.Contains(out, "edited") || !strings.Contains(out, "deleted") || !strings.Contains(out, "duplicated") {
		t.Errorf("reconciled, %v:\n%s", err, out)
	}
	eventually(t, time.Minute, "it is a finding", func(context.Context) bool {
		out, err := try(t, "findings", "list", "--data-dir", dataDir, "--rule", "seal_broken", "--output", "json")
		return err == nil && strings.Contains(out, "edited") && strings.Contains(out, "partition 1 of custody.events, offset 5: deleted") &&
			strings.Contains(out, "partition 2 of custody.events, offset 7: duplicated")
	})
}

// tamper runs statements as the administrator of a local installation's ClickHouse.
func tamper(t *testing.T, dataDir string, statements ...string) {
	t.Helper()
	c := defaults()
	c.DataDir = dataDir
	if err := c.local(""); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dataDir, "clickhouse", "credentials.json"))
	if err != nil {
		t.Fatal(err)
	}
	var passwords map[string]string
	if err := json.Unmarshal(b, &passwords); err != nil {
		t.Fatal(err)
	}
	conn, err := embeddedtest.Open(c.ClickHouse.Addresses[0], embedded.Admin, passwords[embedded.Admin], "custody")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, s := range statements {
		if strings.HasPrefix(s, "ALTER") {
			s += " SETTINGS mutations_sync = 2"
		}
		if err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}
