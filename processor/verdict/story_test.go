package verdict_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// judged are the verdicts about the story's calls, by tenant.
var judged = map[string][]string{
	"acme": {
		"merge-call: decided_allow by merge-decision (decision_id), legitimate, narrowed",
		"deploy-call: decided_allow by deploy-decision (decision_id), legitimate, narrowed",
		"search-issues-call: decided_allow by search-issues-decision (decision_id), legitimate, narrowed",
		"read-issue-call: decided_allow by read-issue-decision (decision_id), legitimate, cached",
		"read-diff-call: decided_allow by read-diff-decision (decision_id), legitimate, cached",
		"branch-refused-call: denied by branch-refused-decision (decision_id), legitimate, narrowed",
		"branch-call: decided_allow by branch-decision (decision_id), legitimate, step_up",
		"delete-call: denied by delete-decision (decision_id), legitimate, narrowed",
	},
	"globex": {
		"refund-call: decided_deny_but_ran by refund-decision (token_jsonrpc), legitimate, narrowed",
		"export-call: decided_allow by export-decision (token_jsonrpc), legitimate, widening",
		"customer-call: decided_allow by customer-decision (token_jsonrpc), legitimate, narrowed",
		"invoices-call: decided_allow by invoices-decision (token_jsonrpc), passthrough, cached",
		"notes-call: no_decision_seen by -, legitimate, narrowed",
		"payments-call: undecided by payments-decision (token_jsonrpc), legitimate, narrowed",
	},
	"initech": {
		"salaries-august-call: decided_allow by salaries-august-decision (token_jsonrpc), static, none",
		"salaries-september-call: decided_allow by salaries-september-decision (token_jsonrpc), static, none",
		"triage-call: decided_allow by triage-decision (token_jsonrpc), legitimate, narrowed",
		"late-close-call: decided_allow by late-close-decision (token_jsonrpc), legitimate, cached",
		"payslip-call: decided_allow by payslip-decision (token_jsonrpc), orphan, unknown",
		"report-call: decided_allow by report-decision (token_jsonrpc), legitimate, narrowed",
		"backlog-call: decided_allow by backlog-decision (token_jsonrpc), legitimate, none",
		"after-revocation-call: decided_allow by after-revocation-decision (token_jsonrpc), expired, none",
	},
}

func TestStory(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store(without()...)
	b.once()
	told := b.told()
	for tenant, want := range judged {
		if diff := cmp.Diff(want, told[tenant]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tenant, diff)
		}
	}
	if n := len(b.verdicts()); n != 22 {
		t.Errorf("%d verdicts", n)
	}
}
