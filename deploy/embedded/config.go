package embedded

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/custody-audit/custody/schemas/table"
)

// The users of the engine.
const (
	Admin     = "custody_admin"     // creates the schema
	Writer    = "custody_writer"    // the processor
	Detector  = "custody_detector"  // the detections
	Registrar = "custody_registrar" // imports registries
	Handler   = "custody_handler"   // writes down what people do about findings
	Retainer  = "custody_retainer"  // deletes what is not to be kept any longer, and says so
	Analyst   = "custody_analyst"   // reads all tenants, within limits
)

var users = []string{Admin, Writer, Detector, Registrar, Handler, Retainer, Analyst}

// credentials returns the passwords of a data folder, made when they are first
// asked for.
func credentials(dir string, users []string) (map[string]string, error) {
	path := filepath.Join(dir, "credentials.json")
	passwords := map[string]string{}
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &passwords)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	for _, u := range users {
		if passwords[u] == "" {
			passwords[u] = rand.Text()
		}
	}
	if b, err = json.Marshal(passwords); err != nil {
		return nil, err
	}
	return passwords, os.WriteFile(path, b, 0o600)
}

type settings struct {
	Dir, Log          string
	TCPPort, HTTPPort int
	Hashes            map[string]string
	Auditors          []auditor
	Tables, Others    []string // with a column tenant, and those without that auditors may read
	Registries        []string
	Computed, Handled []string
	Expired, Retained []string
	Spare             int64
}

// SpareBytes of the disk are left free: ClickHouse refuses inserts and merges that
// would need them. Without, a merge that meets a disk without a byte left puts an
// empty part in the place of full ones (26.7; found by deploy/faults).
const SpareBytes = 256 << 20

type auditor struct{ User, Tenant string }

// A server takes its log's level from logger, the shared library from log-level: without
// the latter it writes all traces, the texts of queries among them.
var configTemplate = template.Must(template.New("").Parse(`<clickhouse>
  <logger><level>warning</level><log>{{.Log}}</log><errorlog>{{.Log}}.err</errorlog><size>20M</size><count>2</count></logger>
  <log-level>warning</log-level>
  <listen_host>127.0.0.1</listen_host>
  <tcp_port>{{.TCPPort}}</tcp_port>
  <http_port>{{.HTTPPort}}</http_port>
  <path>{{.Dir}}/store/</path>
  <tmp_path>{{.Dir}}/tmp/</tmp_path>
  <max_server_memory_usage>4000000000</max_server_memory_usage>
  <mark_cache_size>268435456</mark_cache_size>
  <background_pool_size>4</background_pool_size>
  <storage_configuration><disks><default><keep_free_space_bytes>{{.Spare}}</keep_free_space_bytes></default></disks></storage_configuration>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <timezone>UTC</timezone>
  <users_config>{{.Dir}}/users.xml</users_config>
  <user_directories><users_xml><path>{{.Dir}}/users.xml</path></users_xml></user_directories>
  <access_control_improvements><users_without_row_policies_can_read_rows>true</users_without_row_policies_can_read_rows>
    <select_from_system_db_requires_grant>true</select_from_system_db_requires_grant><select_from_information_schema_requires_grant>true</select_from_information_schema_requires_grant></access_control_improvements>
</clickhouse>
`))

