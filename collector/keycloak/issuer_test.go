package keycloak

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/schemas/event"
)

// The issuer stands where a token of the realm would have the same sub, or is the
// realm's own; nowhere else.
func TestIssuer(t *testing.T) {
	admin := func(members string) string {
		return `{"id":"1","time":1793610000250,"realmId":"r-1","operationType":"CREATE"` + members + `}`
	}
	for _, c := range []struct{ name, record, subject, actor, chain, token string }{
		{"a login", exchange(`,"type":"LOGIN"`), issuer, "", "", ""},
		{"a login of nobody", `{"id":"1","time":1,"type":"LOGIN_ERROR","error":"user_not_found"}`, "", "", "", ""},
		{"a token", exchange(`,"type":"CLIENT_LOGIN","details":{"token_id":"j"}`), issuer, "", "", issuer},
		{"an exchange with actors", exchange(`,"type":"TOKEN_EXCHANGE","details":{"actor_id":"sa","actor":"c","delegation_chain":"a,c"}`), issuer, issuer, issuer + ",", ""},
		{"an actor by name", exchange(`,"type":"TOKEN_EXCHANGE","details":{"actor":"c"}`), issuer, "", "", ""},
		{"an impersonator", exchange(`,"type":"IMPERSONATE","details":{"impersonator":"root"}`), issuer, "", "", ""},
		{"a user's role", admin(`,"resourceType":"REALM_ROLE_MAPPING","resourcePath":"users/u/role-mappings/realm","authDetails":{"realmId":"r-1","userId":"a"}`), issuer, issuer, "", ""},
		{"an administrator of another realm", admin(`,"resourceType":"USER","resourcePath":"users/u","authDetails":{"realmId":"master","userId":"a"}`), issuer, "", "", ""},
		{"an administrator of no realm", admin(`,"resourceType":"USER","resourcePath":"users/u","authDetails":{"userId":"a"}`), issuer, "", "", ""},
		{"a client's internal id", admin(`,"resourceType":"CLIENT","resourcePath":"clients/c","authDetails":{"realmId":"r-1","userId":"a"}`), "", issuer, "", ""},
		{"a group", admin(`,"resourceType":"GROUP","resourcePath":"groups/g","authDetails":{"realmId":"r-1","userId":"a"}`), "", issuer, "", ""},
	} {
		for _, from := range []string{"the record", "the configuration"} {
			record, configured := c.record, issuer
			if from == "the record" {
				record, configured = string(member("realmIssuer", issuer, []byte(c.record))), ""
			}
			events, err := New(configured)([]byte(record))
			if err != nil || len(events) != 1 {
				t.Fatalf("%s: %d events, %v", c.name, len(events), err)
			}
			e := events[0]
			var chain []string
			for _, link := range e.Chain {
				chain = append(chain, link.Iss)
			}
			got := []string{e.Subject.Iss, e.Actor.Iss, strings.Join(chain, ","), e.Token.Iss}
			if diff := cmp.Diff([]string{c.subject, c.actor, c.chain, c.token}, got); diff != "" {
				t.Errorf("%s, by %s (-want +got):\n%s", c.name, from, diff)
			}
		}
	}
}

func TestConfiguredIssuerStandsAboveTheRecords(t *testing.T) {
	events, err := New(issuer)(member("realmIssuer", "https://else.example", []byte(exchange(`,"type":"LOGIN"`))))
	if err != nil || events[0].Subject != (event.Party{Iss: issuer, Sub: "u-1"}) {
		t.Errorf("%v, %v", events, err)
	}
}

// The poller asks for the issuer with each token, since it may change, and gives it
// to every record: those with an id and those without.
func TestPolledEventsNameTheIssuer(t *testing.T) {
	check := func(f *fixture, want string) {
		t.Helper()
		if len(f.issuers) == 0 || slices.ContainsFunc(f.issuers, func(got string) bool { return got != want }) {
			t.Errorf("issuers %q, want %q", f.issuers, want)
		}
	}
	for _, noIDs := range []bool{false, true} {
		f := newFixture(t)
		f.noIDs = noIDs
		f.add("events", "u", start-1)
		f.add("admin-events", "a", start-2)
		look(t, f.poller(t))
		check(f, issuer)
	}
	f := newFixture(t)
	f.hidden = true
	f.add("events", "u", start-1)
	err := f.poller(t).look(t.Context())
	if want := `learn the issuer of realm "acme", unless it is configured: 404`; err == nil || !strings.Contains(err.Error(), want) || len(f.ids) > 0 {
		t.Fatalf("got %v and %v, want %s", err, f.ids, want)
	}
	f.cfg.Issuer = "https://named.example/realms/acme"
	look(t, f.poller(t))
	check(f, f.cfg.Issuer)
}

func TestMember(t *testing.T) {
	for in, want := range map[string]string{`{}`: `{"a":"x\"y"}`, `{ "b":1}`: `{"a":"x\"y","b":1}`, `[1]`: `[1]`, `null`: `null`} {
		if got := member("a", `x"y`, []byte(in)); string(got) != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
