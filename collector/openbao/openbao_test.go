package openbao

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/collector/collectortest"
	"github.com/custody-audit/custody/schemas/event"
)

func parse(t *testing.T, members string) []*event.Event {
	t.Helper()
	events, err := Parse([]byte(`{"time":"2026-11-02T09:10:11.123456789Z",` + members + `}`))
	if err != nil {
		t.Fatalf("%s: %v", members, err)
	}
	return events
}

const (
	hashed  = "hmac-sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	request = `"request":{"id":"r1","operation":"read","path":"secret/data/x","client_token":"` + hashed + `"}`
)

func TestEffects(t *testing.T) {
	check := func(results, failure string, effect event.Effect, outcome event.Outcome, inferred bool) {
		t.Helper()
		auth := `"auth":{"entity_id":"e1"` + results + `}`
		e := parse(t, `"type":"request",`+auth+`,`+request+failure)[0]
		diff := cmp.Diff([]any{effect, outcome, inferred}, []any{e.Decision.Effect, e.Outcome, e.Decision.Inferred})
		if diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", results, failure, diff)
		}
	}
	allowed, refused := `,"policy_results":{"allowed":true}`, `,"policy_results":{"allowed":false}`
	const denial, failure = `,"error":"1 error occurred:\n\t* permission denied\n\n"`, `,"error":"storage is away"`
	check(allowed, ``, event.Allow, event.Success, false)
	check(refused, ``, event.Deny, event.Denied, false)
	check(refused, denial, event.Deny, event.Denied, false)
	check(``, denial, event.Deny, event.Denied, true)
	check(allowed, denial, event.Deny, event.Denied, true)
	check(allowed, failure, event.EffectError, event.Error, false)
	check(refused, failure, event.EffectError, event.Error, false)
	check(``, failure, event.EffectError, event.Error, false)
}

func TestOutcomesOfUse(t *testing.T) {
	check := func(members string, outcome event.Outcome, result string) {
		t.Helper()
		e := parse(t, `"type":"response","auth":{"entity_id":"e1"},`+request+members)[0]
		if e.Kind != event.ToolInvocation || e.Outcome != outcome || e.Tool.ResultStatus != result {
			t.Errorf("%s: got %s, %s, %s", members, e.Kind, e.Outcome, e.Tool.ResultStatus)
		}
	}
	check(``, event.Success, "ok")
	check(`,"response":{"data":{"error":"`+hashed+`"}}`, event.Failure, "tool_error")
	check(`,"error":"permission denied"`, event.Denied, "rpc_error")
	check(`,"error":"no handler for route"`, event.Error, "rpc_error")
	check(`,"error":"permission denied","response":{"auth":{"client_token":"`+hashed+`"}}`, event.Denied, "rpc_error")
}

func TestReferences(t *testing.T) {
	check := func(logged, want, warning string) {
		t.Helper()
		e := &event.Event{}
		if got := ref(logged, e); got != want || !strings.Contains(strings.Join(e.Warnings, ";"), warning) || (warning == "") != (len(e.Warnings) == 0) {
			t.Errorf("%s: got %s, %q", logged, got, e.Warnings)
		}
	}
	keyed := "hmac:k:" + strings.Repeat("A", 43)
	check("", "", "")
	check(hashed, "hmac:openbao:n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg", "")
	check(keyed, keyed, "")
	check("hmac-sha256:abc", "", "no HMAC-SHA256")
	check("[redacted]", "", "dropped")
	check("s.plain", event.TokenRef("s.plain"), "log_raw")
}

