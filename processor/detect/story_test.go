package detect_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/processor/detect"
)

// found is what the rules are to find in the story, and nothing else.
var found = []told{
	{"call_after_deny", "globex", detect.Open, []string{"refund-decision", "refund-call"}},
	{"call_without_decision", "globex", detect.Open, []string{"notes-call"}},
	{"orphan_token", "initech", detect.Open, []string{"payslip-call"}},
	{"scope_widening", "globex", detect.Open, []string{"exchange-widening"}},
	{"sequence_gap", "initech", detect.Open, []string{"triage-ended", "exchange-report"}},
	{"static_credential", "initech", detect.Open, []string{"key-found", "salaries-august-call", "salaries-september-call"}},
	{"token_outliving_revocation", "initech", detect.Open, []string{"runner-revoked", "after-revocation-call"}},
	{"token_outliving_task", "initech", detect.Open, []string{"triage-ended", "late-close-call"}},
	{"token_passthrough", "globex", detect.Open, []string{"customer-call", "invoices-call"}},
}

func TestStory(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.store(without()...)
	if r := b.once(); r != (detect.Result{Opened: len(found)}) {
		t.Errorf("changes %+v", r)
	}
	if diff := cmp.Diff(found, b.told(detect.Filter{})); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	for _, f := range b.findings(detect.Filter{}) {
		t.Logf("%s %s: %s [%s: %s %v]", f.Severity, f.Rule, f.Summary, f.Coverage, f.CoverageNote, f.CoverageSources)
	}
}
