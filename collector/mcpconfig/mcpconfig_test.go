package mcpconfig

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/collector/collectortest"
	"github.com/custody-audit/custody/schemas/event"
)

var key = []byte("a key of a test, at least 32 bytes long")

func record(t *testing.T, member, value string) []byte {
	t.Helper()
	return fmt.Appendf(nil, `{"path":"/p","time":"2026-11-02T09:00:00Z","config":{"mcpServers":{"s":{%q:%s}}}}`, member, value)
}

// find returns "kind place" and the reference of each finding.
func find(t *testing.T, member, value string) (found, refs []string) {
	t.Helper()
	events, err := New("k1", key)(record(t, member, value))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		found = append(found, e.Token.TokenType+" "+strings.TrimPrefix(e.Attributes["mcp.config.place"], "mcpServers.s."))
		refs = append(refs, e.Token.Ref)
	}
	return found, refs
}

func TestFindings(t *testing.T) {
	check := func(member, value, secret string, want ...string) {
		t.Helper()
		found, refs := find(t, member, value)
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", member, value, diff)
			return
		}
		if len(refs) > 0 && refs[0] != event.SecretRef("k1", key, secret) {
			t.Errorf("%s %s: another secret than %q was referenced", member, value, secret)
		}
	}
	check("env", `{"GITHUB_TOKEN":"abc"}`, "abc", "api_key env.GITHUB_TOKEN")
	check("env", `{"dbPassword":"abc"}`, "abc", "password env.dbPassword")
	check("env", `{"ACCESS_PIN":1234,"ADMIN_PASSWORD":1234}`, "1234", "password env.ADMIN_PASSWORD")
	check("env", `{"DATABASE_URL":"postgres://app:pw@db/x"}`, "pw", "password env.DATABASE_URL userinfo")
	check("env", `{"DSN":"postgres://app:p%40w@db/x"}`, "p@w", "password env.DSN userinfo")
	check("env", `{"X":"${TOKEN:-abc}","API_KEY":"${K:-abc}"}`, "abc", "api_key env.API_KEY")
	check("env", `{"HARMLESS":"see `+"gh"+`p_canarycanarycanarycanarycanarycanary"}`, "gh"+"p_canarycanarycanarycanarycanarycanary", "api_key env.HARMLESS")
	check("headers", `{"authorization":"Bearer abc"}`, "abc", "Bearer headers.authorization")
	check("headers", `{"Authorization":"Basic YTpi"}`, "YTpi", "Basic headers.Authorization")
	check("headers", `{"X-Api-Key":"abc","X-Trace":"abc"}`, "abc", "api_key headers.X-Api-Key")
	check("headers", `{"X-Custom":"Bearer abcdefgh"}`, "abcdefgh", "Bearer headers.X-Custom")
	check("headers", `{"Cookie":"sid=1"}`, "sid=1", "cookie headers.Cookie")
	check("args", `["--token","abc"]`, "abc", "api_key args[1]")
	check("args", `["--token=abc"]`, "abc", "api_key args[0] token")
	check("args", `["-e","API_KEY=abc"]`, "abc", "api_key args[1] API_KEY")
	check("args", `["--header","Authorization: Bearer abc"]`, "abc", "Bearer args[1] Authorization")
	check("args", `["--header=X-Api-Key: abc"]`, "abc", "api_key args[0] X-Api-Key")
	check("args", `["--token","--verbose"]`, "")
	check("args", `["postgres://u:pw@h/db"]`, "pw", "password args[0] userinfo")
	check("command", `"https://u:pw@h/x"`, "pw", "password command userinfo")
	check("url", `"https://h/mcp?apikey=abc&x=1"`, "abc", "api_key url?apikey")
	check("url", `"https://0123456789abcdef@h/mcp"`, "0123456789abcdef", "password url userinfo")
	check("url", `"https://h/api/s/a1b2c3d4e5f6a7b8c9d0e1f2/mcp"`, "a1b2c3d4e5f6a7b8c9d0e1f2", "url_key url path")
	check("url", `"https://h/api/v2/customers/mcp-endpoint-of-everything"`, "")
	check("command", `"API_KEY=abc npx -y server"`, "abc", "api_key command API_KEY")
	check("args", `["-c","TOKEN='abc' exec npx server"]`, "abc", "api_key args[1] TOKEN")
	check("serverUrl", `"https://alice@h/mcp"`, "")
	check("auth", `{"CLIENT_ID":"x","CLIENT_SECRET":"abc"}`, "abc", "api_key auth.CLIENT_SECRET")
}

func TestReferencesAreNoFinding(t *testing.T) {
	for _, value := range []string{
		"${input:token}", "Bearer ${input:token}", "${env:X}", "$X", "%X%", "op://vault/item/field", "vault://kv/x", "{{ secrets.X }}", "{TOKEN}",
		"<your token>", "YOUR_TOKEN", "your-api-key", "xxxx", "****", "...", "", "/run/secrets/token", "/home/alice/key.pem", "~/key", `C:\\key.pem`, "true", "${X:-}", "${X:-${Y}}",
	} {
		for _, in := range []struct{ member, form string }{{"env", `{"API_TOKEN":"%s"}`}, {"headers", `{"Authorization":"%s"}`}, {"args", `["--token","%s"]`}} {
			if found, _ := find(t, in.member, fmt.Sprintf(in.form, value)); len(found) > 0 {
				t.Errorf("%s in %s: %s", value, in.member, found)
			}
		}
	}
}

