package cerbos

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// decisions makes the events of a decision log entry.
func (in *entry) decisions() []*event.Event {
	if in.Plan != nil {
		return []*event.Event{in.planned()}
	}
	c := in.asked()
	var events []*event.Event
	outputs := c.align()
	for i := range max(len(c.Inputs), len(outputs)) {
		var asked input
		var answer output
		if i < len(c.Inputs) {
			asked = c.Inputs[i]
		}
		if i < len(outputs) {
			answer = outputs[i]
		}
		events = append(events, in.checked(i, asked, answer, c.Error)...)
	}
	if len(events) == 0 && c.Error != "" { // failed, and the inputs are masked
		e := in.decision("cerbos.check", "error")
		e.Warnings = append(e.Warnings, "the entry has no inputs: what was asked is lost at the source")
		fail(e, c.Error)
		events = []*event.Event{e}
	}
	if len(events) == 1 {
		events[0].Decision.ID = in.CallID
	}
	return events
}

// checked makes the events of the i-th input, one for each action.
func (in *entry) checked(i int, asked input, answer output, failure string) []*event.Event {
	actions := asked.Actions
	if len(actions) == 0 {
		actions = slices.Sorted(maps.Keys(answer.Actions))
	}
	common := in.decision("cerbos.check", "")
	in.question(common, asked)
	if asked.RequestID == "" && answer.RequestID != "" {
		common.Correlation.RequestID = answer.RequestID
	}
	if asked.Resource.ID == "" {
		common.Decision.Resource = answer.ResourceID
	}
	set(common, "cerbos.derived_roles", joined(answer.Derived))
	if failure != "" {
		fail(common, failure)
	}
	common.Fit()
	var events []*event.Event
	for j, action := range actions {
		e := clone(common)
		in.place(e, strconv.Itoa(i)+"/"+strconv.Itoa(j))
		in.asks(e, asked.Resource, action)
		in.answer(e, answer, action)
		events = append(events, e)
	}
	return events
}

// clone copies what an input's actions have in common: reading it again for each
// would take a hostile entry's size times its actions.
func clone(e *event.Event) *event.Event {
	c := *e
	c.Attributes = maps.Clone(e.Attributes)
	c.Warnings, c.Chain = slices.Clone(e.Warnings), slices.Clone(e.Chain)
	c.Token.Audience, c.Token.Scope = slices.Clone(e.Token.Audience), slices.Clone(e.Token.Scope)
	return &c
}

// align returns the outputs in the order of the inputs. The engine answers in
// that order; a mask may have removed some of either.
func (c *check) align() []output {
	if len(c.Outputs) == len(c.Inputs) || len(c.Inputs) == 0 {
		return c.Outputs
	}
	left := map[[2]string][]output{}
	for _, o := range c.Outputs {
		key := [2]string{o.RequestID, o.ResourceID}
		left[key] = append(left[key], o)
	}
	aligned := make([]output, len(c.Inputs))
	for i, asked := range c.Inputs {
		key := [2]string{asked.RequestID, asked.Resource.ID}
		if found := left[key]; len(found) > 0 {
			aligned[i], left[key] = found[0], found[1:]
		}
	}
	return aligned
}

// answer reads the effect of one action.
func (in *entry) answer(e *event.Event, o output, action string) {
	given, ok := o.Actions[action]
	in.policy(e, given.Policy, given.Scope)
	var rules []string
	for _, rule := range o.Outputs[:min(len(o.Outputs), event.MaxList)] {
		if rule.Action == action || rule.Action == "" {
			rules = append(rules, rule.Src)
		}
	}
	set(e, "cerbos.outputs", joined(rules))
	switch {
	case e.Decision.Effect == event.EffectError: // the whole call failed
	case !ok:
		fail(e, "")
		e.Warnings = append(e.Warnings, "the entry has no answer for this action")
	default:
		effect(e, given)
		doubt(e, len(o.Errors), len(o.Invalid))
	}
}

func effect(e *event.Event, given actionEffect) {
	d := &e.Decision
	switch enum(given.Effect) {
	case "EFFECT_ALLOW", "1":
		d.Effect, e.Outcome = event.Allow, event.Success
	case "EFFECT_DENY", "2":
		d.Effect, e.Outcome = event.Deny, event.Denied
		if given.Policy == noMatch {
			d.Reason = "no policy matched: denied by default"
		}
	case "EFFECT_NO_MATCH", "3":
		d.Effect, e.Outcome = event.NotApplicable, event.Failure
	default:
		d.Effect, e.Outcome = event.EffectError, event.Error
		e.Warnings = append(e.Warnings, "the answer has no effect")
	}
}

// doubt warns where the engine could not evaluate all that it should have.
func doubt(e *event.Event, failed, invalid int) {
	if failed > 0 {
		e.Warnings = append(e.Warnings, fmt.Sprintf("expressions of the policies that failed: %d; the answer may come from that", failed))
	}
	if invalid > 0 {
		e.Warnings = append(e.Warnings, fmt.Sprintf("errors of schema validation: %d; the answer may come from that", invalid))
	}
}

// fail is an error of the engine, which is no deny.
func fail(e *event.Event, reason string) {
	e.Decision.Effect, e.Outcome, e.Decision.Reason = event.EffectError, event.Error, reason
}

// planned makes the event of a query plan: one answer for all its actions.
func (in *entry) planned() *event.Event {
	p := in.Plan
	actions := p.Input.Actions
	if len(actions) == 0 && p.Input.Action != "" {
		actions = []string{p.Input.Action}
	}
	e := in.decision("cerbos.plan", "plan")
	e.Decision.ID = in.CallID
	in.question(e, p.Input)
	in.asks(e, p.Input.Resource, joined(actions))
	in.policy(e, "", p.Output.Scope)
	if e.Decision.PolicyVersion == "" {
		e.Decision.PolicyVersion = version(p.Output.PolicyVersion, in.Policies.revision())
	}
	if p.Error != "" {
		fail(e, p.Error)
		return e
	}
	switch enum(p.Output.Filter.Kind) {
	case "KIND_ALWAYS_ALLOWED", "1":
		e.Decision.Effect, e.Outcome = event.Allow, event.Success
	case "KIND_ALWAYS_DENIED", "2":
		e.Decision.Effect, e.Outcome = event.Deny, event.Denied
	case "KIND_CONDITIONAL", "3":
		// Neither allowed nor denied: that comes out for each resource, and where the
		// asking server applies the condition nobody logs it.
		e.Decision.Effect, e.Outcome = event.NotApplicable, event.Failure
		e.Decision.Reason = "conditional plan: allowed for resources that its condition matches, denied for others"
		set(e, "cerbos.plan", "conditional")
	default:
		fail(e, "")
		e.Warnings = append(e.Warnings, "the plan has no answer")
	}
	doubt(e, len(p.Output.Errors), len(p.Output.Invalid))
	return e
}

// enum is the text of an enumeration's name or number.
func enum(raw json.RawMessage) string { return strings.Trim(string(raw), `"`) }
