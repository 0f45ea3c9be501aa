package query

import (
	"context"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// MCPServer is a server as its callers know it.
type MCPServer struct {
	Tenant  string    `json:"tenant"`
	ID      string    `json:"id"`
	Callers uint64    `json:"callers"`
	Tools   uint64    `json:"tools"`
	Calls   uint64    `json:"calls"`
	Denied  uint64    `json:"denied"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
}

// Servers returns up to limit servers that were called since the window began, the
// newest first; id narrows to one.
func (r *Reader) Servers(ctx context.Context, id string, since time.Time, limit int) ([]*MCPServer, error) {
	var out []*MCPServer
	err := r.rows(ctx, `SELECT tenant, toString(server_id), uniqExact(iss, sub), uniqExactIf(tool_name, tool_name != ''), sum(events), sumIf(events, outcome = 'denied'), min(first_time), max(last_time) AS last
		FROM `+activity(ofServer)+` GROUP BY tenant, server_id ORDER BY last DESC, tenant, server_id LIMIT {limit:UInt32}`, serverParameters(id, since, limit), func(rows driver.Rows) error {
		s := &MCPServer{}
		out = append(out, s)
		return rows.Scan(&s.Tenant, &s.ID, &s.Callers, &s.Tools, &s.Calls, &s.Denied, &s.First, &s.Last)
	})
	return out, err
}

const ofServer = tenant + " AND ({server:String} = '' OR server_id = {server:String}) AND server_id != '' AND type = 'mcp.tools.call'"

func serverParameters(id string, since time.Time, limit int) parameters {
	return parameters{"server": id, "window": window(since), "limit": strconv.Itoa(limit)}
}

// CallerOf is who called one tool of a server.
type CallerOf struct {
	Tenant string    `json:"tenant"`
	Iss    string    `json:"iss,omitempty"`
	Sub    string    `json:"sub"`
	Tool   string    `json:"tool"`
	Calls  uint64    `json:"calls"`
	Denied uint64    `json:"denied"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// Callers returns up to limit callers of a server by tool, those with most calls first.
func (r *Reader) Callers(ctx context.Context, id string, since time.Time, limit int) ([]*CallerOf, error) {
	var out []*CallerOf
	err := r.rows(ctx, `SELECT tenant, toString(iss), sub, toString(tool_name), sum(events) AS calls, sumIf(events, outcome = 'denied'), min(first_time), max(last_time)
		FROM `+activity(ofServer)+` GROUP BY tenant, iss, sub, tool_name ORDER BY calls DESC, tenant, iss, sub, tool_name LIMIT {limit:UInt32}`, serverParameters(id, since, limit), func(rows driver.Rows) error {
		c := &CallerOf{}
		out = append(out, c)
		return rows.Scan(&c.Tenant, &c.Iss, &c.Sub, &c.Tool, &c.Calls, &c.Denied, &c.First, &c.Last)
	})
	return out, err
}
