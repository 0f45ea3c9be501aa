// Package mcpconfig finds the credentials that are written into the
// configuration files of MCP clients: mcpServers of Claude Desktop, Claude Code
// and Cursor, servers of VS Code (mcp.servers in its settings), context_servers
// of Zed. Each one in env, headers, args, url or auth becomes a credential event
// of type credential.static, with its reference, its kind and its place.
//
// [Scan] reads the files of a host. [Parse] stands between whoever sends what was
// read (POST /v1/push/mcpconfig) and the gateway, as a plain function. A file has no
// time and no name, so a record is an envelope around one file:
//
//	{"path": "/home/alice/.cursor/mcp.json", "time": "2026-11-02T09:00:00Z", "host": "alice-laptop", "user": "alice", "config": {...}}
//
// time is required: when the file was read, or last changed. A reference to a
// secret kept elsewhere (${input:token}, ${env:X}, op://vault/item) is no finding,
// but the default inside ${X:-default} is.
//
// No value leaves this package in an event or an error, and in records of a scan only
// where no redaction key is given. A JSON Web Token
// becomes its SHA-256; any other secret may be guessable and becomes a reference
// under the redaction key. Without a key ([Parse], or New("", nil)) it is dropped, and
// its place is all that is known of it.
// It finds secrets by the names of their places and by known forms; it finds
// nothing in files that a configuration only points to (envFile, a script).
package mcpconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/schemas/event"
)

// Type is the source type.
const Type = "mcpconfig"

// Bounds of one record.
const (
	maxServers  = 512
	maxFindings = 512
)

// envelope is a record: one file and where it was found.
type envelope struct {
	// Path of the file on its host.
	Path string `json:"path,omitempty"`
	// Time when the file was read or last changed, RFC 3339. Required.
	Time string `json:"time"`
	// Host and User whose file it is, where the scanner knows them.
	Host string `json:"host,omitempty"`
	User string `json:"user,omitempty"`
	// Client whose file it is; empty is taken from a well-known path.
	Client string `json:"client,omitempty"`
	// Config is the file's JSON, without comments.
	Config json.RawMessage `json:"config,omitempty"`
	// Findings stand in the place of Config where a scanner has read the file on its
	// host ([Scan]), so that nothing else of it goes anywhere.
	Findings []placed `json:"findings,omitempty"`
}

// placed is a finding with its server.
type placed struct {
	Within string `json:"within"` // the list of servers, "mcpServers"
	Server string `json:"server"`
	URI    string `json:"uri,omitempty"` // of the server, without what may be secret in it
	Place  string `json:"place"`         // "env.GITHUB_TOKEN"
	Member string `json:"member"`
	Kind   string `json:"kind"`
	Secret string `json:"secret"` // itself, or its reference
}

// Parse is a [collector.Parse] without a key: low-entropy secrets are dropped.
func Parse(record []byte) ([]*event.Event, error) { return parser{}.parse(record) }

// New returns a [collector.Parse] that references low-entropy secrets under key,
// as redaction does: the same arguments give the same references.
func New(keyID string, key []byte) collector.Parse { return parser{keyID, key}.parse }

type parser struct {
	keyID string
	key   []byte
}

func (p parser) parse(record []byte) ([]*event.Event, error) {
	var in envelope
	if err := decode(record, &in, "the record"); err != nil {
		return nil, err
	}
	at, err := event.ParseTime(in.Time)
	if err != nil || at == 0 {
		return nil, event.Problems{{Field: "time", Reason: `want an RFC 3339 time; send a file as {"path", "time", "config"}`}}
	}
	found, err := in.found()
	if err != nil {
		return nil, err
	}
	var events []*event.Event
	for _, f := range found[:min(len(found), maxFindings)] {
		events = append(events, p.event(&in, at, f))
	}
	if left := len(found) - maxFindings; left > 0 {
		last := events[len(events)-1]
		last.Warnings = append(last.Warnings, fmt.Sprintf("%d findings more in the file: at most %d are kept", left, maxFindings))
	}
	for _, e := range events {
		e.Fit()
	}
	return events, nil
}

// found are the findings of a record, as it has them or as its file holds them.
func (in *envelope) found() ([]placed, error) {
	if in.Findings != nil {
		for i, f := range in.Findings {
			if f.Place == "" || f.Kind == "" || f.Secret == "" {
				return nil, event.Problems{{Field: fmt.Sprintf("findings[%d]", i), Reason: "want place, kind and secret"}}
			}
		}
		return in.Findings, nil
	}
	if len(in.Config) == 0 || in.Config[0] != '{' {
		return nil, event.Problems{{Field: "config", Reason: "want the JSON object that the file holds"}}
	}
	found, err := servers(in.Config)
	if err != nil {
		return nil, err
	}
	var all []placed
	for _, s := range found {
		all = append(all, s.placed(s.findings())...)
	}
	return all, nil
}

// decode reads JSON. Its errors name the field and neither value nor character.
func decode(b []byte, into any, what string) error {
	err := json.Unmarshal(b, into)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		return event.Problems{{Field: wrong.Field, Reason: "has another JSON type than it must"}}
	}
	return fmt.Errorf("%s is not JSON", what)
}

// config is the part of a file that lists servers.
type config struct {
	MCPServers map[string]json.RawMessage `json:"mcpServers"`
	Servers    map[string]json.RawMessage `json:"servers"`
	Context    map[string]json.RawMessage `json:"context_servers"`
	MCP        struct {
		Servers map[string]json.RawMessage `json:"servers"`
	} `json:"mcp"`
	// Projects of Claude Code's own file, by folder.
	Projects map[string]struct {
		MCPServers map[string]json.RawMessage `json:"mcpServers"`
	} `json:"projects"`
}

// servers lists the servers of a file, in the order of their names.
func servers(raw json.RawMessage) ([]*server, error) {
	var c config
	if err := decode(raw, &c, "config"); err != nil {
		return nil, err
	}
	var out []*server
	add := func(within string, members map[string]json.RawMessage) {
		for _, name := range slices.Sorted(maps.Keys(members)) {
			s := &server{name: name, within: within}
			if len(out) < maxServers && json.Unmarshal(members[name], &s.raw) == nil {
				out = append(out, s)
			}
		}
	}
	add("mcpServers", c.MCPServers)
	add("servers", c.Servers)
	add("mcp.servers", c.MCP.Servers)
	add("context_servers", c.Context)
	for _, folder := range slices.Sorted(maps.Keys(c.Projects)) {
		add("projects."+folder+".mcpServers", c.Projects[folder].MCPServers)
	}
	return out, nil
}
