package ssf

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/collector/collectortest"
	"github.com/custody-audit/custody/schemas/event"
)

// payloadOf is a SET of one CAEP event.
func payloadOf(name, subject, members string) string {
	return `{"iss":"https://idp/","jti":"1","iat":1793617205,"txn":"t","sub_id":` + subject + `,"events":{"` + caep + name + `":{"event_timestamp":1793617200` + members + `}}}`
}

func parse(t *testing.T, payload string) *event.Event {
	t.Helper()
	events, err := Parse([]byte(payload))
	if err != nil || len(events) != 1 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	return events[0]
}

func TestSessionRevoked(t *testing.T) {
	got := parse(t, payloadOf("session-revoked", `{"format":"complex","session":{"format":"opaque","id":"s"},"user":{"format":"iss_sub","iss":"https://idp/","sub":"alice"},"tenant":{"format":"opaque","id":"9"}}`,
		`,"initiating_entity":"policy","reason_admin":{"de":"nein","en":"no"}`))
	want := &event.Event{
		Kind: event.Session, Type: event.TypeSessionRevoked, Time: 1793617200000000, Outcome: event.Success, Source: event.Source{EventID: "1"},
		Subject:     event.Party{Iss: "https://idp/", Sub: "alice"},
		Correlation: event.Correlation{SessionID: "s", TransactionID: "t"},
		Attributes: map[string]string{
			"ssf.issuer": "https://idp/", "ssf.event": "session-revoked", "ssf.initiating_entity": "policy", "ssf.reason_admin": "no",
			"ssf.subject_format": "complex", "ssf.tenant": "9",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What a SET's simple subject becomes.
func TestSubjects(t *testing.T) {
	check := func(subject string, want event.Party) {
		t.Helper()
		if got := parse(t, payloadOf("credential-change", subject, `,"change_type":"update","credential_type":"password"`)).Subject; got != want {
			t.Errorf("%s: got %+v", subject, got)
		}
	}
	check(`{"format":"iss_sub","iss":"https://a","sub":"b"}`, event.Party{Iss: "https://a", Sub: "b"})
	check(`{"format":"opaque","id":"b"}`, event.Party{Iss: "https://idp/", Sub: "b"})
	check(`{"format":"email","email":"a@b"}`, event.Party{Sub: "a@b"})
	check(`{"format":"phone_number","phone_number":"+1"}`, event.Party{Sub: "+1"})
	check(`{"format":"account","uri":"acct:a@b"}`, event.Party{Sub: "acct:a@b"})
	check(`{"format":"uri","uri":"urn:a"}`, event.Party{Sub: "urn:a"})
	check(`{"format":"did","url":"did:a:b"}`, event.Party{Sub: "did:a:b"})
	check(`{"format":"aliases","identifiers":[{"format":"email","email":"a@b"},{"format":"iss_sub","iss":"https://a","sub":"b"}]}`, event.Party{Iss: "https://a", Sub: "b"})
	check(`{"format":"aliases","identifiers":[{"format":"aliases","identifiers":[{"format":"email","email":"no"}]},{"format":"email","email":"a@b"}]}`, event.Party{Sub: "a@b"})
	check(`{"user":{"format":"email","email":"a@b"}}`, event.Party{Sub: "a@b"})
	check(`{"subject_type":"iss-sub","iss":"https://a","sub":"b"}`, event.Party{Iss: "https://a", Sub: "b"})
	check(`{"format":"complex","device":{"format":"opaque","id":"d"}}`, event.Party{Iss: "https://idp/", Sub: "d", Type: event.Unknown})
}

func TestCredentialChanges(t *testing.T) {
	for change, want := range map[string]string{
		"create": event.TypeCredentialIssued, "update": event.TypeCredentialRotated, "revoke": event.TypeCredentialRevoked,
		"delete": event.TypeCredentialRevoked, "other": "caep.credential-change",
	} {
		if got := parse(t, payloadOf("credential-change", `{"format":"opaque","id":"a"}`, `,"change_type":"`+change+`"`)); got.Type != want {
			t.Errorf("%s: %s", change, got.Type)
		}
	}
}

// The values of claims are not ours to keep.
func TestClaimValuesStayOut(t *testing.T) {
	got := string(parse(t, payloadOf("token-claims-change", `{"format":"jwt_id","iss":"https://a","jti":"j"}`, `,"claims":{"role":"canary","deep":{"x":"canary"},"scope":"a b"}`)).Canonical())
	if strings.Contains(got, "canary") || !strings.Contains(got, `"ssf.claims":"deep role scope"`) || !strings.Contains(got, `"scope":["a","b"]`) {
		t.Errorf("got %s", got)
	}
}

// The events of one SET have distinct ids that stay the same.
func TestSeveralEvents(t *testing.T) {
	both := `{"iss":"i","jti":"1","iat":1,"sub_id":{"format":"opaque","id":"s"},"events":{"` + caep + `session-revoked":{},"` + caep + `credential-change":{"change_type":"update"},"urn:x":{}}}`
	events, err := Parse([]byte(both))
	if err != nil || len(events) != 2 || events[0].Source.EventID != "1#credential-change" || events[1].Source.EventID != "1#session-revoked" {
		t.Errorf("%v %v", events, err)
	}
}

func TestRefusedPayloads(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`1`, "not the payload"}, {`{}`, "jti"}, {`{"jti":"1","iat":-1,"events":{"a":{}}}`, "iat"}, {`{"jti":"1","iat":1}`, "events"},
		{payloadOf("session-revoked", `"canary"`, ""), "sub_id"}, {payloadOf("session-revoked", `{"format":"opaque","id":["canary"]}`, ""), "id: want another type"},
		{payloadOf("session-revoked", `{"format":"complex","user":"canary"}`, ""), "user: want another type"},
		{payloadOf("session-revoked", `{"format":"opaque"}`, ""), "names nobody"}, {payloadOf("session-revoked", `{"format":"opaque","id":"a"}`, `,"reason_admin":7`), "reason_admin"},
	} {
		events, err := Parse([]byte(c.in))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") || len(events) > 0 {
			t.Errorf("%s: %v, want %q", c.in, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	collectortest.Fuzz(f, Parse,
		payloadOf("session-revoked", `{"format":"complex","session":{"format":"opaque","id":"s"},"user":{"format":"iss_sub","iss":"https://idp/","sub":"alice"}}`, `,"reason_admin":{"en":"no"}`),
		payloadOf("token-claims-change", `{"format":"jwt_id","iss":"https://a","jti":"j"}`, `,"claims":{"scope":"a"}`),
		payloadOf("credential-change", `{"format":"aliases","identifiers":[{"format":"email","email":"a@b"}]}`, `,"change_type":"create"`))
}

func TestContract(t *testing.T) { collectortest.Run(t, Parse, "testdata") }