// The user default is the child's own session; it gets only what starting needs.
var usersTemplate = template.Must(template.New("").Parse(`<clickhouse>
  <profiles>
    <default><max_memory_usage>2000000000</max_memory_usage></default>
    <reader><readonly>2</readonly><max_execution_time>30</max_execution_time><max_memory_usage>1000000000</max_memory_usage>
      <constraints><max_execution_time><min>1</min><max>300</max></max_execution_time><max_memory_usage><min>1</min><max>1000000000</max></max_memory_usage></constraints></reader>
  </profiles>
  <quotas><default><interval><duration>3600</duration></interval></default></quotas>
  <users>
    <default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
      <grants><query>GRANT SYSTEM ON *.*</query><query>GRANT FILE ON *.*</query><query>GRANT CREATE TEMPORARY TABLE ON *.*</query></grants></default>
    <custody_admin><password_sha256_hex>{{index .Hashes "custody_admin"}}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
      <grants><query>GRANT ALL ON *.*</query></grants></custody_admin>
    <custody_writer><password_sha256_hex>{{index .Hashes "custody_writer"}}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
      <grants><query>GRANT SELECT, INSERT ON custody.*</query><query>GRANT SELECT ON system.processes</query></grants></custody_writer>
    <custody_detector><password_sha256_hex>{{index .Hashes "custody_detector"}}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
      <grants><query>GRANT SELECT ON custody.*</query><query>GRANT CREATE TEMPORARY TABLE ON *.*</query><query>GRANT TABLE ENGINE ON Memory</query>{{range .Computed}}<query>GRANT INSERT ON custody.{{.}}</query>{{end}}</grants></custody_detector>
    <custody_registrar><password_sha256_hex>{{index .Hashes "custody_registrar"}}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
      <grants>{{range .Registries}}<query>GRANT SELECT, INSERT ON custody.{{.}}</query>{{end}}</grants></custody_registrar>
    <custody_handler><password_sha256_hex>{{index .Hashes "custody_handler"}}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
      <grants>{{range .Handled}}<query>GRANT INSERT ON custody.{{.}}</query>{{end}}</grants></custody_handler>
    <custody_retainer><password_sha256_hex>{{index .Hashes "custody_retainer"}}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
      <grants><query>GRANT SELECT ON custody.*</query>{{range .Retained}}<query>GRANT INSERT ON custody.{{.}}</query>{{end}}{{range .Expired}}<query>GRANT ALTER DELETE ON custody.{{.}}</query>{{end}}</grants></custody_retainer>
    <custody_analyst><password_sha256_hex>{{index .Hashes "custody_analyst"}}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks><profile>reader</profile><quota>default</quota>
      <grants><query>GRANT SELECT ON custody.*</query><query>GRANT CREATE TEMPORARY TABLE ON *.*</query><query>GRANT TABLE ENGINE ON Memory</query></grants></custody_analyst>
{{- range $a := .Auditors}}
    <{{.User}}><password_sha256_hex>{{index $.Hashes .User}}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks><profile>reader</profile><quota>default</quota>
      <grants>{{range $.Tables}}<query>GRANT SELECT ON custody.{{.}}</query>{{end}}{{range $.Others}}<query>GRANT SELECT ON custody.{{.}}</query>{{end}}</grants>
      <databases><custody>{{range $.Tables}}<{{.}}><filter>tenant = '{{$a.Tenant}}'</filter></{{.}}>{{end}}</custody></databases></{{.User}}>
{{- end}}
  </users>
</clickhouse>
`))

// writeConfig writes config.xml and users.xml; passwords stand in them as hashes.
func (e *Engine) writeConfig(tcpPort, httpPort int) error {
	dir, passwords := e.cfg.Dir, e.passwords
	s := settings{Tables: table.Tenanted, Others: slices.Concat(table.Views, table.Shared), Registries: table.Registries, Computed: table.Computed, Handled: table.Handled, Expired: table.Expired, Retained: table.Retained, Spare: SpareBytes, Dir: dir, Log: filepath.Join(dir, "engine.log"), TCPPort: tcpPort, HTTPPort: httpPort, Hashes: map[string]string{}}
	for user, password := range passwords {
		sum := sha256.Sum256([]byte(password))
		s.Hashes[user] = hex.EncodeToString(sum[:])
	}
	for _, tenant := range e.cfg.Tenants {
		s.Auditors = append(s.Auditors, auditor{table.Auditor(tenant), tenant})
	}
	for name, t := range map[string]*template.Template{"config.xml": configTemplate, "users.xml": usersTemplate} {
		var sb strings.Builder
		if err := t.Execute(&sb, s); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(sb.String()), 0o600); err != nil {
			return fmt.Errorf("write engine configuration: %w", err)
		}
	}
	return nil
}
