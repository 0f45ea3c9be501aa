package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/deploy/storytest"
	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/table"
)

// What no event could be made of is of no tenant: who sees all tenants sees how it
// begins, without its secrets, and nobody else does.
func TestMalformed(t *testing.T) {
	t.Parallel()
	c := tell(t)
	storytest.Bury(t, c, `{"tenant":"acme","password":"hunter2"`+"\xff"+strings.Repeat(" more", 1000), "unexpected end of JSON input")
	s := serve(t, api.Config{Connect: twoWalls(c), Redact: func(text string) string { return strings.ReplaceAll(text, "hunter2", "***") }},
		caller{"all", api.Responder, []string{api.AllTenants}}, caller{"one", api.Responder, []string{"acme"}}, caller{"analyst", api.Analyst, []string{api.AllTenants}})
	a := s.as("all", "GET", api.Prefix+"/malformed", nil)
	var found struct{ Records []*query.Malformed }
	if err := json.Unmarshal(a.body, &found); err != nil || a.status != http.StatusOK || len(found.Records) != 1 {
		t.Fatalf("%d %v %s", a.status, err, a.body)
	}
	m := found.Records[0]
	if !strings.HasPrefix(m.Sample, `{"tenant":"acme","password":"***"`+"\uFFFD") || len(m.Sample) > 1100 || m.Size < 5000 || m.Problem != "unexpected end of JSON input" || len(m.LeafHash) != 64 {
		t.Errorf("%+v", m)
	}
	if a := s.as("all", "GET", api.Prefix+"/malformed?since=2100-01-01T00:00:00Z", nil); a.status != http.StatusOK || strings.Contains(string(a.body), "password") {
		t.Errorf("of a time to come: %d %s", a.status, a.body)
	}
	filtered := serve(t, api.Config{Connect: func(string) (driver.Conn, error) {
		return embeddedtest.Open(c.Addr(), table.Auditor("acme"), c.Password(table.Auditor("acme")), embeddedtest.Database)
	}}, caller{"all", api.Responder, []string{api.AllTenants}})
	if a := filtered.as("all", "GET", api.Prefix+"/malformed", nil); a.status != http.StatusOK || strings.Contains(string(a.body), "password") {
		t.Errorf("as the database user of acme: %d %s", a.status, a.body)
	}
	for who, path := range map[string]string{"one": "/malformed", "all": "/malformed?tenant=acme", "analyst": "/malformed"} {
		if a := s.as(who, "GET", api.Prefix+path, nil); a.status != http.StatusForbidden || strings.Contains(string(a.body), "password") {
			t.Errorf("%s of %s: %d %s", who, path, a.status, a.body)
		}
	}
}
