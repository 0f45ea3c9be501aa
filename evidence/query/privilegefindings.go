package query

import (
	"context"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/processor/worklist"
)

// PrivilegeFinding is a finding about a privilege that is not resolved by itself,
// and what people did about it.
type PrivilegeFinding struct {
	Key    string `json:"key"`
	Rule   string `json:"rule"`
	Status string `json:"status"` // open, acknowledged, assigned, resolved, excepted
	// By is who made it so, Reason why.
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Until is when an exception ends.
	Until *time.Time `json:"until,omitempty"`
}

// The rules whose findings are about a privilege, by the words of their subject key:
// issuer, identity, server, kind and name; and about an identity's tokens for a
// server: issuer, identity, server.
const (
	unusedGrant     = "unused_grant"
	overScopedToken = "over_scoped_token"
)

// findingsOf fills in what was found about privileges.
func (r *Reader) findingsOf(ctx context.Context, list []*Privilege) error {
	about := map[[6]string][]*Privilege{} // by tenant and subject key
	var subs []string
	for _, p := range list {
		subs = append(subs, p.Identity)
		key := [6]string{p.Tenant, p.Iss, p.Identity, p.Server, p.Kind, p.Name}
		about[key] = append(about[key], p)
		if p.Kind == "scope" && slices.Contains(Unused, p.State) && (slices.Contains(p.How, "token") || slices.Contains(p.How, "exchange")) {
			key[4], key[5] = "", ""
			about[key] = append(about[key], p)
		}
	}
	if len(subs) == 0 {
		return nil
	}
	slices.Sort(subs)
	values := parameters{"subs": array(slices.Compact(subs)), "rules": array([]string{unusedGrant, overScopedToken}), "closed": worklist.AutoResolved}
	return r.rows(ctx, `SELECT tenant, arrayResize(subject_key, 5), toString(key), toString(rule), status, handled_by, reason, excepted_until
		FROM worklist WHERE `+tenant+` AND rule IN {rules:Array(String)} AND status != {closed:String} AND subject_key[2] IN (SELECT arrayJoin({subs:Array(String)}))
		ORDER BY rule DESC, key`, values, func(rows driver.Rows) error {
		var of string
		var subject []string
		var until time.Time
		f := &PrivilegeFinding{}
		if err := rows.Scan(&of, &subject, &f.Key, &f.Rule, &f.Status, &f.By, &f.Reason, &until); err != nil {
			return err
		}
		if f.Status == worklist.Excepted {
			f.Until = &until
		}
		for _, p := range about[[6]string(append([]string{of}, subject...))] {
			p.Findings = append(p.Findings, f)
		}
		return nil
	})
}

// Excepted tells that somebody accepted that the privilege is not used, for a time.
func (p *Privilege) Excepted() bool {
	return slices.ContainsFunc(p.Findings, func(f *PrivilegeFinding) bool { return f.Status == worklist.Excepted })
}
