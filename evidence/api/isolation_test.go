package api_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/evidence/review"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/retain"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// published is the part of the document that the tests read.
type published struct {
	Paths map[string]map[string]struct {
		OperationID string   `json:"operationId"`
		Roles       []string `json:"x-custody-roles"`
		Parameters  []struct {
			Name, In string
			Schema   struct{ Enum []string }
		}
		RequestBody struct {
			Content map[string]struct {
				Schema struct {
					Ref string `json:"$ref"`
				}
			}
		} `json:"requestBody"`
	}
	Components struct {
		Schemas map[string]struct {
			Properties map[string]any
		}
	}
}

func document(t *testing.T) (p published, raw []byte) {
	t.Helper()
	raw, err := api.Document()
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p, raw
}

const mine = "initech"

// values are what one can ask about a tenant, by the name of the parameter. A
// parameter that is not here fails the test: say what of another tenant it can name.
func values(t *testing.T, c *embeddedtest.ClickHouse, tenant string) map[string][]string {
	t.Helper()
	var ids, starts, keys, tokens, servers, people, traces, holders []string
	forged := ""
	for _, e := range ofTenant(tenant) {
		ids = append(ids, e.ID)
		for _, start := range []string{e.ID, e.Token.Ref, e.Exchange.IssuedTokenRef, e.Correlation.TraceID} {
			if start != "" && !slices.Contains(starts, start) {
				starts = append(starts, start)
			}
		}
		for list, value := range map[*[]string]string{&servers: e.Server.ID, &people: e.Subject.Sub, &traces: e.Correlation.TraceID, &holders: cmp.Or(e.Actor.Sub, e.Subject.Sub)} {
			if value != "" && !slices.Contains(*list, value) {
				*list = append(*list, value)
			}
		}
		if forged == "" && e.Kind == event.ToolInvocation {
			forged = e.ID
		}
	}
	for _, text := range story.Tokens() {
		if slices.Contains(starts, event.TokenRef(text)) {
			tokens = append(tokens, text)
		}
	}
	found, err := detect.List(t.Context(), c.Conn(embedded.Analyst), detect.Filter{Tenant: tenant})
	if err != nil || len(found) == 0 {
		t.Fatalf("findings of %s: %v, %v", tenant, found, err)
	}
	for _, f := range found {
		keys = append(keys, f.Key, f.Key[:16])
	}
	of := campaign(t, c, tenant)
	hold := &retain.Act{ID: uuid.New(), Tenant: tenant, Time: time.Now(), Action: string(retain.Held), Reason: "matter of " + tenant}
	if err := retain.Append(t.Context(), c.Conn(embedded.Handler), hold); err != nil {
		t.Fatal(err)
	}
	differs, err := c.Conn(embedded.Detector).PrepareBatch(t.Context(), "INSERT INTO seal_discrepancies (tenant, topic, epoch, partition, kind, first_offset, last_offset, detail, evidence)")
	if err == nil {
		err = errors.Join(differs.Append(tenant, "custody.events", "e", uint32(0), "edited", uint64(3), uint64(3), "of "+tenant, []string{ids[0]}), differs.Send())
	}
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]string{
		"id": append([]string{forged}, ids[:3]...), "start": starts[:min(12, len(starts))], "key": keys, "token": tokens[:min(3, len(tokens))], "after": ids[:1],
		"filter": {"", "last:3650d", "tenant:" + tenant, "id:" + forged, "-tenant:" + mine, "source:" + tenant + "*", "tenant:initech,globex,acme"},
		"from":   {"2020-01-01T00:00:00Z"}, "to": {"2100-01-01T00:00:00Z"}, "across": {"false"}, "range": {"", "2020-01-01T00:00:00Z/2100-01-01T00:00:00Z"}, "verdict": {""},
		"server": append([]string{""}, servers...), "tool": {""}, "actor": append([]string{"", ""}, people...), "subject": {""},
		"trace": append([]string{"", "", ""}, traces[:min(3, len(traces))]...), "query.token": {""},
		"limit": {"100"}, "bars": {"80"}, "since": {"2020-01-01T00:00:00Z"}, "at": {"2100-01-01T00:00:00Z"},
		"name": {"of-" + tenant}, "description": {"words"},
		"statement": {
			"SELECT tenant, source_id FROM events WHERE tenant = '" + tenant + "'", "SELECT tenant, raw FROM records", "SELECT * FROM findings", "SELECT * FROM merge('custody', '.*')",
			"SELECT toUInt64(concat('x', source_id)) FROM events WHERE tenant = '" + tenant + "'", "SELECT throwIf(1, tenant) FROM records WHERE tenant = '" + tenant + "'",
			"SELECT tenant FROM records SETTINGS readonly = 0", "SELECT * FROM registry_principals", "SELECT count() FROM events WHERE throwIf(tenant = '" + tenant + "', 'seen') = 0",
		},
		"rule": {found[0].Rule}, "assignee": {""}, "identity": {""}, "chain": {""}, "body.assignee": {"carol"}, "comment": {"words"}, "reason": {"words"}, "until": {time.Now().Add(time.Hour).Format(time.RFC3339)},
		"holder": holders, "iss": {""}, "privilege_name": {""}, "state": {""}, "window_days": {"3650"}, "age_days": {"0"}, "If-Match": {""}, "Idempotency-Key": {""},
		"review": {of.ID.String()}, "lines": {of.Lines[0].Key}, "owner": {""}, "body.server": {""}, "hold": {hold.ID.String()}, "kind": {"session"}, "days": {"400"}, "query.days": {"3650"}, "begins": {""}, "type": {""}, "path.server": servers, "person": {"nobody"}, "body.name": {"words"}, "body.from": {"2020-01-01T00:00:00Z"}, "body.to": {time.Now().Add(-time.Second).UTC().Format(time.RFC3339)},
	}
}

