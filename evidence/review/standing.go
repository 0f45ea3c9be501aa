package review

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/worklist"
)

// standing are the states of privileges that somebody holds now.
var standing = []string{query.NeverUsed, query.NotUsedLately, query.Used, query.MaybeUsed, query.Young, query.NotCovered}

// unjudged says why a state is no judgement.
var unjudged = map[string]string{
	query.MaybeUsed:  "a call may have used it: nobody registered what its tool needs",
	query.Young:      "it was granted too short a time ago to say that nobody uses it",
	query.NotCovered: "no source reports the calls of the server for as long as the window",
}

// privileges makes a line of each that stands.
func (f *freezing) privileges(ctx context.Context) error {
	page, err := f.Reader.Privileges(ctx, query.PrivilegeFilter{
		Server: f.Scope.Server, States: standing, Window: time.Duration(f.Scope.WindowDays) * 24 * time.Hour, Now: f.Now,
	}, query.MaxPage)
	if err != nil {
		return err
	}
	if page.Cut {
		return fmt.Errorf("%w: more than %d privileges stand: narrow the review by server", ErrInvalid, query.MaxPage)
	}
	for _, p := range page.Privileges {
		l := privilegeLine(p)
		if err := f.add(l, rulesOf(p)...); err != nil {
			return err
		}
		for _, found := range p.Findings {
			f.shown[found.Key] = f.shown[found.Key] || found.Status != worklist.Excepted // an exception is a line of its own
		}
	}
	return nil
}

// rulesOf are the rules whose controls a privilege is evidence for.
func rulesOf(p *query.Privilege) []string {
	out := []string{"unused_grant"}
	if slices.Contains(p.How, "token") || slices.Contains(p.How, "exchange") {
		out = append(out, "over_scoped_token")
	}
	if wildcard(p.Name) {
		out = append(out, "wildcard_grant")
	}
	if p.Credential == "static" {
		out = append(out, "static_credential")
	}
	return out
}

// wildcard is a name that stands for all, as the view of privileges has it.
func wildcard(name string) bool {
	return name == "*" || len(name) > 1 && name[len(name)-1] == '*' && strings.ContainsRune(":./", rune(name[len(name)-2]))
}

func privilegeLine(p *query.Privilege) *Line {
	l := &Line{
		Key: key(Privilege, p.Iss, p.Identity, p.Server, p.Kind, p.Name), Kind: Privilege, Identity: p.Identity, Iss: p.Iss, Server: p.Server,
		Name: p.Kind + " " + p.Name, State: p.State, NotAssessed: unjudged[p.State], Suggest: SuggestCertify, Summary: p.Identity + " may use " + p.Kind + " " + p.Name + " at " + p.Server,
	}
	switch {
	case slices.Contains(query.Unused, p.State):
		l.Suggest = SuggestRevoke
		l.Summary += " and has not for the whole window"
	case l.NotAssessed != "" || wildcard(p.Name):
		l.Suggest = SuggestLook
	}
	at := func(name string, t *time.Time) {
		if t != nil {
			l.fact(name, t.UTC().Format(time.RFC3339))
		}
	}
	l.fact("granted by", strings.Join(p.How, ", "))
	at("granted since", p.GrantedSince)
	at("granted last", p.GrantedLast)
	at("used last", p.UsedLast)
	l.fact("uses", strconv.FormatUint(p.Uses, 10))
	l.fact("tokens", strconv.FormatUint(p.Tokens, 10))
	l.fact("credential", p.Credential)
	if p.RiskSeconds > 0 {
		l.fact("seconds of tokens at risk", strconv.FormatUint(p.RiskSeconds, 10))
	}
	for _, id := range []string{p.GrantedEvent, p.UsedEvent} {
		if id != "" && !slices.Contains(l.Evidence, id) {
			l.Evidence = append(l.Evidence, id)
		}
	}
	for _, found := range p.Findings {
		l.Findings = append(l.Findings, found.Key)
		l.fact("finding "+found.Rule, found.Status)
	}
	return l
}

func (l *Line) fact(name, value string) {
	if value != "" {
		l.Facts = append(l.Facts, Fact{name, value})
	}
}

