package review

import (
	"fmt"
	"slices"
	"strings"

	oscal "github.com/defenseunicorns/go-oscal/src/types/oscal-1-1-3"

	"github.com/custody-audit/custody/processor/worklist"
)

// What OSCAL calls the states of a risk. Who certifies a line that something speaks
// against, or excepts it, lets it stand against the rule: a deviation, not an end of it.
const (
	riskOpen        = "open"
	riskRemediating = "remediating"
	riskDeviates    = "deviation-approved"
	riskClosed      = "closed"
)

// statusOf is the state of the risk that a line is; empty: it is none.
func statusOf(l *Line, x *Act) string {
	switch {
	case x == nil && l.Suggest == SuggestCertify:
		return ""
	case x == nil:
		return riskOpen
	case x.Action == string(Revoke):
		return riskRemediating // an instruction, until a later review shows that it was followed
	case x.Action == string(Certify) && l.Suggest == SuggestCertify:
		return ""
	case x.Action == string(Certify) && l.Kind == Privilege && l.Suggest == SuggestLook:
		return riskClosed // the owner knew what the evidence does not say
	}
	return riskDeviates
}

// risks are the lines that something speaks against, with who decided what.
func (a *assessment) risks() (out []oscal.Risk) {
	for _, l := range a.Lines {
		x := a.decided[l.Key]
		status := statusOf(l, x)
		if status == "" {
			continue
		}
		r := oscal.Risk{
			UUID: a.id("risk", l.Key), Title: marked(l.Name), Description: marked(l.Summary), Statement: statement(l), Status: status, Origins: a.origins(),
			RelatedObservations: &[]oscal.RelatedObservation{{ObservationUuid: a.lineID[l.Key]}}, Props: props(prop("line", l.Key)), RiskLog: a.riskLog(l),
		}
		if l.Severity != "" {
			r.Characterizations = &[]oscal.Characterization{{Origin: (*a.origins())[0], Facets: []oscal.Facet{{Name: "severity", System: oscalNS, Value: word(l.Severity)}}}}
		}
		switch {
		case status == riskRemediating:
			r.Remediations = &[]oscal.Response{{UUID: a.id("remediation", x.ID.String()), Lifecycle: "planned", Title: "Take it away", Description: marked(x.Reason), Origins: a.by(x)}}
		case x != nil && !x.Until.IsZero():
			r.Deadline = later(x.Until)
		}
		a.riskID[l.Key], a.riskStatus[l.Key] = r.UUID, status
		out = append(out, r)
	}
	return out
}

func statement(l *Line) string {
	switch {
	case l.Kind == Finding || l.Kind == Exception:
		return "A detection found it, and it is not resolved."
	case l.Kind == Credential:
		return "A secret that was not issued for a task works until somebody takes it away."
	case l.Suggest == SuggestRevoke:
		return "A privilege that nobody uses can only be misused."
	case l.Suggest == SuggestLook:
		return "Whether the privilege is needed does not follow from the evidence."
	}
	return "Its owner decided against it."
}

func (a *assessment) riskLog(l *Line) *oscal.RiskLog {
	var entries []oscal.RiskLogEntry
	for _, x := range a.Acts {
		if x.Line == l.Key {
			entries = append(entries, oscal.RiskLogEntry{
				UUID: a.id("risk-log", x.ID.String()), Title: word(x.Action), Description: marked(x.Reason), Start: x.Time.UTC(), LoggedBy: a.loggedBy(x), StatusChange: statusOf(l, x),
				Links: some(oscal.Link{Href: urn(x.EventID.String()), Rel: "evidence"}),
			})
		}
	}
	if entries == nil {
		return nil
	}
	return &oscal.RiskLog{Entries: entries}
}

func (a *assessment) by(x *Act) *[]oscal.Origin {
	return &[]oscal.Origin{{Actors: []oscal.OriginActor{{Type: "party", ActorUuid: a.party(roleDecider, x.ActorSub)}}}}
}

func (a *assessment) loggedBy(x *Act) *[]oscal.LoggedBy {
	return &[]oscal.LoggedBy{{PartyUuid: a.party(roleDecider, x.ActorSub), RoleId: roleDecider}}
}

// controlID names a control over all frameworks. NIST's own catalogue of SP 800-53 in
// OSCAL writes its ids in small letters.
func controlID(framework, id string) string {
	if framework == "NIST SP 800-53" {
		return token(strings.ToLower(id))
	}
	return token(strings.ToLower(framework + "-" + id))
}

func objectiveID(framework, id string) string { return controlID(framework, id) + "_custody" }

// assessed calls do for each control that there is evidence about.
func (a *assessment) assessed(do func(framework string, c *Control)) {
	for i := range a.Frameworks {
		for j := range a.Frameworks[i].Controls {
			if c := &a.Frameworks[i].Controls[j]; c.Assessed {
				do(a.Frameworks[i].Name, c)
			}
		}
	}
}

