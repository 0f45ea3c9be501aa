package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/reconcile"
)

// sealedTree is the part of an answer that the tests read.
type sealedTree struct {
	query.SealedTree
	Signature string
	Witnesses []string
}

type integrity struct {
	Log             string
	Trees           []sealedTree
	Reconciliations []query.Reconciliation
	Discrepancies   []query.SealDiscrepancy
	Retained        []query.RetentionRecord
}

// What is told of the seal is what was sealed and reconciled: a checkpoint that was
// changed is invalid, and what was edited is named to its tenant.
func TestIntegrity(t *testing.T) {
	t.Parallel()
	c := tell(t)
	cfg, _ := sealed(t, c)
	s := serve(t, api.Config{Connect: twoWalls(c), Proof: cfg}, caller{"audit", api.Auditor, []string{"globex"}}, caller{"other", api.Auditor, []string{"initech"}}, caller{"me", api.Reviewer, []string{"globex"}})
	reconciler, err := reconcile.New(reconcile.Config{ClickHouse: c.Conn(embedded.Detector), Ring: cfg.Ring, Folder: cfg.Folder, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reconciler.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	const target = "/api/v1/integrity"
	got := get[integrity](s, "audit", target)
	if len(got.Trees) != 1 || got.Trees[0].Signature != "valid" || got.Trees[0].Size == 0 || got.Trees[0].Cosigned != 0 || got.Log != "audit.example/custody" {
		t.Errorf("trees: %+v of %q", got.Trees, got.Log)
	}
	if len(got.Reconciliations) != 1 || !got.Reconciliations[0].Full || got.Reconciliations[0].Records != got.Trees[0].Size || got.Reconciliations[0].Discrepancies != 0 || len(got.Discrepancies) != 0 {
		t.Errorf("reconciled: %+v, %+v", got.Reconciliations, got.Discrepancies)
	}
	admin := c.Conn(embedded.Admin)
	for _, tamper := range []string{
		"ALTER TABLE records UPDATE raw = replaceOne(raw, 'globex', 'gl0bex') WHERE tenant = 'globex' AND kind = 'permission_decision' SETTINGS mutations_sync = 2",
		"ALTER TABLE checkpoints UPDATE note = replaceOne(note, 'audit', 'other') WHERE 1 SETTINGS mutations_sync = 2",
	} {
		if err := admin.Exec(t.Context(), tamper); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := reconciler.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	got = get[integrity](s, "audit", target)
	if got.Trees[0].Signature != "invalid" || got.Reconciliations[0].Discrepancies == 0 || len(got.Discrepancies) == 0 {
		t.Errorf("after tampering: %+v, %+v, %+v", got.Trees, got.Reconciliations, got.Discrepancies)
	}
	for _, d := range got.Discrepancies {
		if d.Tenant != "globex" {
			t.Errorf("told of %s", d.Tenant)
		}
	}
	bare := serve(t, api.Config{Connect: twoWalls(c)}, caller{"audit", api.Auditor, []string{"globex"}})
	if got := get[integrity](bare, "audit", target); got.Trees[0].Signature != "unchecked" || got.Log != "" {
		t.Errorf("a server without the keys says %+v", got.Trees)
	}
	if a := s.as("me", "GET", target, nil); a.status != 403 {
		t.Errorf("a reviewer: %d", a.status)
	}
}

// A bundle is verified by the server that made it: intact, tampered with, none at
// all, and larger than is taken; that it was asked is recorded with the bundle's hash.
func TestVerifyBundle(t *testing.T) {
	t.Parallel()
	c := tell(t)
	cfg, text := sealed(t, c)
	policy, err := proof.ParsePolicy(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, api.Config{Connect: twoWalls(c), Proof: cfg, Policy: policy}, caller{"audit", api.Auditor, []string{"globex"}}, caller{"me", api.Reviewer, []string{"globex"}})
	made, err := s.stream("audit", "/api/v1/proof?filter=kind:permission_decision")
	if err != nil || made.status != 200 {
		t.Fatalf("%d %s %v", made.status, made.body, err)
	}
	s.book.taken()
	verify := func(id string, bundle []byte) (answer, proof.Report) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/api/v1/proof/verify", bytes.NewReader(bundle))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/zip")
		req.Header.Set("Authorization", "Bearer "+s.keys[id])
		a := s.do(req)
		var out struct {
			Report     proof.Report
			VerifiedBy string `json:"verified_by"`
		}
		if a.status == 200 {
			if err := json.Unmarshal(a.body, &out); err != nil || out.VerifiedBy != "this server" {
				t.Errorf("%v: %s", err, a.body)
			}
		}
		return a, out.Report
	}
	if a, r := verify("audit", made.body); a.status != 200 || !r.Intact || r.Events != 5 {
		t.Errorf("as it was made: %d %s", a.status, a.body)
	}
	if taken := s.book.taken(); len(taken) != 1 || len(taken[0].Attributes["bundle.sha256"]) != 64 {
		t.Errorf("recorded: %v", taken)
	}
	forged := bytes.Replace(made.body, []byte(`"effect":"allow"`), []byte(`"effect":"denyy"`), 1)
	if bytes.Equal(forged, made.body) {
		t.Fatal("nothing was forged")
	}
	if a, r := verify("audit", forged); a.status != 200 || r.Intact || r.Class != proof.Content {
		t.Errorf("forged: %d %s", a.status, a.body)
	}
	for name, bundle := range map[string][]byte{"none": []byte("no bundle"), "empty": {}} {
		if a, _ := verify("audit", bundle); a.status != 422 && a.status != 400 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a, _ := verify("audit", make([]byte, 32<<20+1)); a.status != 413 {
		t.Errorf("too large: %d %s", a.status, a.body)
	}
	if a, _ := verify("me", made.body); a.status != 403 {
		t.Errorf("a reviewer: %d", a.status)
	}
}
