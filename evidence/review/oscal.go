package review

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/mail"
	"strings"
	"time"

	oscal "github.com/defenseunicorns/go-oscal/src/types/oscal-1-1-3"
	"github.com/google/uuid"
)

// oscalNS is the namespace of the properties that OSCAL has no name for.
const oscalNS = "https://custody-audit.github.io/custody/ns/oscal"

// The roles of parties in an OSCAL document.
const (
	roleCreator = "creator"     // who froze the review; the id is OSCAL's own
	roleOwner   = "asset-owner" // who answers for lines; likewise
	roleDecider = "reviewer"    // who decided about a line
)

// assessment is a report on its way to OSCAL Assessment Results. What the report
// says once, the document says once: a line of the review is an observation, a line
// that something speaks against is a risk, and a control with lines or gaps is a
// finding about an objective that the document defines itself, since only one of the
// frameworks has a catalogue in OSCAL. Ids are version 5 of the review's id and of
// what they name, so that the same review is the same bytes.
type assessment struct {
	*Report
	decided map[string]*Act
	parties []oscal.Party
	roles   map[string][]string // of parties, by role
	users   []oscal.SystemUser
	servers []oscal.SystemComponent
	known   map[string]bool // ids of parties, users and servers
	// what controls refer to
	lineID, riskID map[string]string // by key of the line
	gapID          []string
	riskStatus     map[string]string
}

func (r *Report) writeOSCAL(w io.Writer) error {
	a := &assessment{Report: r, decided: r.Decided(), roles: map[string][]string{}, known: map[string]bool{}, lineID: map[string]string{}, riskID: map[string]string{}, riskStatus: map[string]string{}}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(oscal.OscalModels{AssessmentResults: a.document()})
}

func (a *assessment) document() *oscal.AssessmentResults {
	creator := a.party(roleCreator, a.CreatedBy)
	for _, l := range a.Lines {
		if l.Owner != "" {
			a.party(roleOwner, l.Owner)
		}
	}
	plan := a.id("plan")
	result := a.result()
	return &oscal.AssessmentResults{
		UUID: a.id("assessment-results"),
		Metadata: oscal.Metadata{
			Title: marked("Access review " + a.Name), LastModified: a.AsOf.UTC(), Version: a.AsOf.UTC().Format(time.RFC3339Nano), OscalVersion: oscal.Version,
			DocumentIds: &[]oscal.DocumentId{{Scheme: oscalNS + "/review", Identifier: a.ID.String()}},
			Roles: &[]oscal.Role{
				{ID: roleCreator, Title: "Who froze the review"}, {ID: roleOwner, Title: "Who answers for what is reviewed"}, {ID: roleDecider, Title: "Who decided about it"},
			},
			Parties:            &a.parties,
			ResponsibleParties: a.responsible(),
			Props:              props(prop("state", a.State), prop("tenant", a.Scope.Tenant), prop("registry-version", a.Registry)),
		},
		ImportAp:         oscal.ImportAp{Href: "#" + plan, Remarks: "A review has no plan of its own: its scope is what was planned."},
		LocalDefinitions: &oscal.LocalDefinitions{ObjectivesAndMethods: some(a.objectives()...)},
		Results:          []oscal.Result{result},
		BackMatter:       a.backMatter(plan, creator),
	}
}

// result is the one of the document; what is made of the lines comes before what
// refers to it.
func (a *assessment) result() oscal.Result {
	observations := a.observations()
	risks := a.risks()
	return oscal.Result{
		UUID: a.id("result"), Title: marked(a.Name), Start: a.Scope.From.UTC(), End: later(a.Scope.To),
		Description: fmt.Sprintf("What stood on %s for tenant %s, judged by its use in the %d days before. It was frozen: digest SHA-256 %s, which the log has in event %s.",
			stamp(a.Created), marked(a.Scope.Tenant), a.Scope.WindowDays, a.Digest, a.EventID),
		Props: props(prop("digest", a.Digest), prop("unwitnessed", fmt.Sprint(a.IsUnwitnessed)), prop("owner", a.Scope.Owner), prop("server", a.Scope.Server),
			prop("window-days", fmt.Sprint(a.Scope.WindowDays))),
		Links:            some(oscal.Link{Href: urn(a.EventID.String()), Rel: "evidence", Text: "event of the review's creation"}),
		LocalDefinitions: &oscal.LocalDefinitions{Components: some(append([]oscal.SystemComponent{a.tool()}, a.servers...)...), Users: some(a.users...)},
		ReviewedControls: a.reviewed(),
		Attestations:     a.attestations(),
		AssessmentLog:    a.log(),
		Observations:     some(observations...),
		Risks:            some(risks...),
		Findings:         some(a.findings()...),
		Remarks:          a.limits(),
	}
}

