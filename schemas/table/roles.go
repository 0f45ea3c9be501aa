package table

import (
	"fmt"
	"slices"
	"strings"
)

// Tenanted are the tables whose rows belong to tenants, each with a column
// tenant. Views and roll-ups that people read are made of them, see [Views].
var Tenanted = append([]string{"records", "event_keys", "source_sequences", "finding_states", "finding_history", "finding_deliveries", "finding_dead_letters", "reviews", "review_lines", "review_acts", "retention_acts", "retention_records", "retained_leaves", "seal_discrepancies", "token_lineage_states", "first_seen_states", "activity_states", "activity_days", "rhythm_states", "reach_states", "reach_days",
	"coverage_states", "token_calls", "token_issues", "verdict_states", "privilege_states", "server_addresses", "token_services"}, Registries...)

// Computed are the tables that detections and later passes write.
var Computed = []string{"finding_states", "finding_history", "finding_deliveries", "finding_dead_letters", "rule_progress", "seal_discrepancies", "reconciliations", "token_lineage_states", "first_seen_states", "activity_states", "activity_days", "rhythm_states", "reach_states", "reach_days", "pass_progress",
	"coverage_states", "token_calls", "token_issues", "verdict_states", "privilege_states", "server_addresses", "token_services"}

// Handled are the tables that say what people did: about findings, in reviews, and to how long records are kept.
var Handled = []string{"finding_history", "reviews", "review_lines", "review_acts", "retention_acts"}

// Expired are the tables of which rows are deleted when their time is over, and
// Retained those that say so.
var (
	Expired = []string{"records", "event_keys", "token_issues", "verdict_states", "activity_states", "activity_days", "rhythm_states", "reach_states", "reach_days", "coverage_states", "first_seen_states", "privilege_states", "token_services", "token_lineage_states",
		"finding_states", "finding_history", "finding_deliveries", "finding_dead_letters"}
	Retained = []string{"retention_records", "retained_leaves"}
)

// Registries are the tables of the registries.
var Registries = []string{"registry_versions", "registry_principals", "registry_servers", "registry_tools"}

// Shared are tables that say nothing of a tenant and that its auditor reads: those of
// the log itself, to check its records, of which leaves have a salt, when that was
// done, and how far what is computed has come.
var Shared = []string{"tree_nodes", "checkpoints", "log_gaps", "key_rotations", "reconciliations", "pass_progress"}

// Views are what is read through and holds nothing: a row filter on the tables
// below holds for them too.
var Views = []string{"events", "token_edges", "token_edges_by_parent", "token_use", "task_sessions", "decision_keys", "decision_joins", "findings", "quarantine", "token_lineage", "first_seen", "activity_hourly",
	"coverage", "decision_coverage", "issuer_coverage", "verdicts", "worklist", "privileges", "judged_privileges", "review_states"}

// Auditor is the name of the role, and in an embedded engine of the user, that
// sees one tenant.
func Auditor(tenant string) string { return "custody_auditor_" + tenant }

// The roles of the pipeline and what each may do; DATABASE stands for the
// database. Readers are bounded besides.
var roles = []struct {
	name   string
	bounds string
	grants []string
}{
	{"custody_writer", "", []string{"SELECT, INSERT ON DATABASE.*", "SELECT ON system.processes"}},
	{"custody_detector", "", slices.Concat([]string{"SELECT ON DATABASE.*"}, temporary, onEach("INSERT", Computed))},
	{"custody_registrar", "", onEach("SELECT, INSERT", Registries)},
	{"custody_handler", "", onEach("INSERT", Handled)},
	{"custody_retainer", "", slices.Concat([]string{"SELECT ON DATABASE.*"}, onEach("INSERT", Retained), onEach("ALTER DELETE", Expired))},
	{"custody_analyst", readerBounds, append([]string{"SELECT ON DATABASE.*"}, temporary...)}, // to back-test rules
}

// temporary lets a query have parts, see processor/parts. Such tables are of memory, of one
// connection, and bounded as a query is.
var temporary = []string{"CREATE TEMPORARY TABLE ON *.*", "TABLE ENGINE ON Memory"}

// Grants returns what a role of the pipeline may do, as "SELECT ON DATABASE.*", where
// DATABASE stands for the database; none of a name that is no role.
func Grants(role string) []string {
	for _, r := range roles {
		if r.name == role {
			return slices.Clone(r.grants)
		}
	}
	return nil
}

func onEach(grant string, tables []string) (out []string) {
	for _, t := range tables {
		out = append(out, grant+" ON DATABASE."+t)
	}
	return out
}

const readerBounds = " SETTINGS readonly = 2, max_execution_time = 30 MIN 1 MAX 300, max_memory_usage = 1000000000 MIN 1 MAX 1000000000"

// Roles returns the statements that create the roles, and one auditor per
// tenant, on a ClickHouse that keeps access entities in SQL. They may be run
// again, with more tenants. Nobody but these roles sees rows afterwards: a user
// without one of them, an administrator too, is to be granted one.
func Roles(database string, tenants []string) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	db := quoted(database)
	var all []string
	for _, r := range roles {
		all = append(all, r.name)
		say("CREATE ROLE IF NOT EXISTS %s%s", r.name, r.bounds)
		for _, g := range r.grants {
			say("GRANT %s TO %s", strings.ReplaceAll(g, "DATABASE", db), r.name)
		}
	}
	for _, t := range Tenanted {
		say("CREATE ROW POLICY IF NOT EXISTS custody_all ON %s.%s USING 1 TO %s", db, t, strings.Join(all, ", "))
	}
	for _, tenant := range tenants {
		role := "`" + Auditor(tenant) + "`"
		say("CREATE ROLE IF NOT EXISTS %s%s", role, readerBounds)
		for _, t := range slices.Concat(Tenanted, Views, Shared) {
			say("GRANT SELECT ON %s.%s TO %s", db, t, role)
		}
		for _, t := range Tenanted {
			say("CREATE ROW POLICY IF NOT EXISTS %s ON %s.%s USING tenant = '%s' TO %s", role, db, t, tenant, role)
		}
	}
	return out
}
