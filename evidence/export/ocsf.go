package export

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"net"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/event"
)

// OCSFVersion is the version of the Open Cybersecurity Schema Framework that is
// written: the first with the profile record_integrity and the object ai_agent.
const OCSFVersion = "1.9.0-dev"

// OCSF is an event as API Activity (class 6003) with the profiles ai_operation,
// record_integrity and trace. The subject is the user, the actor the ai_agent, a
// decision is among the actor's authorizations. What has no place of its own is in
// unmapped, under the names of Custody's event.
type OCSF struct {
	ActivityID   int             `json:"activity_id"`
	ActivityName string          `json:"activity_name"`
	CategoryUID  int             `json:"category_uid"`
	CategoryName string          `json:"category_name"`
	ClassUID     int             `json:"class_uid"`
	ClassName    string          `json:"class_name"`
	TypeUID      int             `json:"type_uid"`
	SeverityID   int             `json:"severity_id"`
	StatusID     int             `json:"status_id"`
	Status       string          `json:"status"`
	StatusDetail string          `json:"status_detail,omitempty"`
	Time         int64           `json:"time"` // milliseconds since 1970
	Duration     int64           `json:"duration,omitempty"`
	Metadata     ocsfMetadata    `json:"metadata"`
	Actor        ocsfActor       `json:"actor"`
	AIAgent      *ocsfAgent      `json:"ai_agent,omitempty"`
	API          ocsfAPI         `json:"api"`
	Src          ocsfEndpoint    `json:"src_endpoint"`
	Dst          *ocsfEndpoint   `json:"dst_endpoint,omitempty"`
	Resources    []ocsfResource  `json:"resources,omitempty"`
	Trace        *ocsfTrace      `json:"trace,omitempty"`
	Attestation  ocsfAttestation `json:"attestation"`
	Unmapped     map[string]any  `json:"unmapped"`
}

type ocsfMetadata struct {
	Version        string      `json:"version"`
	Product        ocsfProduct `json:"product"`
	Profiles       []string    `json:"profiles"`
	UID            string      `json:"uid"`
	TenantUID      string      `json:"tenant_uid"`
	EventCode      string      `json:"event_code,omitempty"`
	LogProvider    string      `json:"log_provider"`
	LogName        string      `json:"log_name"`
	LogVersion     string      `json:"log_version"`
	LoggedTime     int64       `json:"logged_time,omitempty"`
	OriginalUID    string      `json:"original_event_uid,omitempty"`
	Sequence       int64       `json:"sequence,omitempty"`
	CorrelationUID string      `json:"correlation_uid,omitempty"`
	Labels         []string    `json:"labels,omitempty"`
}

type ocsfProduct struct {
	Name       string `json:"name"`
	VendorName string `json:"vendor_name"`
}

type ocsfActor struct {
	User           *ocsfUser           `json:"user,omitempty"`
	Session        *ocsfSession        `json:"session,omitempty"`
	Authorizations []ocsfAuthorization `json:"authorizations,omitempty"`
	AppName        string              `json:"app_name,omitempty"`
	AppUID         string              `json:"app_uid,omitempty"`
	InvokedBy      string              `json:"invoked_by,omitempty"`
}

type ocsfUser struct {
	UID           string `json:"uid"`
	Name          string `json:"name,omitempty"`
	Domain        string `json:"domain,omitempty"` // the issuer
	TypeID        int    `json:"type_id"`
	Type          string `json:"type,omitempty"`
	CredentialUID string `json:"credential_uid,omitempty"` // the token's reference
}

type ocsfSession struct {
	UID    string `json:"uid"`
	Issuer string `json:"issuer,omitempty"`
}

type ocsfAuthorization struct {
	Decision string      `json:"decision"`
	Policy   *ocsfPolicy `json:"policy,omitempty"`
}

type ocsfPolicy struct {
	UID     string `json:"uid,omitempty"`
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
	Desc    string `json:"desc,omitempty"`
}

type ocsfAgent struct {
	UID     string `json:"uid"`
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
}

type ocsfAPI struct {
	Operation string        `json:"operation"`
	Request   *ocsfRequest  `json:"request,omitempty"`
	Response  *ocsfResponse `json:"response,omitempty"`
	Service   *ocsfService  `json:"service,omitempty"`
}

type ocsfRequest struct {
	UID string `json:"uid"`
}

