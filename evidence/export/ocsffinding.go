package export

import (
	"fmt"
	"maps"
	"slices"

	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/worklist"
)

// OCSFFindingVersion is the released version of the schema that findings are
// written in.
const OCSFFindingVersion = "1.8.0"

// OCSFFinding is a finding as it stands, of the class that its rule says:
// Compliance Finding (2003), Detection Finding (2004) or IAM Analysis Finding
// (2008). What has no place of its own is in unmapped.
type OCSFFinding struct {
	ActivityID   int                 `json:"activity_id"`
	ActivityName string              `json:"activity_name"`
	CategoryUID  int                 `json:"category_uid"`
	CategoryName string              `json:"category_name"`
	ClassUID     int                 `json:"class_uid"`
	ClassName    string              `json:"class_name"`
	TypeUID      int                 `json:"type_uid"`
	SeverityID   int                 `json:"severity_id"`
	Severity     string              `json:"severity"`
	StatusID     int                 `json:"status_id"`
	Status       string              `json:"status"`
	StatusDetail string              `json:"status_detail"`
	Time         int64               `json:"time"` // of the change; milliseconds since 1970, as all times here
	Message      string              `json:"message"`
	Comment      string              `json:"comment,omitempty"` // why it was handled so
	Metadata     ocsfFindingMetadata `json:"metadata"`
	Info         ocsfFindingInfo     `json:"finding_info"`
	Resources    []ocsfResource      `json:"resources,omitempty"`
	Remediation  *ocsfRemediation    `json:"remediation,omitempty"`
	Evidences    []ocsfEvidence      `json:"evidences,omitempty"`                 // of 2003, 2004
	Compliance   *ocsfCompliance     `json:"compliance,omitempty"`                // of 2003
	User         *ocsfUser           `json:"user,omitempty"`                      // of 2008
	Activity     *ocsfMetrics        `json:"identity_activity_metrics,omitempty"` // of 2008
	Unmapped     map[string]any      `json:"unmapped"`
}

type ocsfFindingMetadata struct {
	Version        string      `json:"version"`
	Product        ocsfProduct `json:"product"`
	UID            string      `json:"uid"` // the same when the same is sent again
	TenantUID      string      `json:"tenant_uid"`
	EventCode      string      `json:"event_code"`
	CorrelationUID string      `json:"correlation_uid,omitempty"`
	LogName        string      `json:"log_name"`
}

type ocsfFindingInfo struct {
	UID           string         `json:"uid"`
	Title         string         `json:"title"`
	Desc          string         `json:"desc"`
	Types         []string       `json:"types"`
	Analytic      ocsfAnalytic   `json:"analytic"`
	CreatedTime   int64          `json:"created_time"`
	ModifiedTime  int64          `json:"modified_time"`
	FirstSeenTime int64          `json:"first_seen_time"`
	LastSeenTime  int64          `json:"last_seen_time"`
	DataSources   []string       `json:"data_sources,omitempty"`
	Events        []ocsfUID      `json:"related_events"`
	Tags          []ocsfKeyValue `json:"tags,omitempty"` // controls, by framework
	Attacks       []ocsfAttack   `json:"attacks,omitempty"`
}

type ocsfAnalytic struct {
	TypeID  int    `json:"type_id"`
	Type    string `json:"type"`
	UID     string `json:"uid"`
	Name    string `json:"name"`
	Version string `json:"version"`
}

type ocsfUID struct {
	UID string `json:"uid"`
}

type ocsfKeyValue struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

type ocsfAttack struct {
	Technique ocsfUID `json:"technique"`
}

type ocsfRemediation struct {
	Desc string `json:"desc"`
}

type ocsfEvidence struct {
	Actor ocsfEvidenceActor `json:"actor"`
	API   *ocsfAPI          `json:"api,omitempty"`
}

type ocsfEvidenceActor struct {
	User      *ocsfUser `json:"user,omitempty"`
	InvokedBy string    `json:"invoked_by,omitempty"`
}

type ocsfCompliance struct {
	Control      string   `json:"control"`
	Standards    []string `json:"standards"`
	Requirements []string `json:"requirements"`
	Desc         string   `json:"desc"`
	StatusID     int      `json:"status_id"`
	Status       string   `json:"status"`
}

type ocsfMetrics struct {
	FirstSeenTime int64 `json:"first_seen_time"`
	LastSeenTime  int64 `json:"last_seen_time"`
}

var classNames = map[int]string{detect.ComplianceFinding: "Compliance Finding", detect.DetectionFinding: "Detection Finding", detect.IAMAnalysisFinding: "IAM Analysis Finding"}

