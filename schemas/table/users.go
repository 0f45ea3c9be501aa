package table

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// Admin is the user who creates the schema.
const Admin = "custody_admin"

// Users returns a users file for a ClickHouse server that keeps its users in files: the
// administrator of the schema, a user for each role of the pipeline, and one auditor
// per tenant, who sees that tenant's rows. password is asked for each user's; the file
// has its SHA-256 only.
func Users(database string, tenants []string, password func(user string) (string, error)) (string, error) {
	var sb strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&sb, format+"\n", args...) }
	say("<clickhouse>\n  <profiles>\n    <custody_reader><readonly>2</readonly><max_execution_time>30</max_execution_time><max_memory_usage>1000000000</max_memory_usage>")
	say("      <constraints><max_execution_time><min>1</min><max>300</max></max_execution_time><max_memory_usage><min>1</min><max>1000000000</max></max_memory_usage></constraints></custody_reader>\n  </profiles>\n  <users>")
	user := func(name, profile string, grants []string, filters string) error {
		secret, err := password(name)
		if err != nil {
			return err
		}
		hash := sha256.Sum256([]byte(secret))
		say("    <%s><password_sha256_hex>%s</password_sha256_hex><networks><ip>::/0</ip></networks><profile>%s</profile><quota>default</quota>", name, hex.EncodeToString(hash[:]), profile)
		say("      <grants>")
		for _, g := range grants {
			say("        <query>GRANT %s</query>", escaped(strings.ReplaceAll(g, "DATABASE", quoted(database))))
		}
		say("      </grants>%s</%s>", filters, name)
		return nil
	}
	if err := user(Admin, "default", []string{"ALL ON *.*"}, ""); err != nil {
		return "", err
	}
	for _, r := range roles {
		profile := "default"
		if r.bounds != "" {
			profile = "custody_reader"
		}
		if err := user(r.name, profile, r.grants, ""); err != nil {
			return "", err
		}
	}
	for _, tenant := range tenants {
		var filters strings.Builder
		for _, t := range Tenanted {
			fmt.Fprintf(&filters, "\n        <%[1]s><filter>tenant = '%[2]s'</filter></%[1]s>", t, escaped(tenant))
		}
		grants := onEach("SELECT", slices.Concat(Tenanted, Views, Shared))
		if err := user(Auditor(tenant), "custody_reader", grants, fmt.Sprintf("\n      <databases><%[1]s>%[2]s</%[1]s></databases>", database, filters.String())); err != nil {
			return "", err
		}
	}
	say("  </users>\n</clickhouse>")
	return sb.String(), nil
}

func quoted(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func escaped(s string) string {
	var sb strings.Builder
	_ = xml.EscapeText(&sb, []byte(s)) // a builder takes everything
	return sb.String()
}