type ocsfResponse struct {
	Code    int    `json:"code,omitempty"`
	Error   string `json:"error,omitempty"`
	Message string `json:"message,omitempty"`
}

type ocsfService struct {
	UID     string `json:"uid,omitempty"`
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
}

type ocsfEndpoint struct {
	UID     string `json:"uid,omitempty"`
	Name    string `json:"name,omitempty"`
	IP      string `json:"ip,omitempty"`
	Port    int    `json:"port,omitempty"`
	SvcName string `json:"svc_name,omitempty"`
}

type ocsfResource struct {
	UID   string    `json:"uid,omitempty"`
	Name  string    `json:"name,omitempty"`
	Type  string    `json:"type,omitempty"`
	Owner *ocsfUser `json:"owner,omitempty"`
}

type ocsfTrace struct {
	UID  string    `json:"uid"`
	Span *ocsfSpan `json:"span,omitempty"`
}

type ocsfSpan struct {
	UID       string `json:"uid"`
	ParentUID string `json:"parent_uid,omitempty"`
}

type ocsfAttestation struct {
	Fingerprint ocsfFingerprint `json:"fingerprint"`
}

type ocsfFingerprint struct {
	AlgorithmID int    `json:"algorithm_id"` // 3: SHA-256
	Algorithm   string `json:"algorithm"`
	Value       string `json:"value"`
}

// ocsfLines writes an OCSF event a line.
type ocsfLines struct{ encoder *json.Encoder }

func (o ocsfLines) Write(row *query.Row) error { return o.encoder.Encode(ToOCSF(row)) }
func (ocsfLines) Close() error                 { return nil }

// ToOCSF maps an event. The fingerprint is the RFC 6962 leaf hash of the event's
// exact bytes, which is what a proof of inclusion is about.
func ToOCSF(row *query.Row) *OCSF {
	e, leaf := row.Event, tlog.RecordHash(row.Raw)
	activity, name := activity(e)
	o := &OCSF{
		ActivityID: activity, ActivityName: name, CategoryUID: 6, CategoryName: "Application Activity", ClassUID: 6003, ClassName: "API Activity",
		TypeUID: 600300 + activity, SeverityID: 1, Time: int64(e.Time) / 1000, Duration: e.Tool.DurationMS,
		Metadata: ocsfMetadata{
			Version: OCSFVersion, Product: ocsfProduct{"Custody", "Custody"}, Profiles: []string{"ai_operation", "record_integrity", "trace"},
			UID: e.ID, TenantUID: e.Tenant, EventCode: cmp.Or(e.Type, string(e.Kind)), LogProvider: e.Source.ID, LogName: e.Source.Type, LogVersion: e.SchemaVersion,
			LoggedTime: int64(e.ObservedTime) / 1000, OriginalUID: e.Source.EventID, Sequence: e.Source.Sequence,
			CorrelationUID: cmp.Or(e.Correlation.TransactionID, e.Correlation.TaskID, e.Correlation.TraceID), Labels: e.Warnings,
		},
		Src:         endpoint(e.ClientAddress, cmp.Or(e.Actor.Sub, e.Client.ID, e.Client.Name, e.Subject.Sub, "unknown")),
		Attestation: ocsfAttestation{ocsfFingerprint{3, "SHA-256", hex.EncodeToString(leaf[:])}},
		Unmapped:    unmapped(row),
	}
	o.StatusID, o.Status = status(e)
	o.StatusDetail = cmp.Or(e.Decision.Reason, e.Tool.ErrorCode)
	o.who(e)
	o.what(e, &row.Facts)
	return o
}

// activity is the normalised one: reading is read, and what may change something
// is other, since a tool's name does not tell.
func activity(e *event.Event) (int, string) {
	switch {
	case e.Type == event.TypeToolList, e.Tool.Annotations["readOnlyHint"] && e.Kind == event.ToolInvocation:
		return 2, "Read"
	case e.Kind == event.TokenExchange, e.Type == event.TypeCredentialIssued:
		return 1, "Create"
	case e.Type == event.TypeCredentialRevoked, e.Type == event.TypeGrantRemoved:
		return 4, "Delete"
	case e.Type == event.TypeCredentialRotated, e.Type == event.TypeGrantChanged:
		return 3, "Update"
	}
	return 99, string(e.Kind)
}

