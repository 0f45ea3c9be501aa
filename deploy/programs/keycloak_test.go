//go:build programs

package programs

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/custody-audit/custody/schemas/event"
)

// Keycloak exchanges tokens and refuses to, set up as docs/sources/keycloak.md
// says, and "custody poll-keycloak" reads of it. It also logs people in to the console.
func testKeycloak(t *testing.T, i *installation) {
	k := startKeycloak(t, i)
	testLogin(t, i, k)
	k.kcadm(t, "config", "credentials", "--server", k.url, "--realm", "master", "--user", "admin", "--password", password)
	k.create(t, "/admin/realms", "testdata/realm.json")
	for _, command := range kcadmCommands(t) {
		k.kcadm(t, command...)
	}
	secret := i.file("keycloak.secret")
	if err := os.WriteFile(secret, []byte(k.secretOf(t, "custody")), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, regexp.MustCompile(`reading events of realm acme`), exec.Command(i.program("custody"), "poll-keycloak", "--base-url", k.url, "--realm", "acme",
		"--client-id", "custody", "--secret-file", secret, "--key-file", i.key("keycloak"), "--collector-url", i.url, "--every", "1s",
		"--checkpoint", i.file("keycloak.checkpoint.json"), "--telemetry-address", ""))

	alice := k.token(t, "planner", url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"correct horse battery staple"}, "scope": {"openid"}})
	exchange := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {alice.raw},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"audience": {"orders"},
	}
	issued := k.token(t, "planner", exchange)
	refused := k.token(t, "outsider", exchange)
	if alice.Subject == "" || issued.Subject != alice.Subject || issued.ID == alice.ID || refused.raw != "" {
		t.Fatalf("alice %+v, issued %+v, refused %+v", alice.Claims, issued.Claims, refused.Claims)
	}
	checkExchanges(t, i, k.url+"/realms/acme", alice, issued)
	checkAround(t, i, alice)
}

// checkExchanges looks for the exchange that was made and the one that was not.
func checkExchanges(t *testing.T, i *installation, issuer string, alice, issued issuedToken) {
	t.Helper()
	events, text := i.find(t, 2, "source:keycloak kind:token_exchange")
	for n, want := range []event.Event{
		{Outcome: event.Success, Client: event.Client{ID: "planner", Verified: true}},
		{Outcome: event.Denied, Client: event.Client{ID: "outsider"}},
	} {
		e := events[n]
		if e.Outcome != want.Outcome || e.Client != want.Client || e.Subject.Sub != alice.Subject || e.Subject.Iss != issuer || e.Subject.Name != "alice" ||
			e.Exchange.GrantType != "urn:ietf:params:oauth:grant-type:token-exchange" || e.Correlation.SessionID == "" || e.Tenant != tenant {
			t.Errorf("exchange %d: %s", n, e.Canonical())
		}
	}
	made, refused := events[0], events[1]
	if strings.Join(made.Exchange.RequestedAudience, " ") != "orders" || made.Attributes["keycloak.issued_token_jti"] != issued.ID || len(made.Exchange.GrantedScope) == 0 {
		t.Errorf("want the audience orders and the issued token %s: %s", issued.ID, made.Canonical())
	}
	if refused.Attributes["keycloak.error"] == "" || refused.Attributes["keycloak.issued_token_jti"] != "" {
		t.Errorf("want an error and no token: %s", refused.Canonical())
	}
	for _, secret := range []string{alice.raw, issued.raw, "own-secret", "battery staple"} {
		if strings.Contains(text, secret) {
			t.Errorf("%.20s... is in an event:\n%s", secret, text)
		}
	}
}

// checkAround looks for what led to the exchange, and for what kcadm.sh did.
func checkAround(t *testing.T, i *installation, alice issuedToken) {
	t.Helper()
	logins, _ := i.find(t, 1, "source:keycloak type:session.started")
	if e := logins[0]; e.Subject.Sub != alice.Subject || e.Client.ID != "planner" || e.Outcome != event.Success {
		t.Errorf("alice's login: %s", e.Canonical())
	}
	grants, _ := i.find(t, 2, "source:keycloak type:grant.changed")
	if e := grants[0]; e.Subject.Name != "custody" || e.Actor.Sub == "" {
		t.Errorf("the client that was made: %s", e.Canonical())
	}
	if e := grants[1]; strings.Join(e.Token.Scope, " ") != "view-events" || e.Actor.Sub == "" {
		t.Errorf("the role that it was given: %s", e.Canonical())
	}
}

