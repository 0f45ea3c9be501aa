package dashboards

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/custody-audit/custody/dashboards/alert"
)

// Provisioned are the data sources that Grafana has where the files of
// [Provisioning] are used.
var Provisioned = alert.Sources{ClickHouse: "custody-clickhouse", Prometheus: "custody-prometheus"}

// Folder names the folder in Grafana, by UID and title.
const (
	FolderUID   = "custody"
	FolderTitle = "Custody"
)

// File is one file for Grafana's provisioning, by its path below that folder.
type File struct {
	Path string
	Text []byte
}

const written = "# Written by \"custody dashboards generate\"; do not edit.\n"

// datasources names addresses and secrets by Grafana's own variables, which it
// reads from its environment.
const datasources = written + `apiVersion: 1
datasources:
  - name: Custody ClickHouse
    uid: custody-clickhouse
    type: grafana-clickhouse-datasource
    jsonData:
      host: $CUSTODY_CLICKHOUSE_HOST
      port: $CUSTODY_CLICKHOUSE_PORT
      protocol: native
      secure: $CUSTODY_CLICKHOUSE_TLS
      username: $CUSTODY_CLICKHOUSE_USER # with the role custody_analyst, or an auditor of one tenant
      defaultDatabase: custody
    secureJsonData:
      password: $CUSTODY_CLICKHOUSE_PASSWORD # or $__file{/run/secrets/clickhouse}
  - name: Custody Prometheus
    uid: custody-prometheus
    type: prometheus
    url: $CUSTODY_PROMETHEUS_URL
    jsonData:
      timeInterval: 15s # how often it scrapes
`

const providers = written + `apiVersion: 1
providers:
  - name: custody
    type: file
    folder: Custody
    folderUid: custody
    disableDeletion: true
    allowUiUpdates: false
    options:
      path: /var/lib/grafana/dashboards/custody # the files of dashboards/grafana
`

// Provisioning returns what Grafana's folder of provisioning wants: the data
// sources, where the dashboards are, and the alert rules.
func Provisioning() ([]File, error) {
	rules, err := alertFile()
	if err != nil {
		return nil, err
	}
	return []File{{"alerting/custody.yaml", rules}, {"dashboards/custody.yaml", []byte(providers)}, {"datasources/custody.yaml", []byte(datasources)}}, nil
}

// alertFile writes the rules in the form of files, which is not that of the API:
// the folder goes by its title, the interval has a unit, and the group says whose
// rules they are.
func alertFile() ([]byte, error) {
	group, err := BuildAlerts(Provisioned, FolderUID)
	if err != nil {
		return nil, err
	}
	rules := []any{}
	for _, r := range group.Rules {
		rule, err := object(r)
		if err != nil {
			return nil, err
		}
		for _, key := range []string{"folderUID", "ruleGroup", "orgID"} {
			delete(rule, key)
		}
		rules = append(rules, rule)
	}
	var buf bytes.Buffer
	buf.WriteString(written)
	e := yaml.NewEncoder(&buf)
	e.SetIndent(2)
	err = e.Encode(map[string]any{"apiVersion": 1, "groups": []any{map[string]any{
		"orgId": 1, "name": *group.Title, "folder": FolderTitle, "interval": fmt.Sprintf("%ds", *group.Interval), "rules": rules,
	}}})
	return buf.Bytes(), err
}

// object is a value as JSON has it.
func object(v any) (map[string]any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	return out, json.Unmarshal(text, &out)
}