// The device's HMAC of one token is one reference wherever the entry has it.
func TestTokenJoins(t *testing.T) {
	create := parse(t, `"type":"response","auth":{"entity_id":"e0","client_token":"hmac-sha256:`+strings.Repeat("0", 64)+`"},
		"request":{"id":"r1","operation":"update","path":"auth/token/create"},"response":{"auth":{"entity_id":"e1","client_token":"`+hashed+`","token_ttl":60}}`)[0]
	use := parse(t, `"type":"response","auth":{"entity_id":"e1","client_token":"`+hashed+`"},`+request)[0]
	end := parse(t, `"type":"response","auth":{"entity_id":"e0"},"request":{"id":"r3","operation":"update","path":"auth/token/revoke","data":{"token":"`+hashed+`"}}`)[0]
	for _, e := range []*event.Event{use, end} {
		if e.Token.Ref != create.Token.Ref {
			t.Errorf("%s: got %s, created as %s", e.Type, e.Token.Ref, create.Token.Ref)
		}
	}
	if create.Subject.Sub != "e1" || create.Actor.Sub != "e0" || create.Token.ExpiresAt.Sub(create.Time).Seconds() != 60 || create.Attributes["vault.parent_token_ref"] == "" {
		t.Errorf("created: %s", create.Canonical())
	}
	if end.Actor.Sub != "e0" || end.Subject.Sub != "" {
		t.Errorf("revoked: %s", end.Canonical())
	}
}

// Nothing of what was read, written or answered is kept, hashed or not.
func TestContentsAreNotKept(t *testing.T) {
	const secret = "hunter2-in-the-clear"
	for _, typ := range []string{"request", "response"} {
		for _, e := range parse(t, strings.ReplaceAll(`"type":"`+typ+`","auth":{"entity_id":"e1","client_token":"SECRET","policy_results":{"allowed":true}},
			"request":{"id":"r1","operation":"update","path":"secret/data/x","client_token":"SECRET","data":{"a":"SECRET","token":"SECRET"},"headers":{"x-vault-token":["SECRET"]}},
			"response":{"auth":{"client_token":"SECRET"},"wrap_info":{"token":"SECRET"},"secret":{"lease_id":"l"},"data":{"password":"SECRET","error":"SECRET"}}`, "SECRET", secret)) {
			if strings.Contains(string(e.Canonical()), secret) {
				t.Errorf("kept: %s", e.Canonical())
			}
		}
	}
}

func TestLogin(t *testing.T) {
	check := func(mount, path string, want bool) {
		t.Helper()
		in := &entry{}
		in.Request.Path, in.Request.MountPoint = path, mount
		if got := in.isLogin(); got != want {
			t.Errorf("%s under %q: got %v", path, mount, got)
		}
	}
	check("", "auth/approle/login", true)
	check("", "auth/userpass/login/alice", true)
	check("auth/userpass/", "auth/userpass/login/alice", true)
	check("auth/team/k8s/", "auth/team/k8s/login", true)
	check("auth/oidc/", "auth/oidc/oidc/callback", true)
	check("", "auth/token/create", false)
	check("", "secret/login", false)
	check("auth/approle/", "auth/approle/role/login", false)
	check("auth/userpass/", "auth/userpass/users/login", false)
}

func TestErrorsNameTheField(t *testing.T) {
	for record, field := range map[string]string{
		`{"type":"request","auth":{"entity_id":"e"}}`:                  "time",
		`{"type":"request","time":"hunter2","auth":{"entity_id":"e"}}`: "time",
		`{"type":"log"}`: "type",
		`{}`:             "type",
		`{"type":"request","request":{"client_token":["hunter2"]}}`:                     "request.client_token",
		`{"type":"response","response":{"auth":{"token_ttl":"hunter2"}}}`:               "token_ttl",
		`{"type":"request","auth":{"policy_results":{"allowed":"hunter2"}},"time":"x"}`: "policy_results.allowed",
	} {
		_, err := Parse([]byte(record))
		if err == nil || !strings.Contains(err.Error(), field) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", record, err)
		}
	}
}

func TestContract(t *testing.T) { collectortest.Run(t, Parse, "testdata") }

func FuzzParse(f *testing.F) {
	for _, typ := range []string{"request", "response"} {
		f.Add([]byte(fmt.Sprintf(`{"time":"2026-11-02T09:10:11Z","type":%q,"auth":{"entity_id":"e","client_token":"s","token_ttl":5,"policy_results":{"allowed":true}},%s,"response":{"auth":{"client_token":"t","token_ttl":9},"wrap_info":{"token":"w","ttl":3}}}`, typ, request)))
	}
	collectortest.Fuzz(f, Parse, `{"time":"2026-11-02T09:10:11Z","type":"response","request":{"path":"auth/token/revoke","data":{"token":"x"}}}`)
}
