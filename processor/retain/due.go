package retain

import (
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/custody-audit/custody/schemas/table"
)

// kept are types of events whose time is never over: what was done about evidence.
var kept = []string{TypeChange, TypeExpired}

// condition is a part of a query with the values that it names.
type condition struct {
	sql    string
	values clickhouse.Parameters
}

// due is which records of a tenant a rule is about that came before a time.
func (s *State) due(rule *Act, before time.Time) condition {
	var own []string
	for _, r := range s.Rules {
		if r.Kind != "" {
			own = append(own, r.Kind)
		}
	}
	kinds := "kind = {kind:String}"
	if rule.Kind == "" {
		kinds = "kind NOT IN {own:Array(String)}"
	}
	return condition{"tenant = {tenant:String} AND " + kinds + " AND type NOT IN {kept:Array(String)} AND log_time < fromUnixTimestamp64Milli({before:Int64}, 'UTC')",
		clickhouse.Parameters{"tenant": s.Tenant, "kind": rule.Kind, "own": table.Words(own), "kept": table.Words(kept), "before": fmt.Sprint(before.UnixMilli())}}
}

// held is which records of tenants are on hold. A hold of a time keeps what either
// claims to be of that time or came to the log then: no clock alone lets a record out.
func held(states []*State) condition {
	out := condition{"0", clickhouse.Parameters{}}
	n := 0
	for _, s := range states {
		for _, h := range s.Holds {
			out.sql += " OR " + h.holds(fmt.Sprintf("h%d_", n), out.values)
			n++
		}
	}
	out.sql = "(" + out.sql + ")"
	return out
}

func (a *Act) holds(name string, values clickhouse.Parameters) string {
	and := []string{"tenant = {" + name + "tenant:String}"}
	values[name+"tenant"] = a.Tenant
	if a.Subject != "" {
		p := "{" + name + "subject:String}"
		and, values[name+"subject"] = append(and, "(subject_sub = "+p+" OR actor_sub = "+p+" OR has(chain_sub, "+p+"))"), table.Text(a.Subject)
	}
	if a.Server != "" {
		and, values[name+"server"] = append(and, "server_id = {"+name+"server:String}"), table.Text(a.Server)
	}
	if !a.From.IsZero() || !a.To.IsZero() {
		from, to := a.From, a.To
		if to.IsZero() {
			to = time.Date(2299, 12, 31, 0, 0, 0, 0, time.UTC) // the end of ClickHouse's times
		}
		values[name+"from"], values[name+"to"] = table.Micro(bound(from)), table.Micro(to)
		in := " >= {" + name + "from:DateTime64(6, 'UTC')} AND %[1]s < {" + name + "to:DateTime64(6, 'UTC')}"
		and = append(and, fmt.Sprintf("(%[1]s"+in+" OR ", "time")+fmt.Sprintf("%[1]s"+in+")", "log_time"))
	}
	return "(" + strings.Join(and, " AND ") + ")"
}
