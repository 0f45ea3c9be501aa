package api_test

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/processor/seal"
)

// sealed seals what tell stored, and is what bundles are made of.
func sealed(t *testing.T, c *embeddedtest.ClickHouse) (cfg *proof.Config, policy string) {
	t.Helper()
	key, err := seal.CreateKey(filepath.Join(t.TempDir(), "key"), "audit.example/custody")
	if err != nil {
		t.Fatal(err)
	}
	folder, err := seal.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := seal.New(seal.Config{ClickHouse: c.Conn(embedded.Writer), Key: key, Folder: folder, Interval: 10 * time.Millisecond, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := c.Conn(embedded.Analyst).Query(t.Context(), "SELECT raw FROM records ORDER BY offset")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var edge seal.Edge
	for rows.Next() {
		var raw string
		if err := rows.Scan(&raw); err != nil {
			t.Fatal(err)
		}
		edge.Append(tlog.RecordHash([]byte(raw)), nil)
	}
	tree := seal.Tree{Topic: "custody.events", Epoch: "e"}
	sealer.Grown(tree, 0, &edge, nil)
	ctx, stop := context.WithCancel(t.Context())
	stop() // once is enough
	if err := sealer.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if p, err := folder.Tree(tree.Origin(key.Name())); err != nil || p.Checkpoint == nil {
		t.Fatalf("nothing is sealed: %v", err)
	}
	ring, err := folder.Keyring(key.Name(), key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return &proof.Config{ClickHouse: c.Conn(embedded.Analyst), Folder: folder, Ring: ring, Key: key, Dir: t.TempDir()}, "log " + key.Verifier() + "\n"
}

// A bundle is one that verifies, of the caller's tenant, and is recorded when it
// begins and when it ends.
func TestProof(t *testing.T) {
	t.Parallel()
	c := tell(t)
	cfg, text := sealed(t, c)
	s := serve(t, api.Config{Connect: twoWalls(c), Proof: cfg, Limits: api.Limits{ExportRows: 30}}, caller{"audit", api.Auditor, []string{"globex"}}, caller{"soc", api.Analyst, []string{"globex"}})
	policy, err := proof.ParsePolicy(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.stream("audit", "/api/v1/proof?filter=kind:permission_decision&range=2020-01-01T00:00:00Z/2100-01-01T00:00:00Z")
	if err != nil || a.status != 200 || a.header.Get("Content-Type") != "application/zip" {
		t.Fatalf("%d %s %v", a.status, a.body, err)
	}
	r, err := proof.Verify(bytes.NewReader(a.body), policy, nil)
	if err != nil || !r.Intact || r.Events == 0 || r.Trees[0].Range.OtherTenants == 0 || r.Tenant != "globex" {
		t.Errorf("%+v, %v", r, err)
	}
	if got := a.header.Get("Custody-Rows"); got != "5" || r.Events != 5 {
		t.Errorf("%s events by the trailer, %d in the bundle, want 5", got, r.Events)
	}
	taken := s.book.taken()
	if len(taken) != 2 || taken[0].Attributes["stage"] != "begun" || taken[1].Attributes["stage"] != "ended" || taken[1].Attributes["rows"] != "5" ||
		!strings.Contains(taken[0].Attributes["query.range"], "2020") || taken[0].Tenant != "globex" {
		t.Errorf("recorded: %v", taken)
	}
	for target, want := range map[string]int{"?range=x": 422, "?tenant=acme": 403, "?filter=tool:nothing": 404, "?filter=x": 422} {
		if a := s.as("audit", "GET", "/api/v1/proof"+target, nil); a.status != want || bytes.Contains(a.body, []byte("acme")) {
			t.Errorf("%s: %d %s, want %d", target, a.status, a.body, want)
		}
	}
	if a := s.as("soc", "GET", "/api/v1/proof", nil); a.status != 403 {
		t.Errorf("an analyst takes evidence away: %d", a.status)
	}
	s.book.fail(true)
	if a := s.as("audit", "GET", "/api/v1/proof", nil); a.status != 503 {
		t.Errorf("a bundle that cannot be recorded: %d %s", a.status, a.body)
	}
	bare := serve(t, api.Config{Connect: twoWalls(c)}, caller{"audit", api.Auditor, []string{"globex"}})
	if a := bare.as("audit", "GET", "/api/v1/proof", nil); a.status != 503 {
		t.Errorf("a server without the checkpoints: %d %s", a.status, a.body)
	}
}