// credentials makes a line of each static secret that was presented or found in the
// period, unless its revocation was reported afterwards.
func (f *freezing) credentials(ctx context.Context) error {
	const sql = `SELECT token_ref, iss, holder, at, seen, first, last, first_id, last_id FROM
	(
		SELECT token_ref, if(actor_sub != '', actor_iss, subject_iss) AS iss, if(actor_sub != '', actor_sub, subject_sub) AS holder, server_id AS at,
			count() AS seen, min(time) AS first, max(time) AS last, toString(argMin(id, (time, id))) AS first_id, toString(argMax(id, (time, id))) AS last_id
		FROM events WHERE` + inScope + ` AND token_ref != '' AND (token_static OR type = 'credential.static')
		GROUP BY token_ref, iss, holder, at
	) AS s
	LEFT JOIN (SELECT token_ref, max(time) AS ended FROM events WHERE tenant = {tenant:String} AND type = 'credential.revoked' AND token_ref != '' GROUP BY token_ref) AS r USING (token_ref)
	WHERE ended < last
	ORDER BY token_ref, iss, holder, at`
	var lines []*Line
	err := each(ctx, f.ClickHouse, sql, f.values(), func(rows driver.Rows) error {
		l := &Line{Kind: Credential, State: "static", Suggest: SuggestRevoke}
		var seen uint64
		var first, last time.Time
		var ids [2]string
		if err := rows.Scan(&l.Name, &l.Iss, &l.Identity, &l.Server, &seen, &first, &last, &ids[0], &ids[1]); err != nil {
			return err
		}
		l.Key = key(Credential, l.Name, l.Iss, l.Identity, l.Server)
		l.Summary = fmt.Sprintf("%s presents a secret that does not end at %s", orSomebody(l.Identity), orSomewhere(l.Server))
		l.fact("events", strconv.FormatUint(seen, 10))
		l.fact("first", first.UTC().Format(time.RFC3339))
		l.fact("last", last.UTC().Format(time.RFC3339))
		l.Evidence = slices.Compact(ids[:])
		lines = append(lines, l)
		return nil
	})
	if err != nil {
		return err
	}
	for _, l := range lines {
		if err := f.add(l, "static_credential"); err != nil {
			return err
		}
	}
	return nil
}

func orSomebody(name string) string {
	if name == "" {
		return "somebody who is not named"
	}
	return name
}

func orSomewhere(server string) string {
	if server == "" {
		return "a server that is not named"
	}
	return server
}

// findings makes a line of each that is not resolved or is excepted, unless a line
// shows it already or it is about telemetry, which nobody owns as a privilege.
func (f *freezing) findings(ctx context.Context) error {
	for _, status := range []string{worklist.Active, worklist.Excepted} {
		list, err := worklist.List(ctx, f.ClickHouse, worklist.Filter{Tenant: f.Scope.Tenant, Status: status, Limit: MaxLines + 1})
		if err != nil {
			return err
		}
		if len(list) > MaxLines {
			return fmt.Errorf("%w: more than %d findings are %s: handle some, or narrow the review", ErrInvalid, MaxLines, status)
		}
		for _, found := range list {
			if f.shown[found.Key] || slices.Contains(telemetry, found.Rule) || !found.FirstSeen.Before(f.Scope.To) {
				continue
			}
			if err := f.add(findingLine(found), found.Rule); err != nil {
				return err
			}
		}
	}
	return nil
}

func findingLine(found *worklist.Finding) *Line {
	l := &Line{
		Key: key(Finding, found.Key), Kind: Finding, Identity: found.Identity, Server: found.Server, Name: found.Rule, State: found.Status, Severity: found.Severity,
		Summary: found.Summary, Suggest: SuggestLook, Findings: []string{found.Key},
	}
	l.fact("first seen", found.FirstSeen.UTC().Format(time.RFC3339))
	l.fact("last seen", found.LastSeen.UTC().Format(time.RFC3339))
	l.fact("coverage", found.CoverageNote)
	if found.Status == worklist.Excepted {
		l.Kind = Exception
		l.fact("excepted until", found.ExceptedUntil.UTC().Format(time.RFC3339))
		l.fact("excepted by", found.HandledBy)
		l.fact("reason", found.Reason)
	}
	for _, id := range found.Evidence {
		l.Evidence = append(l.Evidence, id.String())
	}
	return l
}
