// Package openbao reads the audit device of OpenBao and of HashiCorp Vault:
// JSON lines (file, socket, syslog or http device), two for each API request,
// type "request" when it was authorized or not, type "response" when it ended.
//
// It stands between the transport (custody tail, POST /v1/push/openbao) and the
// gateway, as a plain function. What the kinds stand for here:
//
//   - the request entry's policy_results is a permission_decision;
//   - the response entry is a credential event where a token or a leased secret
//     was issued, renewed or revoked, and a tool_invocation for everything else
//     an identity did: the operation is the method and the path is the tool,
//     since operation and path are what a policy allows. A token look-up is such
//     a use too: it changes no credential.
//
// Entries without any identity (unauthenticated paths, the login's request) and
// the help operation state no identity fact.
//
// It follows package audit of OpenBao 2.x, which is that of Vault 1.14 with the
// same member names; newer members are ignored. It guarantees that no secret,
// plain or hashed, is kept but as a token reference. A reference is the device's
// own HMAC: two devices, or two servers, give one token two references, and none
// equals the SHA-256 that other sources report.
package openbao

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// Type is the source type.
const Type = "openbao"

// Parse is a [collector.Parse]: one audit entry becomes at most two events.
func Parse(record []byte) ([]*event.Event, error) {
	var in entry
	if err := decode(record, &in); err != nil {
		return nil, err
	}
	if in.Type != "request" && in.Type != "response" {
		return nil, event.Problems{{Field: "type", Reason: "want request or response"}}
	}
	if in.Request.Operation == "help" || !in.concerns() {
		return nil, nil
	}
	at, err := event.ParseTime(in.Time)
	if err != nil || at == 0 {
		return nil, event.Problems{{Field: "time", Reason: "want an RFC 3339 time"}}
	}
	in.at = at
	var events []*event.Event
	if in.Type == "request" {
		events = in.decision()
	} else {
		events = in.response()
	}
	for _, e := range events {
		e.Fit()
	}
	return events, nil
}

// decode reads an entry; its errors name the field and no value.
func decode(record []byte, in *entry) error {
	if err := json.Unmarshal(record, in); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			got, _, _ := strings.Cut(wrong.Value, " ") // "number 1": the kind only
			return event.Problems{{Field: wrong.Field, Reason: fmt.Sprintf("is a JSON %s, which it cannot be", got)}}
		}
		return fmt.Errorf("not an audit entry: %w", err)
	}
	return nil
}

// concerns says whether the entry tells of an identity: who asked, or what was
// issued, or that somebody was refused.
func (in *entry) concerns() bool {
	a := in.Auth
	return a.EntityID != "" || a.DisplayName != "" || a.ClientToken != "" || a.Accessor != "" || a.PolicyResults != nil ||
		in.Request.ClientToken != "" || in.Response.Auth != nil || in.Response.WrapInfo != nil ||
		in.Error != "" || in.isLogin()
}

// isLogin recognises a request to an auth method by its path below the mount:
// the built-in methods have login, login/NAME, callback and oidc/callback.
func (in *entry) isLogin() bool {
	below, ok := strings.CutPrefix(in.path(), "auth/")
	if !ok {
		return false
	}
	if mount := strings.TrimPrefix(in.Request.MountPoint, "auth/"); mount != "" {
		below = strings.TrimPrefix(below, mount)
	} else { // older servers do not log it
		_, below, _ = strings.Cut(below, "/")
	}
	return below == "login" || strings.HasPrefix(below, "login/") || below == "callback" || below == "oidc/callback"
}

// common is what all events of an entry share. suffix tells them apart. The
// session is the token's accessor as the device logged it: its HMAC, or plain
// with hmac_accessor off. An accessor names a token and cannot be used as one.
func (in *entry) common(suffix string) *event.Event {
	r := in.Request
	e := &event.Event{
		Time:          in.at,
		ClientAddress: in.address(),
		UserAgent:     in.header("user-agent"),
		Correlation:   event.Correlation{RequestID: r.ID, SessionID: first(in.Auth.Accessor, r.ClientTokenAccessor)},
		Attributes:    map[string]string{},
	}
	if r.ID != "" {
		e.Source.EventID = r.ID + "/" + suffix
	}
	for name, text := range map[string]string{
		"vault.namespace": strings.TrimSuffix(r.Namespace.Path, "/"), "vault.mount_point": r.MountPoint, "vault.mount_type": r.MountType,
		"vault.forwarded_from": in.ForwardedFrom, "vault.client_certificate_serial": r.CertificateSerial,
	} {
		if text != "" {
			e.Attributes[name] = text
		}
	}
	in.who(&in.Auth, e)
	in.presented(e)
	return e
}
