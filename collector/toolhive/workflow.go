package toolhive

import "github.com/custody-audit/custody/schemas/event"

const workflowPrefix = "vmcp_workflow_"

// workflow states the start and end of a composite workflow, and the tools it
// calls. ToolHive names the tool of a step when it starts and only then, so a
// step's end says nothing that could be kept.
func (r *record) workflow(outcome event.Outcome) []*event.Event {
	var e *event.Event
	switch r.Type {
	case "vmcp_workflow_started":
		e = &event.Event{Kind: event.Session, Type: event.TypeSessionStarted, Outcome: outcome}
	case "vmcp_workflow_completed", "vmcp_workflow_failed", "vmcp_workflow_timed_out":
		e = &event.Event{Kind: event.Session, Type: event.TypeSessionEnded, Outcome: outcome}
		if r.Type == "vmcp_workflow_timed_out" {
			e.SetAttribute("toolhive.workflow.end", "timed out")
		}
	case "vmcp_workflow_step_started":
		e = r.step(outcome)
	}
	if e == nil || r.Target.WorkflowID == "" && e.Kind == event.Session {
		return nil
	}
	e.Correlation.TaskID = r.Target.WorkflowID
	e.SetAttribute("toolhive.workflow.name", r.Target.WorkflowName)
	e.SetAttribute("toolhive.workflow.step", r.Target.StepID)
	return []*event.Event{e}
}

func (r *record) step(outcome event.Outcome) *event.Event {
	if r.Target.ToolName == "" {
		return nil
	}
	return &event.Event{
		Kind: event.ToolInvocation, Type: "toolhive.workflow.step", Outcome: outcome,
		Tool:     event.Tool{Name: r.Target.ToolName, ServerMethod: "tools/call"},
		Warnings: []string{"the step's tool was called: ToolHive does not tell how it ended"},
	}
}
