package openbao

import (
	"strings"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// response reads the response entry: what was issued or ended, else the use.
func (in *entry) response() []*event.Event {
	events := in.issued()
	if e := in.revoked(); e != nil {
		events = append(events, e)
	}
	if len(events) == 0 {
		events = append(events, in.use())
	}
	return events
}

// use is everything else that an identity did.
func (in *entry) use() *event.Event {
	e := in.common("response")
	e.Kind, e.Type = event.ToolInvocation, in.useType()
	e.Tool = event.Tool{Name: in.path(), ServerMethod: in.Request.Operation}
	e.Correlation.DecisionID = in.Request.ID
	switch {
	case strings.Contains(in.Error, denied):
		e.Outcome, e.Tool.ResultStatus, e.Tool.ErrorCode = event.Denied, "rpc_error", denied
	case in.Error != "":
		e.Outcome, e.Tool.ResultStatus, e.Tool.ErrorCode = event.Error, "rpc_error", reason(in.Error)
	case text(in.Response.Data, "error") != "": // the backend's own answer, hashed by the device
		e.Outcome, e.Tool.ResultStatus = event.Failure, "tool_error"
	default:
		e.Outcome, e.Tool.ResultStatus = event.Success, "ok"
	}
	if e.Subject == (event.Party{}) {
		e.Warnings = append(e.Warnings, "no subject: identity lost at the source")
	}
	if in.isLogin() {
		e.Correlation.DecisionID = "" // no policy is asked at a login
	}
	return e
}

func (in *entry) useType() string {
	path := in.path()
	switch {
	case in.isLogin():
		return "openbao.login"
	case strings.HasPrefix(path, "auth/token/lookup"):
		return "openbao.token.lookup"
	case strings.HasPrefix(path, "sys/wrapping/"):
		return "openbao.wrapping"
	}
	switch op := in.Request.Operation; op {
	case "create", "read", "update", "patch", "delete", "list", "scan":
		return "openbao." + op
	}
	return "openbao.other"
}

// issued are the credentials in the response: a token, a wrapping token, a
// leased secret.
func (in *entry) issued() []*event.Event {
	var events []*event.Event
	if in.Error != "" {
		return nil
	}
	if a := in.Response.Auth; a != nil {
		events = append(events, in.token(a))
	}
	if w := in.Response.WrapInfo; w != nil {
		events = append(events, in.wrapping(w))
	}
	if e := in.secret(); e != nil {
		events = append(events, e)
	}
	kept := events[:0]
	for _, e := range events {
		if e.Token.Ref != "" {
			kept = append(kept, e)
		}
	}
	return kept
}

// token is a login, a token that was created, or one whose life was renewed.
func (in *entry) token(a *auth) *event.Event {
	e := in.common("token")
	in.holder(a, e)
	e.Kind, e.Type, e.Outcome = event.Credential, event.TypeCredentialIssued, event.Success
	e.Tool = event.Tool{}
	switch path := in.path(); {
	case in.isLogin():
		e.Attributes["vault.operation"] = "login"
	case strings.HasPrefix(path, "auth/token/renew") || in.Request.Operation == "renew":
		e.Attributes["vault.operation"] = "renew"
		e.Type = "credential.renewed" // the same secret lives longer
	default:
		e.Attributes["vault.operation"] = "create"
	}
	e.Token.IssuedAt = issued(a.IssueTime)
	if e.Token.IssuedAt == 0 && e.Type == event.TypeCredentialIssued {
		e.Token.IssuedAt = in.at
	}
	e.Token.ExpiresAt = in.after(a.TTL)
	in.order(e)
	return e
}

// wrapping is the single-use token that a response was wrapped with. Who will
// unwrap it is not known: the subject is who asked for it.
func (in *entry) wrapping(w *wrapInfo) *event.Event {
	e := in.common("wrapping")
	e.Kind, e.Type, e.Outcome = event.Credential, event.TypeCredentialIssued, event.Success
	shown := e.Token.Ref
	e.Token = event.Token{TokenType: "vault:wrapping", IssuedAt: issued(w.CreationTime)}
	e.Token.Ref = ref(w.Token, e)
	e.Token.ExpiresAt = in.after(w.TTL)
	e.Correlation.SessionID = w.Accessor
	e.Attributes["vault.operation"] = "wrap"
	for name, value := range map[string]string{
		"vault.parent_token_ref": shown, "vault.creation_path": w.CreationPath, "vault.wrapped_accessor": w.WrappedAccessor,
	} {
		if value != "" {
			e.Attributes[name] = value
		}
	}
	in.order(e)
	return e
}

// secrets are the members of a response in which the built-in engines give a
// credential they made, the most specific first.
var secrets = []string{"secret_id", "secret_key", "service_account_token", "password", "token", "private_key", "security_token", "client_secret"}

// secret is a credential that the server made: with a lease for another system,
// the secret id of an AppRole, an identity token. A stored secret that is read is
// a use.
func (in *entry) secret() *event.Event {
	leased := in.Response.Secret != nil && in.Response.Secret.LeaseID != ""
	made := leased || strings.HasSuffix(in.path(), "/secret-id") || strings.HasPrefix(in.path(), "identity/oidc/token/")
	if !made || in.Request.MountType == "kv" {
		return nil
	}
	for _, name := range secrets {
		given := text(in.Response.Data, name)
		if given == "" {
			continue
		}
		e := in.common("secret")
		shown := e.Token.Ref
		e.Kind, e.Type, e.Outcome = event.Credential, event.TypeCredentialIssued, event.Success
		e.Token = event.Token{Ref: ref(given, e), IssuedAt: in.at, TokenType: "vault:" + name}
		e.Attributes["vault.operation"] = "secret"
		e.Attributes["vault.path"] = in.path()
		if shown != "" {
			e.Attributes["vault.parent_token_ref"] = shown
		}
		if leased {
			e.Attributes["vault.lease_id"] = in.Response.Secret.LeaseID
		}
		return e
	}
	return nil
}

// revoked is the end of a token. Only its accessor may be known: then it is the
// end of the session that the accessor names.
func (in *entry) revoked() *event.Event {
	below, ok := strings.CutPrefix(in.path(), "auth/token/revoke")
	if !ok || in.Error != "" || text(in.Response.Data, "error") != "" {
		return nil
	}
	e := in.common("revoked")
	shown := e.Token
	e.Outcome = event.Success
	e.Attributes["vault.operation"] = "revoke" + below
	if e.Subject.Sub != "" && below != "-self" {
		e.Actor, e.Subject = e.Subject, event.Party{} // the caller is not who loses the token
	}
	if below == "-self" {
		e.Token.Ref = first(shown.Ref, ref(in.Request.ClientToken, e))
	} else {
		e.Token, e.Correlation.SessionID = event.Token{}, ""
		e.Token.Ref = ref(text(in.Request.Data, "token"), e)
	}
	if e.Token.Ref != "" {
		e.Kind, e.Type = event.Credential, event.TypeCredentialRevoked
		return e
	}
	if e.Correlation.SessionID = text(in.Request.Data, "accessor"); e.Correlation.SessionID == "" {
		return nil
	}
	e.Kind, e.Type = event.Session, event.TypeSessionRevoked
	return e
}

// after is the end of a lifetime in seconds that begins now; 0 has no end.
func (in *entry) after(seconds int64) event.Time {
	const longest = 100 * 365 * 24 * 3600
	if seconds <= 0 || seconds > longest {
		return 0
	}
	return in.at.Add(time.Duration(seconds) * time.Second)
}

// order keeps an end that is not before the beginning: the clocks of two nodes differ.
func (in *entry) order(e *event.Event) {
	if e.Token.ExpiresAt != 0 && e.Token.ExpiresAt < e.Token.IssuedAt {
		e.Token.IssuedAt = 0
		e.Warnings = append(e.Warnings, "the token's time of issue is after its end; left out")
	}
}
