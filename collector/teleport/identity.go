package teleport

import (
	"encoding/json"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// identity is who holds the certificate: Teleport's UserMetadata and the
// session's. A user's name is unique within its cluster.
type identity struct {
	User             string          `json:"user"`
	UserKind         json.RawMessage `json:"user_kind"` // the number, or the name of the enumeration
	UserCluster      string          `json:"user_cluster_name"`
	Impersonator     string          `json:"impersonator"`
	AccessRequests   []string        `json:"access_requests"`
	UserRoles        []string        `json:"user_roles"`
	BotName          string          `json:"bot_name"`
	BotInstanceID    string          `json:"bot_instance_id"`
	BotScope         string          `json:"bot_scope_of_origin"`
	BeamID           string          `json:"beam_id"`
	WithMFA          string          `json:"with_mfa"`
	PrivateKeyPolicy string          `json:"private_key_policy"`
	TrustedDevice    struct {
		DeviceID string `json:"device_id"`
	} `json:"trusted_device"`
}

// botPrefix starts the user name of a Machine ID bot.
const botPrefix = "bot-"

// who fills the subject, and the actor where another user impersonates it. A bot
// that takes on roles is its own impersonator: that is no delegation.
func (in *entry) who(e *event.Event) {
	cluster := in.UserCluster
	if cluster == "" {
		cluster = in.ClusterName
	}
	switch in.User {
	case "":
		e.Warnings = append(e.Warnings, "no user: identity lost at the source")
	case "anonymous":
		e.Warnings = append(e.Warnings, `user "anonymous" is no identity`)
	default:
		e.Subject = event.Party{Iss: cluster, Sub: in.User, Type: in.partyType(), Name: in.BotName}
	}
	if in.Impersonator == "" || in.Impersonator == in.User {
		return
	}
	e.Actor = event.Party{Iss: cluster, Sub: in.Impersonator}
	if in.BotName != "" && in.Impersonator == botPrefix+in.BotName {
		// The bot's name and kind are those of the one who acts.
		e.Actor.Type, e.Actor.Name = event.Workload, in.BotName
		e.Subject.Type, e.Subject.Name = "", ""
	}
	e.Chain = []event.Link{{Iss: e.Actor.Iss, Sub: e.Actor.Sub, Type: e.Actor.Type}}
}

// partyType follows user_kind. Teleport says "human" of every certificate that
// is no bot's, so of an agent too that uses a person's.
func (in *entry) partyType() event.PartyType {
	switch strings.Trim(string(in.UserKind), `"`) {
	case "1", "USER_KIND_HUMAN":
		return event.Human
	case "2", "USER_KIND_BOT":
		return event.Workload
	case "3", "USER_KIND_SYSTEM":
		return event.Service
	}
	if in.BotName != "" {
		return event.Workload
	}
	return ""
}

// client reads what the MCP client says of itself, "claude-ai/0.1.0".
func (in *entry) client(e *event.Event) {
	e.Client.Name, e.Client.Version = nameAndVersion(in.ClientInfo)
}

// server is the app that Teleport protects; its name is unique in its cluster.
func (in *entry) server(e *event.Event) {
	e.Server = event.Server{ID: in.AppName, URI: appURI(in.AppURI)}
	e.Server.Name, e.Server.Version = nameAndVersion(in.ServerInfo)
}

// appURI leaves out the URI of a server on standard input and output, which is
// the same for all, and what may be secret: userinfo, query and fragment.
func appURI(uri string) string {
	if strings.HasPrefix(uri, "mcp+stdio:") {
		return ""
	}
	return bareURI(uri)
}

func bareURI(uri string) string {
	if i := strings.IndexAny(uri, "?#"); i >= 0 {
		uri = uri[:i]
	}
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok {
		return uri
	}
	authority, path, slash := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
	}
	if slash {
		path = "/" + path
	}
	return scheme + "://" + authority + path
}

func nameAndVersion(info string) (name, version string) {
	i := strings.LastIndexByte(info, '/')
	if i < 0 {
		return info, ""
	}
	return info[:i], info[i+1:]
}
