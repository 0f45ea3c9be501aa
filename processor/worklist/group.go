package worklist

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// By is what findings are grouped by.
var By = []string{"identity", "chain"}

// Group is the findings that one identity, or one delegation, has in common.
type Group struct {
	Tenant string `json:"tenant" ch:"tenant"`
	// Group is the identity or the chain; empty: of the findings that have none.
	Group    string   `json:"group" ch:"group"`
	Findings uint64   `json:"findings" ch:"findings"`
	Severity string   `json:"severity" ch:"severity"` // of the severest
	Rules    []string `json:"rules" ch:"rules"`
	// Identities of its findings, in a chain; chains, of an identity.
	Identities []string  `json:"identities" ch:"identities"`
	Chains     uint64    `json:"chains" ch:"chains"`
	Assignees  []string  `json:"assignees" ch:"assignees"`
	FirstSeen  time.Time `json:"first_seen" ch:"first_seen"`
	LastSeen   time.Time `json:"last_seen" ch:"last_seen"`
	// Keys of its findings, the severest first; at most 20.
	Keys []string `json:"keys" ch:"keys"`
}

// Groups returns the groups of the findings, those with the severest first.
func Groups(ctx context.Context, conn driver.Conn, by string, f Filter) ([]*Group, error) {
	if !slices.Contains(By, by) {
		return nil, fmt.Errorf("group by %q: want one of %v", by, By)
	}
	p, err := f.parameters()
	if err != nil {
		return nil, err
	}
	return rows[Group](ctx, conn, `SELECT tenant, w.`+by+` AS group, count() AS findings, toString(max(w.severity)) AS severity,
			arraySort(groupUniqArray(20)(toString(w.rule))) AS rules, arraySort(groupUniqArrayIf(20)(w.identity, w.identity != '')) AS identities,
			uniqExactIf(w.chain, w.chain != '') AS chains, arraySort(groupUniqArrayIf(20)(w.assignee, w.assignee != '')) AS assignees,
			min(w.first_seen) AS first_seen, max(w.last_seen) AS last_seen,
			arraySlice(arrayMap(x -> toString(x.3), arraySort(groupArray((-toInt8(w.severity), -toUnixTimestamp64Micro(w.last_seen), w.key)))), 1, 20) AS keys
		FROM (SELECT *`+narrowed+`) AS w GROUP BY tenant, group ORDER BY max(w.severity) DESC, findings DESC, tenant, group LIMIT {limit:UInt32}`, p)
}