func TestNames(t *testing.T) {
	for _, name := range strings.Fields("TOKEN API_KEY apiKey x-api-key OPENAI_KEY CLIENT_SECRET clientSecret DB_PASSWORD PGPASSWORD GITHUB_PAT --access-token Authorization Cookie AWS_SECRET_ACCESS_KEY key API_KEY_PROD") {
		if !secretName(name) {
			t.Errorf("%s is not taken for a secret's name", name)
		}
	}
	for _, name := range strings.Fields("MAX_TOKENS TOKEN_FILE SECRET_NAME KEY_PATH PUBLIC_KEY SORT_KEY PATH monkey keyboard LOG_LEVEL token_limit OAUTH_CLIENT_ID compat AUTHOR X-Region PASSWORD_LENGTH _ -") {
		if secretName(name) {
			t.Errorf("%s is taken for a secret's name", name)
		}
	}
}

// Without a key nothing tells of the value.
func TestWithoutKey(t *testing.T) {
	one, err := Parse(record(t, "env", `{"API_TOKEN":"abc"}`))
	if err != nil {
		t.Fatal(err)
	}
	two, _ := Parse(record(t, "env", `{"API_TOKEN":"xyz"}`))
	other, _ := Parse(record(t, "env", `{"OTHER_TOKEN":"abc"}`))
	if a, b := string(one[0].Canonical()), string(two[0].Canonical()); a != b || one[0].Token.Ref != "" {
		t.Errorf("got %s and %s", a, b)
	}
	if one[0].Source.EventID == other[0].Source.EventID || len(one[0].Warnings) != 1 {
		t.Errorf("got %s and %s", one[0].Canonical(), other[0].Canonical())
	}
}

func TestKnownReferences(t *testing.T) {
	const jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJmaXh0dXJlIn0.c2lnbmF0dXJl"
	keyed, hashed := "hmac:tenant:"+strings.Repeat("A", 43), "sha256:"+strings.Repeat("B", 43)
	for value, want := range map[string]string{jwt: event.TokenRef(jwt), "Bearer " + jwt: event.TokenRef(jwt), keyed: keyed, "Bearer " + hashed: hashed} {
		_, refs := find(t, "headers", fmt.Sprintf(`{"Authorization":%q}`, value))
		if diff := cmp.Diff([]string{want}, refs); diff != "" {
			t.Errorf("%.20s (-want +got):\n%s", value, diff)
		}
	}
	_, refs := find(t, "env", fmt.Sprintf(`{"DSN":"postgres://app:%s@db/x"}`, keyed))
	if diff := cmp.Diff([]string{keyed}, refs); diff != "" {
		t.Error(diff)
	}
}

// A value comes out neither in an event nor in an error, wherever it stands.
func TestValuesNeverLeave(t *testing.T) {
	const secret = "Zq9hunter2Zq9Zq9hunter2Zq9" // of a form that a path may show
	for _, member := range []string{
		`{"env":{"API_TOKEN":"S"}}`, `{"headers":{"Authorization":"Bearer S"}}`, `{"args":["--token","S","--key=S","https://u:S@h/?key=S","X-Key: S"]}`,
		`{"url":"https://S:S@h/?token=S&S=S#S"}`, `{"command":"https://S@h"}`, `{"url":"https://h/api/S/mcp"}`, `{"command":"TOKEN=S x"}`, `{"args":["sh -c TOKEN='S'"]}`, `{"env":{"TOKEN":["S"]}}`, `{"env":"S"}`, `"S"`, `{"args":"S"}`,
	} {
		config := `{"mcpServers":{"s":` + strings.ReplaceAll(member, "S", secret) + `}}`
		for _, form := range []string{`{"time":"2026-11-02T09:00:00Z","config":%s}`, `{"time":"2026-11-02T09:00:00Z","config":{"servers":[%s]}}`, `{"config":%s}`, `{"time":%s}`, `{"time":"2026-11-02T09:00:00Z","config":%s`} {
			for _, parse := range []func([]byte) ([]*event.Event, error){Parse, New("k1", key)} {
				events, err := parse(fmt.Appendf(nil, form, config))
				if strings.Contains(fmt.Sprint(err), secret) {
					t.Errorf("%s: %v", member, err)
				}
				for _, e := range events {
					if strings.Contains(string(e.Canonical()), secret) {
						t.Errorf("%s: %s", member, e.Canonical())
					}
				}
			}
		}
	}
}

func TestManyFindings(t *testing.T) {
	many := map[string]string{}
	for i := range maxFindings + 7 {
		many[fmt.Sprintf("TOKEN%d_TOKEN", i)] = "abc"
	}
	members, _ := json.Marshal(many)
	events, err := Parse(record(t, "env", string(members)))
	if err != nil || len(events) != maxFindings || !strings.Contains(strings.Join(events[maxFindings-1].Warnings, ";"), "7 findings more") {
		t.Errorf("got %d events, %v", len(events), err)
	}
}

func TestContract(t *testing.T) { collectortest.Run(t, Parse, "testdata") }

func TestContractWithKey(t *testing.T) { collectortest.Run(t, New("fixture", key), "testdata/keyed") }

func FuzzParse(f *testing.F) {
	collectortest.Fuzz(f, New("k1", key),
		`{"path":"/p","time":"2026-11-02T09:00:00Z","config":{"mcpServers":{"s":{"command":"c","args":["--token","a","-e","K_KEY=b","postgres://u:p@h/?key=c"],"env":{"API_TOKEN":"d"},"headers":{"Authorization":"Bearer e"},"url":"https://u:p@h"}}}}`,
		`{"time":"2026-11-02T09:00:00Z","config":{"servers":{"s":{"env":{"A_TOKEN":"${X:-y}"}}},"projects":{"/":{"mcpServers":{}}}}}`,
		`{"path":"/p","time":"2026-11-02T09:00:00Z","findings":[{"within":"mcpServers","server":"s","place":"env.K","member":"K","kind":"api_key","secret":"d"}]}`)
}
