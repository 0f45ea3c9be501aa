package console_test

import (
	"net/http"
	"strings"
	"testing"
)

// The pages of identities say what somebody may do, what of it is used, and since when
// they were seen with what; a server's page, who calls it.
func TestIdentityPages(t *testing.T) {
	t.Parallel()
	s := open(t)
	v := s.visit("analyst@acme")
	for path, wants := range map[string][]string{
		"/identities?days=3650":                    {"planner", "alice", "github-mcp", "Who acts", "MCP servers"},
		"/identities?days=3650&type=human":         {"alice"},
		"/identities?begins=nobody":                {"Nobody did anything in 30 days"},
		"/identities/planner?days=3650":            {"agent", "Grants and use", "repo:write", "merge_pull_request", "Least privilege", "package custody", "Seen with", "sha256:", "Newest events", "/chain?start=principal%3Aplanner"},
		"/identities/servers/crm-mcp?days=3650":    {"No call of it was seen"}, // it is globex's
		"/identities/servers/github-mcp?days=3650": {"planner", "merge_pull_request", "callers", "/chain?start=github-mcp%2Fmerge_pull_request"},
	} {
		page := v.page(path)
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("%s does not say %q", path, want)
			}
		}
		if strings.Contains(page, "globex") {
			t.Errorf("%s tells of another tenant", path)
		}
	}
	if page := v.page("/identities?days=3650&type=human"); strings.Contains(page, ">planner<") {
		t.Error("an agent among the humans")
	}
	for path, want := range map[string]int{"/identities/nobody": http.StatusNotFound, "/identities/analyst?days=3650": http.StatusNotFound, "/identities?tenant=globex": http.StatusForbidden} {
		if a := v.get(path); a.status != want {
			t.Errorf("%s: %d, want %d", path, a.status, want)
		}
	}
	for _, path := range []string{"/identities", "/identities/planner", "/identities/servers/github-mcp"} {
		if a := s.visit("reviewer@acme").get(path); a.status != http.StatusForbidden || !strings.Contains(a.body, "analyst") {
			t.Errorf("a reviewer at %s: %d", path, a.status)
		}
	}
}