// objectives are what findings are about: of each control, the part that a review of
// access can see.
func (a *assessment) objectives() (out []oscal.LocalObjective) {
	a.assessed(func(framework string, c *Control) {
		out = append(out, oscal.LocalObjective{
			ControlId: controlID(framework, c.ID), Description: framework + " " + c.ID, Props: a.labels(framework, c),
			Parts: []oscal.Part{{ID: objectiveID(framework, c.ID), Name: "objective", Prose: fmt.Sprintf("As far as %s %s is about access of identities to tools: what stands is needed, somebody answers for it, and its evidence is complete.", framework, c.ID)}},
		})
	})
	return out
}

func (a *assessment) labels(framework string, c *Control) *[]oscal.Property {
	out := []oscal.Property{prop("framework", framework), prop("control", c.ID)}
	for _, alias := range c.Aliases {
		out = append(out, prop("alias", alias))
	}
	return &out
}

// reviewed are the controls with evidence by framework; the others are named as not
// assessed. OSCAL wants one at least.
func (a *assessment) reviewed() oscal.ReviewedControls {
	var out oscal.ReviewedControls
	var missing []string
	for _, f := range a.Frameworks {
		var with []oscal.AssessedControlsSelectControlById
		for _, c := range f.Controls {
			if !c.Assessed {
				missing = append(missing, f.Name+" "+c.ID)
				continue
			}
			with = append(with, oscal.AssessedControlsSelectControlById{ControlId: controlID(f.Name, c.ID)})
		}
		if len(with) > 0 {
			out.ControlSelections = append(out.ControlSelections, oscal.AssessedControls{Description: f.Name, Props: props(prop("framework", f.Name)), IncludeControls: &with})
		}
	}
	if len(missing) > 0 {
		out.Remarks = "There is no evidence about: " + strings.Join(missing, ", ") + "."
	}
	if out.ControlSelections == nil {
		out.ControlSelections = []oscal.AssessedControls{{Description: "None: the review has no line and no gap.", IncludeControls: &[]oscal.AssessedControlsSelectControlById{{ControlId: "none"}}}}
	}
	return out
}

// findings judge the objectives. One is met when all its lines were decided and
// nothing speaks against any that stays, and no evidence was missing.
func (a *assessment) findings() (out []oscal.Finding) {
	a.assessed(func(framework string, c *Control) {
		f := oscal.Finding{
			UUID: a.id("finding", framework, c.ID), Title: framework + " " + c.ID, Props: a.labels(framework, c), Origins: a.origins(),
			Description: fmt.Sprintf("%d lines: %d certified, %d to be revoked, %d excepted, %d open; %d gaps in the evidence.", c.Lines, c.Certified, c.Revoked, c.Excepted, c.Open, len(c.Gaps)),
			Target:      oscal.FindingTarget{Type: "objective-id", TargetId: objectiveID(framework, c.ID), Status: a.judge(c)},
		}
		var seen []oscal.RelatedObservation
		var risks []oscal.AssociatedRisk
		for _, key := range c.LineKeys {
			seen = append(seen, oscal.RelatedObservation{ObservationUuid: a.lineID[key]})
			if id := a.riskID[key]; id != "" {
				risks = append(risks, oscal.AssociatedRisk{RiskUuid: id})
			}
		}
		for _, i := range c.Gaps {
			seen = append(seen, oscal.RelatedObservation{ObservationUuid: a.gapID[i]})
		}
		f.RelatedObservations, f.RelatedRisks = some(seen...), some(risks...)
		out = append(out, f)
	})
	return out
}

// ended are the states of a gap that nobody has to do something about.
var ended = []string{worklist.Resolved, worklist.AutoResolved, worklist.Excepted}

func (a *assessment) judge(c *Control) oscal.ObjectiveStatus {
	fails := slices.ContainsFunc(c.LineKeys, func(key string) bool {
		return a.riskStatus[key] == riskOpen || a.riskStatus[key] == riskRemediating
	}) || slices.ContainsFunc(c.Gaps, func(i int) bool {
		return !slices.Contains(ended, a.Gaps[i].Status)
	})
	deviates := slices.ContainsFunc(c.LineKeys, func(key string) bool { return a.riskStatus[key] == riskDeviates })
	switch {
	case fails:
		return oscal.ObjectiveStatus{State: "not-satisfied", Reason: "fail"}
	case deviates || c.Open > 0 || len(c.Gaps) > 0:
		return oscal.ObjectiveStatus{State: "not-satisfied", Reason: "other", Remarks: "Nothing failed; but a line stands against the rule by decision, is not decided, or evidence was missing for a time."}
	}
	return oscal.ObjectiveStatus{State: "satisfied", Reason: "pass"}
}
