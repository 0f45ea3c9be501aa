package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/schemas/story"
)

// Whatever stands in the parameters, an answer is one of ours and never a fault of
// the server, and tells nothing of another tenant.
func FuzzParameters(f *testing.F) {
	for _, filter := range []string{"", "tool:deploy* last:24h", `subject:"a b" -kind:session`, "tenant:globex", "scope:'", "tool:\\", "tool:{f0:String}", "@x", "after:2026-10-05T09:00:00Z", "last:9999999w", "tool:a,b*,", "\x00", "tool:\xff"} {
		f.Add(filter, story.Named("deploy-call").ID, "principal:alice", "10")
	}
	f.Add("last:1d", "ffffffff-ffff-7fff-bfff-ffffffffffff", "deploy-mcp/deploy_service", "-1")
	f.Add("last:1d", "00000000-0000-0000-0000-000000000000", "jsonrpc:a/'", "1e3")
	s := serve(f, api.Config{Connect: twoWalls(tell(f)), Limits: api.Limits{PerCaller: 64, Together: 64}}, caller{"me", api.Admin, []string{"acme"}})
	f.Fuzz(func(t *testing.T, filter, after, start, limit string) {
		of := &server{TB: t, url: s.url, client: s.client, book: s.book, keys: s.keys}
		for path, values := range map[string]url.Values{
			"/events": {"filter": {filter}, "after": {after}, "limit": {limit}}, "/chain": {"start": {start}}, "/blast": {"start": {start}}, "/export": {"filter": {filter}},
			"/findings": {"rule": {limit}}, "/findings/groups": {"identity": {filter}, "chain": {start}, "assignee": {after}}, "/events/" + url.PathEscape(after): nil, "/findings/" + url.PathEscape(start): nil, "/verdicts": {"actor": {filter}, "trace": {start}, "after": {after}},
		} {
			target := "/api/v1" + path + "?" + values.Encode()
			if strings.Contains(path, "/./") || strings.HasSuffix(path, "/") {
				continue // is another path
			}
			a := of.as("me", http.MethodGet, target, nil)
			if a.status >= 500 && a.status != http.StatusGatewayTimeout {
				t.Errorf("%s: %d %s", target, a.status, a.body)
			}
			if strings.Contains(string(a.body), "globex-") && !strings.Contains(filter+after+start, "globex") {
				t.Errorf("%s tells of another tenant: %s", target, a.body)
			}
		}
	})
}
