package workload

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// Lineage is a workload of deep delegations, for measuring questions: each task
// has a hundred events, in which a token is exchanged five times, from server to
// server, and used at each.
type Lineage struct {
	Seed uint64
	Base time.Time     // of task 0
	Step time.Duration // between two tasks
}

// Of a task of a Lineage.
const (
	LineageEvents = 100
	LineageDepth  = 5
	usesOfHop     = 9
)

// Task returns the events of a task, in order of time, a second apart.
func (l *Lineage) Task(number uint64) []*event.Event {
	r := rand.New(rand.NewPCG(l.Seed, number))
	t := &lineage{
		task:  task{tenant: pick(r, tenants), human: fmt.Sprintf("user-%03d", r.IntN(500)), agent: pick(r, agents), number: number, trace: hex.EncodeToString(random(r, 16)), rng: r},
		hops:  append([]string(nil), servers...),
		at:    event.TimeOf(l.Base.Add(time.Duration(number) * l.Step)),
		token: ref(r),
	}
	r.Shuffle(len(t.hops), func(i, j int) { t.hops[i], t.hops[j] = t.hops[j], t.hops[i] })
	t.server = t.hops[0]
	t.tell()
	return t.events
}

type lineage struct {
	task
	hops   []string // servers that the token goes through
	at     event.Time
	token  string // that is held now
	events []*event.Event
}

func (t *lineage) tell() {
	login := t.next(event.Credential, event.TypeCredentialIssued, "idp")
	login.Actor, login.Token = event.Party{}, event.Token{Ref: t.token, Iss: t.issuer(), Scope: scopes, ExpiresAt: t.at.Add(8 * time.Hour), Verified: event.TokenVerified}
	t.next(event.Session, event.TypeSessionStarted, "orchestrator").Client = event.Client{ID: t.agent + "-client"}
	var links []event.Link
	actor := event.Party{Sub: t.agent, Type: event.Agent}
	for hop := range LineageDepth {
		links = append([]event.Link{{Sub: actor.Sub, Type: actor.Type}}, links...)
		t.server = t.hops[hop]
		t.exchanged(actor, links, hop)
		for use := range usesOfHop {
			t.used(actor, links, hop, use)
		}
		actor = event.Party{Sub: t.server, Type: event.MCP}
	}
	for len(t.events) < LineageEvents-1 {
		t.next(event.Grant, event.TypeGrantListed, "directory").Token = event.Token{Scope: scopes[:2]}
	}
	t.next(event.Session, event.TypeSessionEnded, "orchestrator").Client = event.Client{ID: t.agent + "-client"}
}

// next begins the next event.
func (t *lineage) next(kind event.Kind, typ, source string) *event.Event {
	e := &event.Event{
		SchemaVersion: event.SchemaVersion, Kind: kind, Type: typ, Time: t.at, ObservedTime: t.at.Add(50 * time.Millisecond), Tenant: t.tenant, Outcome: event.Success,
		Source:  event.Source{ID: t.tenant + "-" + source, Type: "native", EventID: fmt.Sprintf("%d-%d", t.number, len(t.events))},
		Subject: event.Party{Iss: t.issuer(), Sub: t.human, Type: event.Human}, Actor: event.Party{Sub: t.agent, Type: event.Agent},
		Correlation: event.Correlation{TraceID: t.trace, SpanID: hex.EncodeToString(random(t.rng, 8)), TaskID: fmt.Sprintf("task-%d", t.number)},
		Salt:        hex.EncodeToString(random(t.rng, 8)),
	}
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	t.at, t.events = t.at.Add(time.Second), append(t.events, e)
	return e
}

func (t *lineage) exchanged(actor event.Party, links []event.Link, hop int) {
	issued := ref(t.rng)
	e := t.next(event.TokenExchange, event.TypeTokenExchange, "sts")
	e.Actor, e.Chain, e.ChainRule = actor, slices.Clone(links), event.SubjectChained
	e.Exchange = event.Exchange{GrantType: "urn:ietf:params:oauth:grant-type:token-exchange", SubjectTokenRef: t.token, IssuedTokenRef: issued,
		SubjectScope: scopes[:len(scopes)-hop], GrantedScope: scopes[:len(scopes)-hop-1], Resource: []string{t.resource()}, ExpiresIn: 300}
	e.Token = event.Token{Ref: t.token, Iss: t.issuer(), Verified: event.TokenVerified}
	t.token = issued
}

func (t *lineage) used(actor event.Party, links []event.Link, hop, use int) {
	number := fmt.Sprint(hop*usesOfHop + use)
	token := event.Token{Ref: t.token, Iss: t.issuer(), Audience: []string{t.resource()}, Scope: scopes[:len(scopes)-hop-1], Verified: event.TokenVerified, ExpiresAt: t.at.Add(5 * time.Minute)}
	d := t.next(event.PermissionDecision, event.TypeDecision, "opa")
	d.Actor, d.Chain, d.Token, d.Server, d.Tool = actor, slices.Clone(links), event.Token{Ref: t.token}, event.Server{ID: t.server}, event.Tool{Name: t.tool(use)}
	d.Decision = event.Decision{ID: fmt.Sprintf("opa-%d-%s", t.number, number), Effect: event.Allow, Engine: "opa", Policy: "mcp/authz/allow", PolicyVersion: "2026-11-01", Action: "tools/call"}
	d.Correlation.JSONRPCID = number
	c := t.next(event.ToolInvocation, event.TypeToolCall, t.server)
	c.Actor, c.Chain, c.Token, c.Server = actor, slices.Clone(links), token, event.Server{ID: t.server, URI: t.resource()}
	c.Tool = event.Tool{Name: t.tool(use), ServerMethod: "tools/call", ArgumentsHash: ref(t.rng), ArgumentNames: []string{"number", "repository"}, ResultStatus: "ok", DurationMS: int64(5 + t.rng.IntN(900))}
	c.Correlation.JSONRPCID, c.Correlation.DecisionID = number, d.Decision.ID
}
