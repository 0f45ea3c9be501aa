// Package workload makes events like those of a busy installation, as many as one
// wants, for deploy/bench and deploy/faults.
package workload

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// Workload is a sequence of events: what agents do in tasks of ten events each.
// The i-th event is a function of the seed, the base and i only.
type Workload struct {
	Seed uint64
	Base time.Time     // of event 0
	Step time.Duration // between two events
}

// PerTask is how many events a task has: it starts, exchanges a token twice, asks
// for three decisions and makes the three calls, and ends.
const PerTask = 10

// task is what the events of one task have in common.
type task struct {
	tenant, human, agent, server string
	number                       uint64
	trace                        string
	refs                         [3]string // the human's token, the agent's, the server's
	rng                          *rand.Rand
}

var (
	tenants = []string{"acme", "globex", "initech"}
	servers = []string{"github-mcp", "deploy-mcp", "payments-mcp", "crm-mcp", "wiki-mcp", "mail-mcp", "warehouse-mcp", "ticket-mcp"}
	agents  = []string{"planner", "reviewer", "release-agent", "support-agent", "billing-agent", "research-agent"}
	tools   = []string{"merge_pull_request", "search_issues", "deploy_service", "refund_payment", "read_account", "send_mail", "query_table", "close_ticket"}
	scopes  = []string{"repo:read", "repo:write", "deploy:run", "payments:refund", "crm:read", "mail:send", "table:read", "ticket:write"}
)

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, (n+7)/8*8)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b[:n]
}

func ref(r *rand.Rand) string {
	return "sha256:" + base64.RawURLEncoding.EncodeToString(random(r, 32))
}

func (w *Workload) task(number uint64) *task {
	r := rand.New(rand.NewPCG(w.Seed, number))
	return &task{
		tenant: pick(r, tenants), human: fmt.Sprintf("user-%03d", r.IntN(500)), agent: pick(r, agents), server: pick(r, servers),
		number: number, trace: hex.EncodeToString(random(r, 16)), refs: [3]string{ref(r), ref(r), ref(r)}, rng: r,
	}
}

// Batch appends the events [from, to) to dst; both are multiples of PerTask.
func (w *Workload) Batch(dst []*event.Event, from, to uint64) []*event.Event {
	for i := from; i < to; i += PerTask {
		t := w.task(i / PerTask)
		for n := range PerTask {
			dst = append(dst, w.event(t, n, event.TimeOf(w.Base.Add(time.Duration(i+uint64(n))*w.Step))))
		}
	}
	return dst
}

// event makes the n-th event of a task.
func (w *Workload) event(t *task, n int, at event.Time) *event.Event {
	e := &event.Event{
		SchemaVersion: event.SchemaVersion, Time: at, ObservedTime: at.Add(time.Duration(20+t.rng.IntN(200)) * time.Millisecond),
		Tenant: t.tenant, Outcome: event.Success, Salt: base64.RawURLEncoding.EncodeToString(random(t.rng, 16)),
		Subject: event.Party{Iss: t.issuer(), Sub: t.human, Type: event.Human},
		Actor:   event.Party{Sub: t.agent, Type: event.Agent},
		Correlation: event.Correlation{TraceID: t.trace, SpanID: hex.EncodeToString(random(t.rng, 8)),
			TaskID: fmt.Sprintf("task-%d", t.number)},
	}
	e.Source.EventID = fmt.Sprintf("%d-%d", t.number, n)
	switch n {
	case 0, PerTask - 1:
		t.session(e, n == 0)
	case 1, 6:
		t.exchange(e, n > 1)
	case 2, 4, 7:
		t.decision(e, n)
	default:
		t.call(e, n)
	}
	e.Source.ID = t.tenant + "-" + e.Source.ID
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	return e
}

func (t *task) issuer() string   { return "https://idp." + t.tenant + ".example" }
func (t *task) resource() string { return "https://" + t.server + "." + t.tenant + ".example/mcp" }

func (t *task) session(e *event.Event, begins bool) {
	e.Kind, e.Source.ID, e.Source.Type = event.Session, "orchestrator", "native"
	e.Type = event.TypeSessionEnded
	if begins {
		e.Type = event.TypeSessionStarted
	}
	e.Client = event.Client{ID: t.agent + "-client"}
	e.Attributes = map[string]string{"queue": "default"}
}

func (t *task) exchange(e *event.Event, downstream bool) {
	e.Kind, e.Type, e.Source.ID, e.Source.Type = event.TokenExchange, event.TypeTokenExchange, "sts", "native"
	from, to, aud := t.refs[0], t.refs[1], t.resource()
	if downstream {
		from, to, aud = t.refs[1], t.refs[2], "https://api."+t.tenant+".example"
		e.Actor = event.Party{Sub: t.server, Type: event.MCP}
	}
	e.Exchange = event.Exchange{
		GrantType: "urn:ietf:params:oauth:grant-type:token-exchange", SubjectTokenRef: from, IssuedTokenRef: to,
		GrantedScope: t.scope(1), RequestedAudience: []string{aud}, ExpiresIn: 300,
	}
	e.Token = event.Token{Ref: from, Verified: event.TokenVerified, ExpiresAt: e.Time.Add(4 * time.Minute)}
}

func (t *task) decision(e *event.Event, n int) {
	e.Kind, e.Type, e.Source.ID, e.Source.Type = event.PermissionDecision, event.TypeDecision, "opa", "opa"
	e.Server = event.Server{ID: t.server}
	e.Tool = event.Tool{Name: t.tool(n)}
	e.Token = event.Token{Ref: t.refs[1]}
	e.Decision = event.Decision{ID: fmt.Sprintf("opa-%d-%d", t.number, n), Effect: event.Allow, Engine: "opa", Policy: "mcp/authz/allow", Action: "tools/call"}
	if t.rng.IntN(20) == 0 {
		e.Decision.Effect, e.Decision.Reason, e.Outcome = event.Deny, "the scope is missing", event.Denied
	}
	e.Correlation.JSONRPCID = fmt.Sprint(n)
}

func (t *task) call(e *event.Event, n int) {
	e.Kind, e.Type, e.Source.ID, e.Source.Type = event.ToolInvocation, event.TypeToolCall, t.server, "native"
	e.Chain = []event.Link{{Sub: t.agent, Type: event.Agent}}
	e.Server = event.Server{ID: t.server, URI: t.resource()}
	e.Token = event.Token{Ref: t.refs[1], Audience: []string{t.resource()}, Scope: t.scope(2), Verified: event.TokenVerified}
	e.Tool = event.Tool{Name: t.tool(n - 1), ServerMethod: "tools/call", ArgumentsHash: ref(t.rng), ArgumentNames: []string{"number", "repository"},
		ResultStatus: "ok", DurationMS: int64(5 + t.rng.IntN(900))}
	if t.rng.IntN(50) == 0 {
		e.Tool.ResultStatus, e.Tool.ErrorCode, e.Outcome = "tool_error", "-32000", event.Failure
	}
	e.Correlation.JSONRPCID, e.Correlation.DecisionID = fmt.Sprint(n-1), fmt.Sprintf("opa-%d-%d", t.number, n-1)
}

// tool and scope are the same whenever a task asks for them.
func (t *task) tool(n int) string { return tools[(int(t.number)+n)%len(tools)] }

func (t *task) scope(n int) []string {
	i := int(t.number) % (len(scopes) - 2)
	return scopes[i : i+n]
}
