package review

import (
	"fmt"
	"strings"
	"time"

	oscal "github.com/defenseunicorns/go-oscal/src/types/oscal-1-1-3"
)

// tool is the component that observed all this.
func (a *assessment) tool() oscal.SystemComponent {
	return oscal.SystemComponent{
		UUID: a.id("tool"), Type: "software", Title: "Custody", Description: "The audit pipeline that collected the evidence and froze the review.",
		Status: oscal.SystemComponentStatus{State: "operational"},
	}
}

func (a *assessment) origins() *[]oscal.Origin {
	return &[]oscal.Origin{{Actors: []oscal.OriginActor{{Type: "tool", ActorUuid: a.id("tool")}}}}
}

// observations are all that the review saw, with the ids of the events that it rests on.
func (a *assessment) observations() (out []oscal.Observation) {
	for _, l := range a.Lines {
		o := a.observed(marked(l.Summary), l.Evidence, "line", l.Key)
		a.lineID[l.Key] = o.UUID
		o.Title, o.Subjects, o.Props = marked(l.Name), a.subjects(l), a.lineProps(l)
		if l.Kind == Finding || l.Kind == Exception {
			o.Types = &[]string{"finding"}
		}
		if l.NotAssessed != "" {
			o.Remarks = marked("Not assessed: " + l.NotAssessed)
		}
		out = append(out, o)
	}
	for i, g := range a.Gaps {
		o := a.observed(marked(g.Summary), g.Evidence, "gap", fmt.Sprint(i))
		a.gapID = append(a.gapID, o.UUID)
		o.Title, o.Props = marked("Evidence is missing: "+g.Kind), props(prop("kind", "gap"), prop("name", g.Kind), prop("state", g.Status), prop("time", stamp(g.Time)))
		out = append(out, o)
	}
	return append(out, a.context()...)
}

// context are the observations beside lines and gaps.
func (a *assessment) context() (out []oscal.Observation) {
	for _, u := range a.Unowned {
		o := a.observed(marked(fmt.Sprintf("Nobody answers for %s %s, which %d lines are about.", u.Kind, u.Name, u.Lines)), nil, "unowned", u.Kind, u.Name)
		o.Title, o.Props = "An owner is missing", props(prop("kind", "unowned"), prop(u.Kind, u.Name))
		out = append(out, o)
	}
	for _, d := range a.Decisions {
		o := a.observed(marked(fmt.Sprintf("%d decisions %s by version %s of policy %s of %s.", d.Count, d.Effect, d.Version, d.Policy, d.Engine)), d.Evidence, "decisions", d.Engine, d.Policy, d.Version, d.Effect)
		o.Title, o.Props = "Decisions that were made", props(prop("kind", "decisions"), prop("engine", d.Engine), prop("policy", d.Policy), prop("policy-version", d.Version), prop("effect", d.Effect),
			prop("count", fmt.Sprint(d.Count)), prop("first", stamp(d.First)), prop("last", stamp(d.Last)))
		out = append(out, o)
	}
	for i := range a.Coverage {
		c := &a.Coverage[i]
		o := a.observed(marked(fmt.Sprintf("Source %s was heard of from %s to %s.", c.Source, stamp(c.First), stamp(c.Last))), nil, "coverage", fmt.Sprint(i))
		o.Title, o.Props = "A source that was heard of", props(prop("kind", "coverage"), prop("source", c.Source), prop("server", c.Server))
		out = append(out, o)
	}
	for _, s := range a.Samples {
		o := a.observed(fmt.Sprintf("The delegation chain of a call that was drawn by lot: depth %d, %d hops not seen.", s.Depth, s.Missing), s.Evidence, "sample", s.Event)
		o.Title, o.Props = "A chain of delegation", props(prop("kind", "sample"), prop("event", s.Event), prop("depth", fmt.Sprint(s.Depth)), prop("missing", fmt.Sprint(s.Missing)))
		o.Remarks = "    " + strings.ReplaceAll(strings.TrimRight(s.Tree, "\n"), "\n", "\n    ") // as Markdown has what is not to be read as such
		out = append(out, o)
	}
	return out
}

// observed is an observation of the tool by reading what is stored.
func (a *assessment) observed(description string, evidence []string, id ...string) oscal.Observation {
	var rests []oscal.RelevantEvidence
	for _, e := range evidence {
		rests = append(rests, oscal.RelevantEvidence{Href: urn(e), Description: "Event " + word(e)})
	}
	return oscal.Observation{
		UUID: a.id(append([]string{"observation"}, id...)...), Description: description, Methods: []string{"EXAMINE"}, Collected: a.Created.UTC(),
		Origins: a.origins(), RelevantEvidence: some(rests...),
	}
}

// subjects are the identity and the server that a line is about.
func (a *assessment) subjects(l *Line) *[]oscal.SubjectReference {
	var out []oscal.SubjectReference
	if l.Identity != "" {
		id := a.id("user", l.Iss, l.Identity)
		if !a.known[id] {
			a.known[id] = true
			a.users = append(a.users, oscal.SystemUser{UUID: id, Title: marked(l.Identity), Props: props(prop("sub", l.Identity), prop("iss", l.Iss))})
		}
		out = append(out, oscal.SubjectReference{Type: "user", SubjectUuid: id, Title: marked(l.Identity)})
	}
	if l.Server != "" {
		id := a.id("server", l.Server)
		if !a.known[id] {
			a.known[id] = true
			a.servers = append(a.servers, oscal.SystemComponent{UUID: id, Type: "service", Title: marked(l.Server), Description: marked("MCP server " + l.Server), Status: oscal.SystemComponentStatus{State: "operational"}})
		}
		out = append(out, oscal.SubjectReference{Type: "component", SubjectUuid: id, Title: marked(l.Server)})
	}
	return some(out...)
}

// lineProps are what a line says beside its summary, with what was decided.
func (a *assessment) lineProps(l *Line) *[]oscal.Property {
	out := []oscal.Property{
		prop("line", l.Key), prop("kind", l.Kind), prop("name", l.Name), prop("state", l.State), prop("severity", l.Severity), prop("suggested", l.Suggest), prop("owner", l.Owner), prop("owner-of", l.OwnerOf),
	}
	for _, f := range l.Facts {
		out = append(out, prop(f.Name, f.Value))
	}
	for _, key := range l.Findings {
		out = append(out, prop("finding", key))
	}
	if x := a.decided[l.Key]; x == nil {
		out = append(out, prop("decision", "open"))
	} else {
		out = append(out, prop("decision", x.Action), prop("decided-by", x.ActorSub), prop("decided-time", x.Time.UTC().Format(time.RFC3339Nano)), prop("decision-event", x.EventID.String()))
	}
	return props(out...)
}
