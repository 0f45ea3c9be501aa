package review_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/defenseunicorns/go-oscal/src/pkg/validation"
	oscal "github.com/defenseunicorns/go-oscal/src/types/oscal-1-1-3"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/evidence/review"
)

// hostile is a review of all there can be in one, by people who choose their names.
func hostile() *review.Report {
	at := time.Date(2026, 6, 2, 9, 0, 0, 123_000, time.UTC)
	evidence := []string{"01975f2e-0000-4000-8000-000000000001"}
	access := map[string][]string{"NIST SP 800-53": {"AC-6"}, "NIST AI RMF": {"GOVERN 2.1"}, "OWASP Agentic 2026": {"ASI03"}}
	audit := map[string][]string{"NIST SP 800-53": {"AU-12"}}
	line := func(key, kind, owner, identity, suggest string, controls map[string][]string) *review.Line {
		return &review.Line{Key: key, Kind: kind, Owner: owner, Identity: identity, Server: "github-mcp", Name: kind + " of " + identity, Suggest: suggest, Summary: identity + " may", Evidence: evidence,
			Facts: []review.Fact{{Name: "granted by", Value: " \n\u2028grant\u00a0"}, {Name: "empty", Value: "\ufeff\x1f"}}, Controls: controls}
	}
	r := &review.Review{
		ID: uuid.MustParse("5f0c9a41-0000-4000-8000-000000000001"), Digest: "d1", EventID: uuid.MustParse("01975f2e-0000-4000-8000-000000000002"),
		Frozen: review.Frozen{
			Name: "![x](https://evil.example) <script>\n# Q2", Created: at, CreatedBy: "root", Scope: review.Scope{Tenant: "acme", From: at.AddDate(0, -3, 0), To: at, WindowDays: 90},
			Checkpoints: []review.Checkpoint{{Origin: "custody.example/log/custody.events/0", Size: 7, Witnesses: []string{"w1"}, Note: "custody.example/log\n7\n"}},
			Unowned:     []review.Unowned{{Kind: "identity", Name: "\x01"}}, Decisions: []review.Decisions{{Engine: "opa", Effect: "allow", Count: 2, First: at, Last: at, Evidence: evidence}},
			Coverage: []query.SourceCoverage{{Source: "s"}}, Gaps: []review.Gap{{Kind: "sequence_gap", Summary: "3 are missing", Status: "resolved", Time: at, Evidence: evidence, Controls: audit}},
			NotAssessed: []string{"what <b>no</b> source reports"}, Samples: []review.Sample{{Event: evidence[0], Depth: 2, Tree: "alice\n  planner *\n", Evidence: evidence}},
		},
		Lines: []*review.Line{
			line("k1", review.Privilege, "", "\n\t[a](javascript:x)", review.SuggestRevoke, nil),
			line("k2", review.Privilege, "ann@acme.example", "planner", review.SuggestRevoke, access),
			line("k3", review.Finding, "bob", "planner", review.SuggestLook, map[string][]string{"OWASP NHI": {"NHI7"}}),
			line("k4", review.Privilege, "bob", "coder", review.SuggestCertify, map[string][]string{"MAESTRO": {"L6"}}),
		},
	}
	act := func(n byte, line string, what review.Action, until time.Time) {
		r.Acts = append(r.Acts, &review.Act{ID: uuid.UUID{15: n}, Line: line, Action: string(what), ActorSub: "ann@acme.example", Reason: "since\n\n*so*", Time: at.Add(time.Duration(n) * time.Hour), Until: until, EventID: uuid.UUID{14: n, 15: 1}})
	}
	act(1, "k2", review.Certify, time.Time{})
	act(2, "k2", review.Revoke, time.Time{})
	act(3, "k3", review.Except, at.AddDate(0, 1, 0))
	act(4, "k4", review.Certify, time.Time{})
	act(5, "", review.Close, time.Time{})
	return review.NewReport(r)
}

func written(t *testing.T) []byte {
	t.Helper()
	var first, again bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &again} {
		if err := hostile().Write(b, "oscal"); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), again.Bytes()) {
		t.Error("the same report is other bytes")
	}
	return first.Bytes()
}

func valid(doc []byte, version string) error {
	v, err := validation.NewValidatorDesiredVersion(doc, version)
	if err != nil {
		return err
	}
	return v.Validate()
}

