package api_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/deploy/storytest"
	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/evidence/proof"
)

func sealed(t *testing.T, c *embeddedtest.ClickHouse) (cfg *proof.Config, policy string) {
	t.Helper()
	return storytest.Seal(t, c)
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
