package redact

import (
	"slices"
	"strings"
	"testing"

	"github.com/custody-audit/custody/schemas/event"
)

// The secrets are put together at run time, so that no scanner takes this file for a leak.
var (
	token   = "ey" + strings.Repeat("J", 20) + "." + strings.Repeat("a", 30) + "." + strings.Repeat("b", 43)
	secrets = map[string]string{
		"token":                token,
		"forge token":          "gh" + "p_" + strings.Repeat("a1", 18),
		"cloud key":            "AK" + "IA" + strings.Repeat("Q7", 8),
		"API key":              "s" + "k-" + strings.Repeat("x9", 15),
		"private key":          "-----BEGIN " + "PRIVATE KEY-----\nMIIB\n-----END " + "PRIVATE KEY-----",
		"authorization header": "Bearer " + strings.Repeat("z", 24),
	}
)

func redactor(t *testing.T) *Redactor {
	t.Helper()
	r, err := New("k1", []byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Every string field of an event is filled with every secret: none may stay, wherever it is.
func TestNoFieldKeepsASecret(t *testing.T) {
	for name, secret := range secrets {
		e := &event.Event{
			Subject: event.Party{Sub: "x"}, Tool: event.Tool{Name: "x", Arguments: "x", ArgumentNames: []string{"x"}},
			Chain: []event.Link{{Sub: "x"}}, Token: event.Token{Scope: []string{"x"}}, Decision: event.Decision{Reason: "x"},
			Attributes: map[string]string{"x": "x"}, UserAgent: "x", ChainMalformed: "x", Correlation: event.Correlation{RequestID: "x"},
		}
		fields := 0
		e.EachString(func(_, s string) string { fields++; return "before " + secret + " after" })
		if fields < 10 {
			t.Fatalf("only %d fields visited", fields)
		}
		redactor(t).Event(e)
		if got := string(e.Canonical()); strings.Contains(got, strings.ReplaceAll(secret, "\n", `\n`)) {
			t.Errorf("%s stays: %s", name, got)
		}
		if !slices.ContainsFunc(e.Warnings, func(w string) bool { return strings.Contains(w, name+" in tool.arguments") }) {
			t.Errorf("%s: no warning in %q", name, e.Warnings)
		}
	}
}

func TestTokenBecomesItsReference(t *testing.T) {
	got, _ := redactor(t).Text("token=" + token)
	if want := "token=" + event.TokenRef(token); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAttributeNamesThatPromiseASecret(t *testing.T) {
	e := &event.Event{Attributes: map[string]string{
		"http.request.header.authorization": "opaque", "db_password": "hunter2", "token.ref": event.TokenRef("x"), "author": "alice", "secretary": "bob",
	}}
	redactor(t).Event(e)
	for key, want := range map[string]string{
		"http.request.header.authorization": Redacted, "db_password": Redacted, "token.ref": event.TokenRef("x"), "author": "alice", "secretary": "bob",
	} {
		if got := e.Attributes[key]; got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
}

// base64url of a hash may hold what a key begins with.
func TestReferencesStay(t *testing.T) {
	ref := "sha256:s" + "k-" + strings.Repeat("q", 40)
	e := &event.Event{Token: event.Token{Ref: ref}, Tool: event.Tool{ArgumentsHash: ref}}
	redactor(t).Event(e)
	if e.Token.Ref != ref || e.Tool.ArgumentsHash != ref || e.Warnings != nil {
		t.Errorf("got %s", e.Canonical())
	}
}

func TestWithoutKeySecretsAreDropped(t *testing.T) {
	r, err := New("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := r.Text("a " + secrets["cloud key"]); got != "a "+Redacted {
		t.Errorf("got %q", got)
	}
	if _, err := New("k1", []byte("short")); err == nil {
		t.Error("a short key is accepted")
	}
}

func TestOrdinaryTextStays(t *testing.T) {
	for _, s := range []string{
		"", "list_issues", "https://github-mcp.acme.example/mcp", "eyes are nice. really. yes", "repo:read deploy:write", event.TokenRef("x"),
		"0192f0e1-2b3c-8d4e-9f50-112233445566", "the bearer of news", "sk-1",
	} {
		if got, found := redactor(t).Text(s); got != s || found != nil {
			t.Errorf("%q became %q (%v)", s, got, found)
		}
	}
}

func BenchmarkCleanEvent(b *testing.B) {
	r, _ := New("", nil)
	e := &event.Event{Tenant: "acme", Subject: event.Party{Iss: "https://idp.acme.example", Sub: "alice"}, Tool: event.Tool{Name: "list_issues"}, Attributes: map[string]string{"a": "b"}}
	for b.Loop() {
		r.Event(e)
	}
}
