package story

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/custody-audit/custody/schemas/event"
)

// use is one use of a tool: what its decision and its call have in common.
type use struct {
	token     token
	at        event.Server
	tool      string
	arguments string // in the form of RFC 8785
	number    int64  // JSON-RPC id
}

func (t *tenant) use(k token, at event.Server, tool, arguments string) use {
	t.calls++
	return use{k, at, tool, arguments, t.calls}
}

// decide reports what the policy engine answered when asked about the use.
func (t *tenant) decide(name string, u use, effect event.Effect, rule, reason string) {
	e := t.used(u, event.PermissionDecision, event.TypeDecision)
	e.Decision = event.Decision{
		Effect: effect, Engine: t.engine, Policy: "mcp/tools", PolicyVersion: "2026-09-28", Rule: rule, Reason: reason,
		Action: u.tool, Resource: u.at.URI,
	}
	switch effect {
	case event.Deny:
		e.Outcome = event.Denied
	case event.EffectError:
		e.Outcome = event.Error
	}
	if t.engine == "opa" {
		e.Decision.ID = t.decisionID(name)
		e.Correlation.DecisionID = e.Decision.ID
	}
	t.trace(name, e)
	t.add(name, t.pdp, e)
}

func (t *tenant) decisionID(name string) string { return "opa-" + digest(name, 6) }

// call reports the call as its server saw it. by names the decision that the
// server asked for; where the tenant's servers record it the call carries it.
func (t *tenant) call(name, by string, u use) *event.Event {
	e := t.used(u, event.ToolInvocation, event.TypeToolCall)
	var arguments map[string]any
	if err := json.Unmarshal([]byte(u.arguments), &arguments); err != nil {
		panic("story: arguments of " + name + ": " + err.Error())
	}
	sum := sha256.Sum256([]byte(u.arguments))
	e.Tool = event.Tool{
		Name: u.tool, ServerMethod: "tools/call", ResultStatus: "ok",
		ArgumentsHash: "sha256:" + base64.RawURLEncoding.EncodeToString(sum[:]), ArgumentNames: slices.Sorted(maps.Keys(arguments)),
		DurationMS: 40 + 7*u.number, RequestBytes: int64(len(u.arguments)), ResponseBytes: 512 + 31*u.number,
	}
	if by != "" && t.decisions {
		e.Correlation.DecisionID = t.decisionID(by)
	}
	e.Client.Name, e.Client.Version = "mcp-go", "1.8.0"
	t.trace(name, e)
	return t.add(name, t.reporter[u.at.ID], e)
}

// refused turns a call into one that its server did not carry out.
func refused(e *event.Event, code string) {
	e.Outcome, e.Tool.ResultStatus, e.Tool.ErrorCode, e.Tool.ResponseBytes = event.Denied, "rpc_error", code, 0
}

// allowed is the everyday pair: a decision that allows, and the call.
func (t *tenant) allowed(name string, u use) *event.Event {
	t.decide(name+"-decision", u, event.Allow, "scope_granted", "")
	return t.call(name+"-call", name+"-decision", u)
}

func (t *tenant) used(u use, kind event.Kind, typ string) *event.Event {
	e := &event.Event{Kind: kind, Type: typ, Server: u.at}
	t.bears(e, u.token)
	e.Tool.Name = u.tool
	e.Correlation.JSONRPCID = strconv.FormatInt(u.number, 10)
	e.Correlation.TaskID = t.task()
	return e
}

// session reports that the chapter's task began or ended.
func (t *tenant) session(name, typ string, from source, who, on event.Party) {
	e := &event.Event{Kind: event.Session, Type: typ, Subject: on, Actor: who}
	e.Correlation.TaskID = t.task()
	t.trace(name, e)
	t.add(name, from, e)
}