// password of Keycloak's administrator.
const password = "administrators-password"

// quick makes a JVM start in less time.
const quick = "-XX:TieredStopAtLevel=1"

// keycloakServer is a running Keycloak and its administrator.
type keycloakServer struct {
	home, url string
	config    string // of kcadm.sh, which keeps its login there
}

func startKeycloak(t *testing.T, i *installation) *keycloakServer {
	t.Helper()
	k := &keycloakServer{home: filepath.Join(i.programs, "keycloak"), config: i.file("kcadm.config")}
	server := exec.Command(filepath.Join(k.home, "bin", "kc.sh"), "start", "--optimized", "--http-enabled=true", "--http-host=127.0.0.1", "--http-port=0",
		"--hostname-strict=false", "--cache=local")
	server.Env = append(os.Environ(), "KC_BOOTSTRAP_ADMIN_USERNAME=admin", "KC_BOOTSTRAP_ADMIN_PASSWORD="+password, "JAVA_OPTS_KC_HEAP=-Xms64m -Xmx512m", "JAVA_OPTS_APPEND="+quick)
	server.Dir = i.dir
	k.url = start(t, regexp.MustCompile(`Listening on: (http://[0-9.:]+)`), server)[1]
	return k
}

// kcadmCommands are those that a person pastes to make Keycloak store events and
// to let Custody read them.
func kcadmCommands(t *testing.T) (commands [][]string) {
	t.Helper()
	text := strings.ReplaceAll(page(t, "sources/keycloak.md"), "\\\n", " ")
	for line := range strings.Lines(text) {
		if arguments, ok := strings.CutPrefix(line, "    kcadm.sh "); ok {
			commands = append(commands, strings.Fields(arguments))
		}
	}
	if len(commands) != 3 {
		t.Fatalf("docs/sources/keycloak.md has %d commands of kcadm.sh, want 3: %q", len(commands), commands)
	}
	return commands
}

// kcadm runs Keycloak's own command line tool.
func (k *keycloakServer) kcadm(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(k.home, "bin", "kcadm.sh"), append(args, "--config", k.config)...)
	cmd.Env = append(os.Environ(), "KC_OPTS="+quick)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kcadm.sh %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// create posts a file to the admin REST API.
func (k *keycloakServer) create(t *testing.T, path, file string) {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	k.rest(t, http.MethodPost, path, bytes.NewReader(body))
}

func (k *keycloakServer) rest(t *testing.T, method, path string, body io.Reader) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, k.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	admin := k.ask(t, "/realms/master", "admin-cli", "", url.Values{"grant_type": {"password"}, "username": {"admin"}, "password": {password}}) // good for a minute
	req.Header.Set("Authorization", "Bearer "+admin)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		t.Fatalf("%s %s: %s: %v: %s", method, path, res.Status, err, text)
	}
	return text
}

// secretOf returns the secret that Keycloak made for a client.
func (k *keycloakServer) secretOf(t *testing.T, client string) string {
	t.Helper()
	var clients []struct{ Secret string }
	if err := json.Unmarshal(k.rest(t, http.MethodGet, "/admin/realms/acme/clients?clientId="+client, nil), &clients); err != nil || len(clients) != 1 {
		t.Fatalf("%d clients %s: %v", len(clients), client, err)
	}
	return clients[0].Secret
}

// issuedToken is a token, and what stands in it.
type issuedToken struct {
	raw string
	jwt.Claims
}

// token asks the realm's token endpoint; raw is empty when it refuses.
func (k *keycloakServer) token(t *testing.T, client string, form url.Values) (issued issuedToken) {
	t.Helper()
	issued.raw = k.ask(t, "/realms/acme", client, client+"s-own-secret", form)
	if issued.raw == "" {
		return issued
	}
	parsed, err := jwt.ParseSigned(issued.raw, []jose.SignatureAlgorithm{jose.RS256})
	if err == nil {
		err = parsed.UnsafeClaimsWithoutVerification(&issued.Claims) // the test is about events, not about Keycloak's signature
	}
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func (k *keycloakServer) ask(t *testing.T, realm, client, secret string, form url.Values) string {
	t.Helper()
	form.Set("client_id", client)
	if secret != "" {
		form.Set("client_secret", secret)
	}
	res, err := http.PostForm(k.url+realm+"/protocol/openid-connect/token", form)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatalf("%s: %v", res.Status, err)
	}
	return answer.Token
}
