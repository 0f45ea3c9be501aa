package keycloak

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/collector/collectortest"
	"github.com/custody-audit/custody/schemas/event"
)

func parse(t *testing.T, record string) *event.Event {
	t.Helper()
	events, err := Parse([]byte(record))
	if err != nil || len(events) != 1 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	return events[0]
}

// exchange is a token exchange with more members.
func exchange(members string) string {
	return `{"id":"1","time":1793610000250,"clientId":"github-mcp","userId":"u-1"` + members + `}`
}

func TestExchangeWithActor(t *testing.T) {
	got := parse(t, exchange(`,"type":"TOKEN_EXCHANGE","details":{"audience":"ledger account","scope":"a b","username":"alice","token_id":"j",
		"requested_token_type":"urn:ietf:params:oauth:token-type:access_token","subject_token_client_id":"runner",
		"actor_id":"sa-3","actor":"pay","actor_type":"client","delegation_chain_depth":"3","delegation_chain":"planner,runner,pay"}`))
	want := &event.Event{
		Kind: event.TokenExchange, Type: event.TypeTokenExchange, Time: 1793610000250000, Outcome: event.Success,
		Source:    event.Source{EventID: "1"},
		Subject:   event.Party{Sub: "u-1", Name: "alice"},
		Actor:     event.Party{Sub: "sa-3", Name: "pay", Type: event.Service},
		Chain:     []event.Link{{Sub: "sa-3", Type: event.Service}, {Sub: "runner"}, {Sub: "planner"}},
		ChainRule: event.Flat,
		Client:    event.Client{ID: "github-mcp", Verified: true},
		Exchange: event.Exchange{
			GrantType: grantType, RequestedTokenType: "urn:ietf:params:oauth:token-type:access_token", IssuedTokenType: "urn:ietf:params:oauth:token-type:access_token",
			GrantedScope: []string{"a", "b"}, RequestedAudience: []string{"ledger", "account"},
		},
		Attributes: map[string]string{"keycloak.event_type": "TOKEN_EXCHANGE", "keycloak.subject_token_client_id": "runner", "keycloak.issued_token_jti": "j"},
		Warnings: []string{
			"no reference of the subject token or of the one issued: Keycloak does not log them, so they join nothing",
			"chain names actors below the first by client id or user name, not by sub",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A chain that is not told whole is said to be so, and what is known stays.
func TestChains(t *testing.T) {
	check := func(details string, links int, truncated, malformed bool) {
		t.Helper()
		e := parse(t, exchange(`,"type":"TOKEN_EXCHANGE","details":{"actor_id":"sa","actor":"c","actor_type":"client"`+details+`}`))
		if len(e.Chain) != links || e.ChainTruncated != truncated || (e.ChainMalformed != "") != malformed {
			t.Errorf("%s: %s", details, e.Canonical())
		}
	}
	check(``, 1, false, false)
	check(`,"delegation_chain_depth":"1"`, 1, false, false)
	check(`,"delegation_chain_depth":"2"`, 1, true, false)
	check(`,"delegation_chain_depth":"2","delegation_chain":"a,c"`, 2, false, false)
	check(`,"delegation_chain":"a,b,c"`, 3, false, false)
	check(`,"delegation_chain_depth":"2","delegation_chain":"a,b,c"`, 3, false, true)
	check(`,"delegation_chain_depth":"-1"`, 1, false, true)
	check(`,"delegation_chain_depth":"two","delegation_chain":"a,c"`, 2, false, true)
	check(`,"delegation_chain":",,c"`, 1, false, false)
	check(`,"delegation_chain":"`+strings.Repeat("x,", 5000)+`c"`, event.MaxChain, true, false)
}

func TestOutcomes(t *testing.T) {
	check := func(members string, want event.Outcome) {
		t.Helper()
		if got := parse(t, exchange(members)).Outcome; got != want {
			t.Errorf("%s: got %s, want %s", members, got, want)
		}
	}
	check(`,"type":"TOKEN_EXCHANGE"`, event.Success)
	check(`,"type":"TOKEN_EXCHANGE","error":null`, event.Success)
	check(`,"type":"TOKEN_EXCHANGE_ERROR"`, event.Failure)
	check(`,"type":"TOKEN_EXCHANGE_ERROR","error":"access_denied"`, event.Denied)
	check(`,"type":"TOKEN_EXCHANGE_ERROR","error":"consent_denied"`, event.Denied)
	check(`,"type":"TOKEN_EXCHANGE_ERROR","error":"client_disabled"`, event.Denied)
	check(`,"type":"TOKEN_EXCHANGE_ERROR","error":"invalid_token"`, event.Failure)
	check(`,"type":"TOKEN_EXCHANGE_ERROR","error":"invalid_token","details":{"actor_id":"a"}`, event.Denied)
	check(`,"type":"TOKEN_EXCHANGE_ERROR","error":"invalid_dpop_proof","details":{"actor_id":"a"}`, event.Failure)
	check(`,"type":"TOKEN_EXCHANGE_ERROR","error":"identity_provider_error"`, event.Error)
	check(`,"type":"LOGIN_ERROR","error":"invalid_user_credentials"`, event.Failure)
	check(`,"type":"LOGIN_ERROR","error":"user_disabled"`, event.Denied)
	check(`,"type":"PERMISSION_TOKEN_ERROR","error":"not_allowed"`, event.Denied)
	check(`,"type":"PERMISSION_TOKEN_ERROR","error":"invalid_request"`, event.Error)
}

func TestPermissionEffects(t *testing.T) {
	check := func(members string, want event.Effect) {
		t.Helper()
		if got := parse(t, exchange(members)).Decision.Effect; got != want {
			t.Errorf("%s: got %s, want %s", members, got, want)
		}
	}
	check(`,"type":"PERMISSION_TOKEN"`, event.Allow)
	check(`,"type":"PERMISSION_TOKEN_ERROR","error":"access_denied"`, event.Deny)
	check(`,"type":"PERMISSION_TOKEN_ERROR","error":"invalid_permission_ticket"`, event.EffectError)
}

// The secret of a client stands in the representation of two admin events.
func TestSecretsOfRepresentations(t *testing.T) {
	for _, path := range []string{"clients/c", "clients/c/client-secret", "users/u/reset-password"} {
		e := parse(t, fmt.Sprintf(`{"id":"1","time":1793610000250,"operationType":"ACTION","resourceType":"CLIENT","resourcePath":%q,
			"representation":"{\"clientId\":\"x\",\"secret\":\"canary\",\"value\":\"canary\",\"credentials\":[{\"value\":\"canary\"}]}"}`, path))
		if strings.Contains(string(e.Canonical()), "canary") {
			t.Errorf("%s: %s", path, e.Canonical())
		}
	}
}

// A listener that logs a token must not bring it through.
func TestTokenInDetails(t *testing.T) {
	e := parse(t, exchange(`,"type":"TOKEN_EXCHANGE","details":{"subject_token":"the-token","issued_token_ref":"`+event.TokenRef("other")+`"}`))
	if e.Exchange.SubjectTokenRef != event.TokenRef("the-token") || e.Exchange.IssuedTokenRef != event.TokenRef("other") ||
		strings.Contains(string(e.Canonical()), "the-token") || !strings.Contains(strings.Join(e.Warnings, ";"), "held a token") {
		t.Errorf("got %s", e.Canonical())
	}
}

func TestIgnored(t *testing.T) {
	for _, in := range []string{
		exchange(`,"type":"VERIFY_EMAIL"`), exchange(`,"type":"SOMETHING_NEW"`),
		`{"time":1,"operationType":"UPDATE","resourceType":"REALM","resourcePath":"x"}`,
		`{"time":1,"operationType":"UPDATE","resourceType":"USER","resourcePath":""}`,
		`{"time":1,"type":"GRANT_CONSENT_ERROR"}`,
	} {
		if events, err := Parse([]byte(in)); err != nil || len(events) != 0 {
			t.Errorf("%s: %d events, %v", in, len(events), err)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`1`, "not a Keycloak event"}, {`{}`, "time: want"}, {`{"time":0,"type":"LOGIN"}`, "time"}, {`{"time":-1,"type":"LOGIN"}`, "time"},
		{`{"time":9e18,"type":"LOGIN"}`, "time"}, {`{"time":9000000000000000,"type":"LOGIN"}`, "time"}, {`{"time":1}`, "type: is required"},
		{`{"time":1,"type":["LOGIN"]}`, "type"}, {`{"time":1,"type":"LOGIN","details":[]}`, "details"},
		{`{"time":1,"type":"LOGIN","userId":{"secret":"canary"}}`, "userId"},
	} {
		events, err := Parse([]byte(c.in))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") || len(events) > 0 {
			t.Errorf("%s: %v, want %q", c.in, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	collectortest.Fuzz(f, Parse,
		exchange(`,"type":"TOKEN_EXCHANGE","details":{"actor_id":"sa","actor":"c","delegation_chain_depth":"2","delegation_chain":"a,c"}`),
		exchange(`,"type":"PERMISSION_TOKEN_ERROR","error":"access_denied"`), exchange(`,"type":"REVOKE_GRANT","details":{"token_id":"x"}`),
		`{"eventId":"1","time":1,"operationType":"CREATE","resourceType":"REALM_ROLE_MAPPING","resourcePath":"users/u/role-mappings/realm","representation":"[{\"name\":\"r\"}]"}`)
}

func TestContract(t *testing.T) { collectortest.Run(t, Parse, "testdata") }