// request is one operation with one choice of its parameters.
type request struct {
	operation, method, target string
	body                      map[string]any
}

// inOrder asks before it changes, and takes away before it adds.
var inOrder = []string{"GET", "POST", "DELETE", "PUT"}

// acts are in an order in which each is possible, and the last leaves it so.
var acts = []string{"acknowledge-finding", "assign-finding", "comment-finding", "resolve-finding", "except-finding", "reopen-finding",
	"create-review", "certify-lines", "revoke-lines", "except-lines", "close-review"}

// requests are all operations of the document, each with every value of each of
// its parameters.
func requests(t *testing.T, p published, v map[string][]string, tenant string) []request {
	t.Helper()
	var out []request
	for path, methods := range p.Paths {
		for method, op := range methods {
			names, choices := map[string]string{}, map[string][]string{} // to where they are, and what they can be
			for _, parameter := range op.Parameters {
				if parameter.Name != "tenant" {
					names[parameter.Name], choices[parameter.Name] = parameter.In, parameter.Schema.Enum
				}
			}
			for name := range p.Components.Schemas[strings.TrimPrefix(op.RequestBody.Content["application/json"].Schema.Ref, "#/components/schemas/")].Properties {
				names[name] = "body"
			}
			most := 1
			of := map[string][]string{}
			for name, in := range names {
				of[name] = choices[name]
				if of[name] == nil {
					of[name] = v[name]
				}
				if special := v[in+"."+name]; special != nil {
					of[name] = special
				}
				if of[name] == nil {
					t.Fatalf("%s: this test does not know what the parameter %q can name of another tenant", op.OperationID, name)
				}
				most = max(most, len(of[name]))
			}
			for i := range most {
				r := request{operation: op.OperationID, method: strings.ToUpper(method), target: path}
				ask := url.Values{}
				if tenant != "" {
					ask.Set("tenant", tenant)
				}
				for _, name := range slices.Sorted(maps.Keys(names)) {
					value := of[name][i%len(of[name])]
					switch names[name] {
					case "path":
						r.target = strings.ReplaceAll(r.target, "{"+name+"}", url.PathEscape(value))
					case "query":
						if value != "" && (name != "after" || i == 1) { // a place in the list would hide what is before it
							ask.Set(name, value)
						}
					case "body":
						if r.body == nil {
							r.body = map[string]any{}
						}
						r.body[name] = cmp.Or(value, "last:1h")
						switch name {
						case "limit":
							r.body[name] = 100
						case "window_days":
							r.body[name] = 3650
						case "days":
							r.body[name] = 400
						case "lines":
							r.body[name] = []string{value}
						case "owner", "body.server", "server":
							delete(r.body, name) // would leave no lines
						}
					}
				}
				r.target += "?" + ask.Encode()
				out = append(out, r)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b request) int {
		return cmp.Or(slices.Index(inOrder, a.method)-slices.Index(inOrder, b.method), slices.Index(acts, a.operation)-slices.Index(acts, b.operation))
	})
	return out
}

// aboutCaller are the operations that ask about no tenant.
var aboutCaller = map[string]bool{"whoami": true, "create-login-link": true}

// counts tells whether a histogram, which names nobody, is of any event.
func counts(a answer) bool { return !bytes.Contains(a.body, []byte(`"total":0`)) }

// A caller of one tenant asks every operation of the document about everything of
// another tenant, and gets nothing of it: with both walls, and with either alone.
func TestIsolation(t *testing.T) {
	t.Parallel()
	c := tell(t)
	p, raw := document(t)
	check := schemas(t, raw)
	bundles, _ := sealed(t, c)
	foreign := map[string]map[string][]string{"globex": values(t, c, "globex")}
	as := func(user string) api.Connect {
		return func(string) (driver.Conn, error) {
			return embeddedtest.Open(c.Addr(), user, c.Password(user), embeddedtest.Database)
		}
	}
	for _, walls := range []struct {
		name    string
		connect api.Connect
		tenants []string
		without []string // operations that this wall alone is not there for
	}{
		// verify-bundle tells of what it is given and of nothing else; list-malformed of what is no tenant's (TestMalformed).
		{"both walls", twoWalls(c), []string{mine}, []string{"verify-bundle", "list-malformed"}},
		{"the API alone", as(embedded.Analyst), []string{mine}, []string{"verify-bundle", "list-malformed", "ask-sql"}}, // a statement is not narrowed
		// Queries lie in files; a review is of a tenant that is named, as retention is.
		{"the row filters alone", as(table.Auditor(mine)), []string{api.AllTenants}, []string{"verify-bundle", "list-malformed", "list-queries", "save-query", "remove-query", "create-review", "set-retention", "place-hold", "release-hold", "erase-person"}},
	} {
		s := serve(t, api.Config{Connect: walls.connect, History: handler(t, c), QueriesDir: saved(t), Proof: bundles, Links: true}, caller{"me", api.Admin, walls.tenants})
		requests := func(t *testing.T, p published, v map[string][]string, tenant string) []request {
			return slices.DeleteFunc(requests(t, p, v, tenant), func(r request) bool { return slices.Contains(walls.without, r.operation) })
		}
		own := values(t, c, mine) // anew: the review of the last round is closed
		asked, refused := map[string]int{}, map[string]bool{}
		for tenant, v := range foreign {
			for _, r := range requests(t, p, v, "") {
				a := s.as("me", r.method, r.target, r.anything())
				asked[r.operation]++
				if found := leak(a, r); found != "" {
					t.Errorf("%s: %s %s tells of %s: %s", walls.name, r.method, r.target, found, a.body)
				}
				if r.operation == "count-events" && strings.Contains(r.target, tenant) && !strings.Contains(r.target, mine) && a.status == http.StatusOK && counts(a) {
					t.Errorf("%s: %s %s counts events of %s: %s", walls.name, r.method, r.target, tenant, a.body)
				}
				if a.status != http.StatusOK && a.status != http.StatusNotFound && (a.status != http.StatusUnprocessableEntity || r.operation != "ask-sql") {
					t.Errorf("%s: %s %s: %d %s", walls.name, r.method, r.target, a.status, a.body)
				}
			}
			for _, r := range requests(t, p, v, tenant) {
				if aboutCaller[r.operation] || refused[r.operation] {
					continue // has no such parameter, or was asked already
				}
				refused[r.operation] = true
				a := s.as("me", r.method, r.target, r.anything())
				if walls.tenants[0] == mine && a.status != http.StatusForbidden {
					t.Errorf("%s: %s %s: %d, want 403", walls.name, r.method, r.target, a.status)
				}
				if found := leak(a, r); found != "" {
					t.Errorf("%s: %s %s tells of %s: %s", walls.name, r.method, r.target, found, a.body)
				}
			}
		}
		// Of its own, it gets something from each of them, in the published form.
		got := map[string]bool{}
		for _, r := range requests(t, p, own, "") {
			a := s.as("me", r.method, r.target, r.anything())
			if a.status == http.StatusOK {
				got[r.operation] = got[r.operation] || strings.Contains(string(a.body), mine) || r.operation == "count-events" && counts(a)
				if r.operation != "export-events" && r.operation != "export-proof" && r.operation != "draw-chain" && r.operation != "export-review" {
					check(r.operation, a.body)
				}
			}
		}
		for operation := range asked {
			if !got[operation] && !aboutCaller[operation] {
				t.Errorf("%s: %s answers nothing of the caller's own tenant, so this test shows nothing", walls.name, operation)
			}
		}
		t.Logf("%s: %v", walls.name, asked)
	}
	var reviewed []string
	if err := c.Conn(embedded.Analyst).QueryRow(t.Context(), "SELECT groupUniqArray(tenant) FROM review_acts").Scan(&reviewed); err != nil || !slices.Equal(reviewed, []string{mine}) {
		t.Errorf("decided in reviews of %v, %v", reviewed, err)
	}
	var kept []string
	if err := c.Conn(embedded.Analyst).QueryRow(t.Context(), "SELECT groupUniqArray(tenant) FROM retention_acts WHERE actor_sub != ''").Scan(&kept); err != nil || !slices.Equal(kept, []string{mine}) {
		t.Errorf("said how long records of %v are kept, %v", kept, err)
	}
	var acted []string
	if err := c.Conn(embedded.Analyst).QueryRow(t.Context(), "SELECT groupUniqArray(tenant) FROM finding_history WHERE actor_sub != ''").Scan(&acted); err != nil || !slices.Equal(acted, []string{mine}) {
		t.Errorf("acted on findings of %v, %v", acted, err)
	}
}

// campaign is a review of a tenant.
func campaign(t *testing.T, c *embeddedtest.ClickHouse, tenant string) *review.Review {
	t.Helper()
	reader, err := query.New(query.Config{ClickHouse: c.Conn(embedded.Analyst), Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	r, err := review.Freeze(t.Context(), review.Source{ClickHouse: c.Conn(embedded.Analyst), Reader: reader}, review.Request{
		ID: uuid.New(), Name: "of " + tenant, CreatedBy: "somebody", Now: time.Now(), Scope: review.Scope{Tenant: tenant, WindowDays: 3650},
	})
	if err == nil {
		err = review.Put(t.Context(), c.Conn(embedded.Handler), r)
	}
	if err != nil || len(r.Lines) == 0 {
		t.Fatalf("a review of %s: %v", tenant, err)
	}
	return r
}

// saved is a folder with two saved filters of each tenant.
func saved(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, tenant := range tenants {
		for _, name := range []string{"of-", "kept-"} {
			if err := (query.SavedFile{Path: filepath.Join(dir, tenant+".yaml")}).Save(query.Saved{Name: name + tenant, Filter: "subject:known-to-" + tenant}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func (r request) anything() any {
	if r.body == nil {
		return nil
	}
	return r.body
}

// leak is what an answer tells of other tenants than the request does.
func leak(a answer, r request) string {
	asked, err := url.QueryUnescape(r.target)
	if err != nil {
		asked = r.target
	}
	for _, value := range r.body {
		asked += fmt.Sprint(value)
	}
	if token, ok := r.body["token"].(string); ok {
		asked += event.TokenRef(token)
	}
	body := string(a.body)
	for _, secret := range []string{"globex", "acme"} {
		if strings.Contains(body, secret) && !strings.Contains(asked, secret) {
			return secret
		}
	}
	for _, tenant := range []string{"globex", "acme"} {
		for _, e := range ofTenant(tenant) {
			for _, id := range []string{e.ID, e.Token.Ref, e.Subject.Sub} {
				if len(id) > 8 && strings.Contains(body, id) && !strings.Contains(asked, id) {
					return id
				}
			}
		}
	}
	return ""
}

// schemas checks answers by what the document says of them.
func schemas(t *testing.T, raw []byte) func(operation string, body []byte) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled := map[string]*jsonschema.Schema{}
	for path, methods := range doc.(map[string]any)["paths"].(map[string]any) {
		for method, op := range methods.(map[string]any) {
			if operation := op.(map[string]any)["operationId"].(string); operation == "export-events" || operation == "export-proof" || operation == "draw-chain" || operation == "export-review" {
				continue // is no JSON
			}
			at := fmt.Sprintf("openapi.json#/paths/%s/%s/responses/200/content/application~1json/schema", strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(path), method)
			schema, err := compiler.Compile(at)
			if err != nil {
				t.Fatal(err)
			}
			compiled[op.(map[string]any)["operationId"].(string)] = schema
		}
	}
	return func(operation string, body []byte) {
		t.Helper()
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(body)))
		if err == nil && compiled[operation] != nil {
			err = compiled[operation].Validate(v)
		}
		if err != nil {
			t.Errorf("%s answers otherwise than the document says: %v\n%.2000s", operation, err, body)
		}
	}
}