// limits is what the review could not assess, and what its evidence does not prove.
func (a *assessment) limits() string {
	var b strings.Builder
	for _, part := range []struct {
		title string
		list  []string
	}{{"Not assessed:", a.NotAssessed}, {"Not proven:", a.NotProven}} {
		if len(part.list) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s\n\n", part.title)
		for _, s := range part.list {
			fmt.Fprintf(&b, "- %s\n", marked(s))
		}
		b.WriteString("\n")
	}
	return strings.TrimSpace(b.String())
}

// log is what was done in the review, in its order.
func (a *assessment) log() *oscal.AssessmentLog {
	entries := []oscal.AssessmentLogEntry{{
		UUID: a.id("log", "created"), Title: "created", Start: a.Created.UTC(), LoggedBy: &[]oscal.LoggedBy{{PartyUuid: a.party(roleCreator, a.CreatedBy), RoleId: roleCreator}},
		Links: some(oscal.Link{Href: urn(a.EventID.String()), Rel: "evidence"}),
	}}
	for _, x := range a.Acts {
		entries = append(entries, oscal.AssessmentLogEntry{
			UUID: a.id("log", x.ID.String()), Title: word(x.Action), Description: marked(x.Reason), Start: x.Time.UTC(), LoggedBy: a.loggedBy(x),
			Links: some(oscal.Link{Href: urn(x.EventID.String()), Rel: "evidence"}), Props: props(prop("line", x.Line)),
		})
	}
	return &oscal.AssessmentLog{Entries: entries}
}

// attestations is what who closed the review said.
func (a *assessment) attestations() *[]oscal.AttestationStatements {
	x := a.Closed()
	if x == nil {
		return nil
	}
	return &[]oscal.AttestationStatements{{
		Parts:              []oscal.AssessmentPart{{UUID: a.id("attestation", x.ID.String()), Ns: oscalNS, Name: "closing-statement", Prose: marked(x.Reason), Links: some(oscal.Link{Href: urn(x.EventID.String()), Rel: "evidence"})}},
		ResponsibleParties: &[]oscal.ResponsibleParty{{RoleId: roleDecider, PartyUuids: []string{a.party(roleDecider, x.ActorSub)}}},
	}}
}

// backMatter has what the document refers to: its scope, and the signed checkpoints.
func (a *assessment) backMatter(plan, creator string) *oscal.BackMatter {
	out := []oscal.Resource{{
		UUID: plan, Title: "Scope of the review",
		Description: fmt.Sprintf("Tenant %s from %s to %s. Party %s asked for it.", marked(a.Scope.Tenant), stamp(a.Scope.From), stamp(a.Scope.To), creator),
		Props:       props(prop("tenant", a.Scope.Tenant), prop("owner", a.Scope.Owner), prop("server", a.Scope.Server)),
	}}
	for _, c := range a.Checkpoints {
		name := strings.NewReplacer("/", "-", ":", "-").Replace(c.Origin)
		out = append(out, oscal.Resource{
			UUID: a.id("checkpoint", c.Origin), Title: marked("Checkpoint of " + c.Origin), Description: fmt.Sprintf("A signed note (c2sp.org/tlog-checkpoint) over the first %d records.", c.Size),
			Props:  props(prop("origin", c.Origin), prop("size", fmt.Sprint(c.Size)), prop("witnesses", strings.Join(c.Witnesses, " "))),
			Base64: &oscal.Base64{Filename: word(name) + ".checkpoint", MediaType: "text/plain", Value: base64.StdEncoding.EncodeToString([]byte(c.Note))},
		})
	}
	return &oscal.BackMatter{Resources: &out}
}

// party is the id of somebody by name, who has the role from now on.
func (a *assessment) party(role, name string) string {
	id := a.id("party", name)
	if !a.known[id] {
		a.known[id] = true
		p := oscal.Party{UUID: id, Type: "organization", Name: word(name)}
		if m, err := mail.ParseAddress(name); err == nil && m.Address == name {
			p.Type, p.EmailAddresses = "person", &[]string{name}
		}
		a.parties = append(a.parties, p)
	}
	if k := role + " " + id; !a.known[k] {
		a.known[k] = true
		a.roles[role] = append(a.roles[role], id)
	}
	return id
}

func (a *assessment) responsible() *[]oscal.ResponsibleParty {
	var out []oscal.ResponsibleParty
	for _, role := range []string{roleCreator, roleOwner} {
		if ids := a.roles[role]; len(ids) > 0 {
			out = append(out, oscal.ResponsibleParty{RoleId: role, PartyUuids: ids})
		}
	}
	return some(out...)
}

// id is the same for the same parts in the same review.
func (a *assessment) id(parts ...string) string {
	return uuid.NewSHA1(a.ID, []byte(strings.Join(parts, "\x00"))).String()
}

// urn is how evidence is named: an id that "custody search id:" finds.
func urn(id string) string { return "urn:uuid:" + id }

func later(t time.Time) *time.Time {
	t = t.UTC()
	return &t
}
