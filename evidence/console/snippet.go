package console

import (
	"cmp"
	"regexp"
	"strings"
)

// sourceKind is a way in which something reports, with what to paste there.
type sourceKind struct {
	Name  string // of the form
	Words string
	Type  string // of "custody source add"; empty: none
	Paste string // with {url}, of the collector, and {id}, of the server
	Where string // it is pasted
	Page  string // of docs that says more
}

const docsSources = "docs/sources.md"

// sourceKinds are those of docs/sources.md.
var sourceKinds = append([]sourceKind{
	{Name: "native", Words: "a program that posts events", Where: "a shell, to try it", Page: docsSources, Paste: `curl {url}/v1/events -H "Authorization: Bearer $CUSTODY_SOURCE_KEY" -H 'Content-Type: application/json' -d '
  {"kind":"session","type":"task.start","time":"'$(date -u +%Y-%m-%dT%H:%M:%SZ)'","outcome":"success",
   "subject":{"sub":"alice","type":"human"},"correlation":{"task_id":"t-1"},"source":{"event_id":"e-1"}}'`},
	{Name: "mcp-proxy", Words: "an MCP server that stays as it is", Where: "the server's host; clients then use :8080", Page: docsSources, Paste: `custody mcp-proxy --listen :8080 --upstream http://127.0.0.1:3000 --server-id {id} --collector-url {url} --key-file /etc/custody/key`},
	{Name: "otlp", Words: "OpenTelemetry", Type: "otlp", Where: "the OpenTelemetry collector's configuration, and the exporter into its pipelines", Page: docsSources, Paste: `exporters:
  otlphttp/custody:
    endpoint: {url}
    headers: {Authorization: "Bearer ${env:CUSTODY_SOURCE_KEY}"}`},
	{Name: "opa", Words: "Open Policy Agent", Type: "opa", Where: "OPA's configuration", Page: docsSources, Paste: `services:
  custody:
    url: {url}/v1/opa
    credentials: {bearer: {token_path: /run/secrets/custody-key}}
decision_logs: {service: custody}`},
	{Name: "keycloak", Words: "Keycloak", Type: "keycloak", Where: "a host that reaches Keycloak's admin API and the collector", Page: "docs/sources/keycloak.md", Paste: `custody poll-keycloak --base-url https://sso.example --realm REALM --client-id custody --secret-file /etc/custody/keycloak --collector-url {url} --key-file /etc/custody/key`},
}, tailed("agentgateway", "authzen", "cerbos", "contextforge", "envoyai", "kong", "openbao", "teleport", "toolhive")...)

// tailed are kinds that write a file of records, which is followed.
func tailed(types ...string) (out []sourceKind) {
	for _, t := range types {
		out = append(out, sourceKind{Name: t, Words: t + ", by its log file", Type: t, Where: "the host of the file", Page: "docs/sources/" + t + ".md",
			Paste: "custody tail --type " + t + " --collector-url {url} --key-file /etc/custody/key /var/log/" + t + "/audit.log"})
	}
	return out
}

// plainURL is what may stand in a configuration without quotes.
var plainURL = regexp.MustCompile(`^https?://[A-Za-z0-9.\-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/\-]*)?$`)

const localCollector = "http://127.0.0.1:4318"

// snippet is what to paste at the source that a form tells of.
type snippet struct {
	sourceKind
	Command, Text string
}

func newSnippet(name, tenant, servers, kind, collector string) *snippet {
	s := &snippet{sourceKind: sourceKinds[0]}
	for _, k := range sourceKinds {
		if k.Name == kind {
			s.sourceKind = k
		}
	}
	s.Command = "custody source add " + shellWord(name) + " --tenant " + shellWord(tenant)
	if s.Type != "" {
		s.Command += " --type " + s.Type
	}
	id := ""
	for server := range strings.FieldsSeq(strings.ReplaceAll(servers, ",", " ")) {
		s.Command += " --server " + shellWord(server)
		id = cmp.Or(id, server)
	}
	collector = strings.TrimRight(collector, "/")
	if !plainURL.MatchString(collector) {
		collector = localCollector
	}
	s.Text = strings.NewReplacer("{url}", collector, "{id}", shellWord(cmp.Or(id, name))).Replace(s.Paste)
	return s
}