var severityNames = map[int]string{1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical"}

// ToOCSFFinding maps a finding as it stands; id names this state of it. The rule
// may be nil, when the installation has it no more.
func ToOCSFFinding(f *worklist.Finding, r *detect.Rule, id string) *OCSFFinding {
	if r == nil {
		r = &detect.Rule{ID: f.Rule, Title: f.Title, OCSF: detect.DetectionFinding}
	}
	activity, name := findingActivity(f)
	severity := 1 + slices.Index(detect.Severities, detect.Severity(f.Severity))
	o := &OCSFFinding{
		ActivityID: activity, ActivityName: name, CategoryUID: 2, CategoryName: "Findings", ClassUID: r.OCSF, ClassName: classNames[r.OCSF], TypeUID: 100*r.OCSF + activity,
		SeverityID: severity, Severity: severityNames[severity], StatusDetail: f.Status, Time: f.UpdatedTime.UnixMilli(), Message: f.Summary, Comment: f.Reason,
		Metadata: ocsfFindingMetadata{
			Version: OCSFFindingVersion, Product: ocsfProduct{"Custody", "Custody"}, UID: id, TenantUID: f.Tenant, EventCode: f.Rule, CorrelationUID: f.Chain, LogName: "findings",
		},
		Info:     findingInfo(f, r),
		Unmapped: map[string]any{"custody": map[string]any{"finding": f}},
	}
	o.StatusID, o.Status = findingStatus(f)
	if r.Respond != "" {
		o.Remediation = &ocsfRemediation{r.Respond}
	}
	if f.Server != "" {
		o.Resources = append(o.Resources, ocsfResource{UID: f.Server, Name: f.Server, Type: "MCP server"})
	}
	if f.Tool != "" {
		o.Resources = append(o.Resources, ocsfResource{UID: f.Server + "/" + f.Tool, Name: f.Tool, Type: "MCP tool"})
	}
	o.ofClass(f, r)
	return o
}

// ofClass fills in what one class has and others do not.
func (o *OCSFFinding) ofClass(f *worklist.Finding, r *detect.Rule) {
	switch o.ClassUID {
	case detect.IAMAnalysisFinding:
		o.Activity = &ocsfMetrics{f.FirstSeen.UnixMilli(), f.LastSeen.UnixMilli()}
		if f.Identity != "" {
			o.User = &ocsfUser{UID: f.Identity, CredentialUID: f.TokenRef}
		}
		return
	case detect.ComplianceFinding:
		c := &ocsfCompliance{Control: f.Rule, Standards: []string{}, Requirements: []string{}, Desc: r.Means, StatusID: 3, Status: "Fail"}
		if o.StatusID == statusResolved {
			c.StatusID, c.Status = 1, "Pass"
		}
		for _, framework := range slices.Sorted(maps.Keys(r.Controls)) {
			c.Standards, c.Requirements = append(c.Standards, framework), append(c.Requirements, r.Controls[framework]...)
		}
		o.Compliance = c
	}
	if f.Subject == "" && f.Actor == "" {
		return
	}
	e := ocsfEvidence{Actor: ocsfEvidenceActor{InvokedBy: f.Actor}}
	if f.Subject != "" {
		e.Actor.User = &ocsfUser{UID: f.Subject, CredentialUID: f.TokenRef}
	}
	if f.Tool != "" {
		e.API = &ocsfAPI{Operation: f.Tool}
		if f.Server != "" {
			e.API.Service = &ocsfService{UID: f.Server, Name: f.Server}
		}
	}
	o.Evidences = []ocsfEvidence{e}
}

func findingActivity(f *worklist.Finding) (int, string) {
	switch {
	case f.Status == worklist.Resolved || f.Status == worklist.AutoResolved:
		return 3, "Close"
	case f.Status == worklist.Open && f.UpdatedTime.Equal(f.OpenedTime):
		return 1, "Create"
	}
	return 2, "Update"
}

const statusResolved = 4

func findingStatus(f *worklist.Finding) (int, string) {
	switch f.Status {
	case worklist.Open:
		return 1, "New"
	case worklist.Acknowledged, worklist.Assigned:
		return 2, "In Progress"
	case worklist.Excepted:
		return 3, "Suppressed"
	}
	return statusResolved, "Resolved"
}

// atlas is the framework whose controls are techniques of attacks.
const atlas = "MITRE ATLAS"

func findingInfo(f *worklist.Finding, r *detect.Rule) ocsfFindingInfo {
	i := ocsfFindingInfo{
		UID: f.Key, Title: f.Title, Desc: f.Summary, Types: []string{f.Rule}, Analytic: ocsfAnalytic{1, "Rule", f.Rule, r.Title, fmt.Sprint(f.RuleVersion)},
		CreatedTime: f.OpenedTime.UnixMilli(), ModifiedTime: f.UpdatedTime.UnixMilli(), FirstSeenTime: f.FirstSeen.UnixMilli(), LastSeenTime: f.LastSeen.UnixMilli(),
		DataSources: f.CoverageSources, Events: []ocsfUID{},
	}
	for _, id := range f.Evidence {
		i.Events = append(i.Events, ocsfUID{id.String()})
	}
	for _, framework := range slices.Sorted(maps.Keys(r.Controls)) {
		if framework != atlas {
			i.Tags = append(i.Tags, ocsfKeyValue{framework, r.Controls[framework]})
			continue
		}
		for _, id := range r.Controls[framework] {
			i.Attacks = append(i.Attacks, ocsfAttack{ocsfUID{id}})
		}
	}
	return i
}