// NIST's published schema holds, and what is named is there once.
func TestOSCALIsOfItsSchema(t *testing.T) {
	t.Parallel()
	b := written(t)
	at := time.Date(2026, 6, 2, 9, 0, 0, 0, time.UTC)
	var nothing bytes.Buffer
	if err := review.NewReport(&review.Review{Frozen: review.Frozen{Name: "Q2", CreatedBy: "root", Created: at, Scope: review.Scope{Tenant: "acme", From: at, To: at}}}).Write(&nothing, "oscal"); err != nil {
		t.Fatal(err)
	}
	// The newest schema too: it finds what some of the older do not say.
	for _, version := range []string{oscal.Version, "1.2.2"} {
		for _, doc := range [][]byte{b, nothing.Bytes()} {
			if err := valid(doc, version); err != nil {
				t.Errorf("schema %s: %v", version, err)
			}
		}
		if valid(bytes.Replace(b, []byte(`"collected"`), []byte(`"recollected"`), 1), version) == nil {
			t.Errorf("schema %s takes an observation without a time", version)
		}
	}
	var all any
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	defined, referred := map[string]int{}, map[string]bool{}
	walk(all, func(key string, value string) {
		switch key {
		case "uuid":
			defined[value]++
		case "party-uuid", "actor-uuid", "subject-uuid", "observation-uuid", "risk-uuid":
			referred[value] = true
		}
	})
	for id, n := range defined {
		if n != 1 {
			t.Errorf("id %s is given %d times", id, n)
		}
	}
	for id := range referred {
		if defined[id] == 0 {
			t.Errorf("nothing has id %s, which is referred to", id)
		}
	}
	if len(defined) < 30 || len(referred) < 10 {
		t.Errorf("%d ids, %d referred to", len(defined), len(referred))
	}
}

// walk calls do for each text in a JSON value.
func walk(v any, do func(key, value string)) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if s, ok := x.(string); ok {
				do(k, s)
			}
			walk(x, do)
		}
	case []any:
		for _, x := range v {
			walk(x, do)
		}
	}
}

// What was decided is what OSCAL says about risks and objectives, and no name that
// somebody chose is markup.
func TestOSCALSaysWhatWasDecided(t *testing.T) {
	t.Parallel()
	var doc oscal.OscalModels
	if err := json.Unmarshal(written(t), &doc); err != nil {
		t.Fatal(err)
	}
	r := doc.AssessmentResults.Results[0]
	risks := map[string]string{}
	for _, x := range *r.Risks {
		for _, p := range *x.Props {
			risks[p.Value] = x.Status
		}
	}
	if len(risks) != 3 || risks["k1"] != "open" || risks["k2"] != "remediating" || risks["k3"] != "deviation-approved" {
		t.Errorf("risks: %v", risks)
	}
	if log := (*r.Risks)[1].RiskLog.Entries; len(log) != 2 || log[0].StatusChange != "deviation-approved" || log[1].StatusChange != "remediating" || (*r.Risks)[2].Deadline == nil {
		t.Errorf("risk log: %+v", log)
	}
	states := map[string]string{}
	for _, f := range *r.Findings {
		states[f.Target.TargetId] = f.Target.Status.State + " " + f.Target.Status.Reason
	}
	want := map[string]string{"ac-6_custody": "not-satisfied fail", "nist-ai-rmf-govern-2.1_custody": "not-satisfied fail", "owasp-agentic-2026-asi03_custody": "not-satisfied fail",
		"owasp-nhi-nhi7_custody": "not-satisfied other", "au-12_custody": "not-satisfied other", "maestro-l6_custody": "satisfied pass"}
	for id, state := range want {
		if states[id] != state {
			t.Errorf("%s: %q, want %q", id, states[id], state)
		}
	}
	if len(states) != len(want) || len(r.AssessmentLog.Entries) != 6 || r.Attestations == nil || len(*r.Observations) != 9 {
		t.Errorf("%v, %d entries, %d observations", states, len(r.AssessmentLog.Entries), len(*r.Observations))
	}
	if got := (*(*r.Observations)[1].RelevantEvidence)[0].Href; got != "urn:uuid:01975f2e-0000-4000-8000-000000000001" {
		t.Errorf("evidence: %s", got)
	}
	if got := r.Title; got != `\!\[x\](https://evil.example) \<script\> # Q2` {
		t.Errorf("title: %s", got)
	}
}
