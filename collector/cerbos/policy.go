package cerbos

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// noMatch is what Cerbos names as the policy when none matched.
const noMatch = "NO_MATCH"

// trail names the policies that took part in a call: all of its inputs together.
type trail struct {
	Effective map[string]struct {
		Attributes map[string]any `json:"attributes"`
	} `json:"effectivePolicies"`

	sorted  []string // read once for all events of the entry
	origins string
}

// names returns the policies' keys, sorted, and fills origins: each with its file.
func (t *trail) names() []string {
	if t.sorted != nil || len(t.Effective) == 0 {
		return t.sorted
	}
	t.sorted = slices.Sorted(maps.Keys(t.Effective))
	var origins []string
	for _, key := range t.sorted {
		if at, ok := t.Effective[key].Attributes["source"].(string); ok {
			key += " (" + at + ")"
		}
		origins = append(origins, key)
	}
	t.origins = joined(origins)
	return t.sorted
}

// source is where the policies came from.
type source struct {
	Git struct {
		Hash string `json:"hash"`
	} `json:"git"`
	EmbeddedPDP struct {
		CommitHash string `json:"commitHash"`
	} `json:"embeddedPdp"`
	Hub struct {
		Local    bundle `json:"localBundle"`
		Embedded bundle `json:"embeddedBundle"`
		Remote   bundle `json:"remoteBundle"`
	} `json:"hub"`
}

type bundle struct {
	BundleID string `json:"bundleId"`
}

func (s source) revision() string {
	for _, r := range []string{s.Git.Hash, s.Hub.Remote.BundleID, s.Hub.Local.BundleID, s.Hub.Embedded.BundleID, s.EmbeddedPDP.CommitHash} {
		if r != "" {
			return r
		}
	}
	return ""
}

// policy fills policy and version: the one that the answer names, else those
// that the audit trail names for the whole call.
func (in *entry) policy(e *event.Event, named, scope string) {
	effective := in.AuditTrail.names()
	set(e, "cerbos.effective_policies", in.AuditTrail.origins)
	set(e, "cerbos.scope", scope)
	switch {
	case named == noMatch:
		return
	case named == "" && len(effective) > 1:
		e.Warnings = append(e.Warnings, "the answer names no policy: decision.policy lists all that took part in the call")
		named = joined(effective)
		e.Decision.PolicyVersion = in.Policies.revision()
	case named == "" && len(effective) == 1:
		named = effective[0]
		fallthrough
	default:
		e.Decision.PolicyVersion = version(keyVersion(named), in.Policies.revision())
	}
	e.Decision.Policy = named
}

// keyVersion is the version in a policy's key, "resource.NAME.vVERSION/SCOPE".
func keyVersion(key string) string {
	key, _, _ = strings.Cut(key, "/")
	i := strings.LastIndex(key, ".v")
	if i < 0 {
		return ""
	}
	return key[i+len(".v"):]
}

func version(version, revision string) string {
	if version != "" && revision != "" {
		return version + "@" + revision
	}
	return version + revision
}

func set(e *event.Event, name, value string) {
	if value != "" {
		e.Attributes[name] = value
	}
}

// joined is the list as one text, not much longer than a field may be: Fit cuts
// it and says so.
func joined(list []string) string {
	var sb strings.Builder
	for i, s := range list {
		if i > 0 {
			sb.WriteByte(',')
		}
		sb.WriteString(s)
		if sb.Len() > event.MaxString {
			break
		}
	}
	return sb.String()
}

// text reads a string or a number of a claim or annotation.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		b, _ := json.Marshal(v) // a finite number always can
		return string(b)
	}
	return ""
}