func status(e *event.Event) (int, string) {
	if e.Outcome == event.Success && e.Decision.Effect != event.Deny {
		return 1, "Success"
	}
	return 2, "Failure"
}

func (o *OCSF) who(e *event.Event) {
	if e.Subject.Sub != "" {
		o.Actor.User = user(e.Subject)
		o.Actor.User.CredentialUID = e.Token.Ref
	}
	if e.Actor.Sub != "" {
		o.AIAgent = &ocsfAgent{UID: e.Actor.Sub, Name: e.Actor.Name}
		o.Actor.InvokedBy = e.Actor.Sub
	}
	o.Actor.AppName, o.Actor.AppUID = e.Client.Name, e.Client.ID
	if o.Actor.User == nil && o.Actor.InvokedBy == "" && o.Actor.AppName == "" && o.Actor.AppUID == "" {
		o.Actor.AppName = "unknown" // the class wants one of them
	}
	if e.Correlation.SessionID != "" {
		o.Actor.Session = &ocsfSession{UID: e.Correlation.SessionID, Issuer: e.Token.Iss}
	}
	if e.Decision.Effect != "" {
		a := ocsfAuthorization{Decision: string(e.Decision.Effect)}
		if e.Decision.Policy != "" || e.Decision.Engine != "" {
			a.Policy = &ocsfPolicy{UID: e.Decision.Policy, Name: cmp.Or(e.Decision.Rule, e.Decision.Policy, e.Decision.Engine), Version: e.Decision.PolicyVersion, Desc: e.Decision.Reason}
		}
		o.Actor.Authorizations = []ocsfAuthorization{a}
	}
}

func user(p event.Party) *ocsfUser {
	u := &ocsfUser{UID: p.Sub, Name: p.Name, Domain: p.Iss, Type: string(p.Type)}
	switch p.Type {
	case event.Human:
		u.TypeID, u.Type = 1, "User"
	case event.Service, event.Workload, event.MCP:
		u.TypeID, u.Type = 4, "Service"
	case event.Agent:
		u.TypeID = 99
	}
	return u
}

func (o *OCSF) what(e *event.Event, f *query.Facts) {
	o.API.Operation = cmp.Or(e.Tool.Name, e.Tool.ServerMethod, e.Exchange.GrantType, e.Type, string(e.Kind))
	if id := cmp.Or(e.Correlation.RequestID, e.Correlation.JSONRPCID); id != "" {
		o.API.Request = &ocsfRequest{id}
	}
	if e.Tool.ErrorCode != "" || e.Tool.ResultStatus != "" {
		code, _ := strconv.Atoi(e.Tool.ErrorCode)
		o.API.Response = &ocsfResponse{Code: code, Error: e.Tool.ErrorCode, Message: e.Tool.ResultStatus}
	}
	if e.Server != (event.Server{}) {
		o.API.Service = &ocsfService{UID: cmp.Or(e.Server.URI, e.Server.ID), Name: cmp.Or(e.Server.Name, e.Server.ID), Version: e.Server.Version}
		o.Dst = &ocsfEndpoint{UID: e.Server.ID, Name: cmp.Or(e.Server.ID, e.Server.Name), SvcName: e.Server.Name}
	}
	if e.Tool.Name != "" {
		r := ocsfResource{UID: e.Server.ID + "/" + e.Tool.Name, Name: e.Tool.Name, Type: "MCP tool"}
		if f.ServerOwner != "" {
			r.Owner = &ocsfUser{UID: f.ServerOwner}
		}
		o.Resources = append(o.Resources, r)
	}
	if c := e.Correlation; c.TraceID != "" {
		o.Trace = &ocsfTrace{UID: c.TraceID}
		if c.SpanID != "" {
			o.Trace.Span = &ocsfSpan{c.SpanID, c.ParentSpanID}
		}
	}
}

// endpoint reads "host" or "host:port"; an endpoint needs a name when there is none.
func endpoint(address, otherwise string) ocsfEndpoint {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	p := ocsfEndpoint{Name: host}
	if net.ParseIP(host) != nil {
		p = ocsfEndpoint{IP: host}
	}
	p.Port, _ = strconv.Atoi(port)
	if host == "" {
		p.Name = otherwise
	}
	return p
}

// unmapped is the event itself, and what was known of it.
func unmapped(row *query.Row) map[string]any {
	return map[string]any{"custody": map[string]any{"event": json.RawMessage(row.Raw), "facts": row.Facts}}
}
