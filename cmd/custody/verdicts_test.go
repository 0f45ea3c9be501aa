package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/detect"
)

// checkVerdicts holds the verdicts of a demo against its findings: other SQL has
// judged the same events.
func checkVerdicts(t *testing.T, dir string, findings []*detect.Finding) {
	t.Helper()
	var page query.VerdictPage
	if err := json.Unmarshal([]byte(ask(t, "verdicts", "--limit", "10000", "--data-dir", dir, "--output", "json")), &page); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for rule, of := range map[string]func(*query.Verdict) bool{
		"call_without_decision": func(v *query.Verdict) bool { return v.Ran && v.Decision == "no_decision_seen" },
		"call_after_deny":       func(v *query.Verdict) bool { return v.Decision == "decided_deny_but_ran" },
	} {
		var found, judged []string
		for _, f := range findings {
			if f.Rule == rule {
				found = append(found, f.SubjectKey[0])
			}
		}
		for _, v := range page.Verdicts {
			if of(v) {
				judged = append(judged, v.ID.String())
			}
		}
		slices.Sort(found)
		slices.Sort(judged)
		checked += len(found)
		if !slices.Equal(found, judged) {
			t.Errorf("%s found\n%s\njudged so\n%s", rule, strings.Join(found, "\n"), strings.Join(judged, "\n"))
		}
	}
	if checked == 0 {
		t.Error("the demo has nothing to compare")
	}
	for _, f := range findings {
		if f.Rule == "token_passthrough" && !slices.ContainsFunc(page.Verdicts, func(v *query.Verdict) bool {
			return v.TokenIs == "passthrough" && v.Token == f.TokenRef && v.Server == f.Server && slices.Contains(f.Evidence, v.ID)
		}) {
			t.Errorf("no verdict has the token of %s", f.Summary)
		}
	}
	var s query.VerdictSummary
	if err := json.Unmarshal([]byte(ask(t, "verdicts", "--summary", "--data-dir", dir, "--output", "json")), &s); err != nil {
		t.Fatal(err)
	}
	if int(s.Calls) != len(page.Verdicts) || s.Decision["decided_allow"] == 0 || len(s.Coverage) == 0 {
		t.Errorf("%d calls listed, summary %+v", len(page.Verdicts), s)
	}
	i := slices.IndexFunc(page.Verdicts, func(v *query.Verdict) bool { return v.Decision == "decided_deny_but_ran" })
	if i < 0 {
		return
	}
	v := page.Verdicts[i]
	shown := ask(t, "verdicts", "--data-dir", dir, "--tenant", v.Tenant, "--id", v.ID.String(), "--verdict", "decided_deny_but_ran")
	for _, want := range []string{v.ID.String(), v.Server, v.Tool, v.DecidedBy.Policy, "[" + v.DecidedBy.Join + "]", v.Coverage} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
	if table := ask(t, "verdicts", "--data-dir", dir, "--summary"); !strings.Contains(table, "HEARD OF") || !strings.Contains(table, v.Decision) {
		t.Errorf("summary:\n%s", table)
	}
	if v.DecidedBy.Event == uuid.Nil {
		t.Error("a decision without an event")
	}
}
