package scenario

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// script writes the events of one undertaking, in order of time. It keeps to all
// rules as long as nobody changes what it returns.
type script struct {
	who    *identity
	human  event.Party // empty: it acts for itself
	actor  event.Party
	chain  []event.Link
	rng    *rand.Rand
	at     event.Time
	trace  string
	task   string
	calls  int
	events []*event.Event
	marked []*event.Event // what a rule has to find
	again  []extra        // further records of events
}

// extra is another record of an event, or one that says something else.
type extra struct {
	*event.Event
	state table.State
}

// token is one as its holder knows it.
type token struct{ event.Token }

func newScript(who *identity, at time.Time, r *rand.Rand) *script {
	s := &script{who: who, rng: r, at: event.TimeOf(at), trace: hex.EncodeToString(random(r, 16)), actor: who.party()}
	if len(who.humans) > 0 {
		s.human = event.Party{Iss: who.of.issuer, Sub: who.humans[r.IntN(len(who.humans))], Type: event.Human}
		s.chain = []event.Link{{Sub: who.sub, Type: event.Agent}}
	}
	return s
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, (n+7)/8*8)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b[:n]
}

func newRef(r *rand.Rand) string {
	return "sha256:" + base64.RawURLEncoding.EncodeToString(random(r, 32))
}

// wait lets time pass, between the two.
func (s *script) wait(least, most time.Duration) {
	s.at = s.at.Add(least + time.Duration(s.rng.Int64N(int64(most-least)+1)))
}

// mark says that an event is what a rule has to find.
func (s *script) mark(events ...*event.Event) { s.marked = append(s.marked, events...) }

// next begins an event, reported by a source of the tenant.
func (s *script) next(kind event.Kind, typ, source string) *event.Event {
	e := &event.Event{
		SchemaVersion: event.SchemaVersion, Kind: kind, Type: typ, Time: s.at.Add(skew(s.who.of.name, source)), Tenant: s.who.of.name, Outcome: event.Success,
		Source: event.Source{ID: s.who.of.name + "-" + source, Type: "native"}, Subject: s.human, Actor: s.actor,
		Correlation: event.Correlation{TraceID: s.trace, SpanID: hex.EncodeToString(random(s.rng, 8)), TaskID: s.task},
	}
	if s.human.Sub == "" {
		e.Subject, e.Actor = s.actor, event.Party{}
	}
	e.Source.EventID = s.trace[:16] + "-" + strconv.Itoa(len(s.events))
	s.events = append(s.events, e)
	s.at++ // no two at the same time
	return e
}

// skew is by how much the clock of a source is off, up to 0.4 s.
func skew(tenant, source string) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(tenant + source))
	return time.Duration(int(h.Sum32()%801)-400) * time.Millisecond
}

// seal gives the events their ids; nothing of them may change afterwards.
func (s *script) seal() []*event.Event {
	for _, e := range s.events {
		e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	}
	return s.events
}

func (s *script) client() event.Client {
	return event.Client{ID: s.who.sub + "-client", Name: "agentkit", Version: "2.3", Verified: true}
}

// begin starts a task, end ends it.
func (s *script) begin() *event.Event {
	s.task = "task-" + s.trace[:16]
	return s.session(event.TypeSessionStarted)
}

func (s *script) end() *event.Event {
	s.wait(time.Second, 5*time.Second)
	return s.session(event.TypeSessionEnded)
}

func (s *script) session(typ string) *event.Event {
	e := s.next(event.Session, typ, "orchestrator")
	e.Client = s.client()
	return e
}

// login issues a token: to the human, or to whoever acts for itself.
func (s *script) login(audience string, life time.Duration, scopes ...string) (token, *event.Event) {
	s.wait(50*time.Millisecond, time.Second)
	t := token{Token: event.Token{Ref: newRef(s.rng), Iss: s.who.of.issuer, Audience: []string{audience}, Scope: scopes, IssuedAt: s.at, ExpiresAt: s.at.Add(life), TokenType: "Bearer", Verified: event.TokenVerified}}
	e := s.next(event.Credential, event.TypeCredentialIssued, "idp")
	e.Token = t.Token
	if s.human.Sub != "" {
		e.Subject, e.Actor = s.human, event.Party{}
	}
	return t, e
}

// agents is the audience of humans' tokens.
func (t *tenant) agents() string { return "https://agents." + t.name + ".example" }

// exchange gets a token for a server from one that the script holds.
func (s *script) exchange(from token, at *server, life time.Duration, scopes ...string) (token, *event.Event) {
	s.wait(50*time.Millisecond, time.Second)
	t := token{Token: event.Token{Ref: newRef(s.rng), Iss: s.who.of.issuer, Audience: []string{at.uri}, Scope: scopes, IssuedAt: s.at, ExpiresAt: s.at.Add(life), TokenType: "Bearer", Verified: event.TokenVerified}}
	e := s.next(event.TokenExchange, event.TypeTokenExchange, "sts")
	e.Token, e.Chain, e.ChainRule, e.Client = from.Token, s.chain, event.SubjectChained, s.client()
	e.Exchange = event.Exchange{GrantType: "urn:ietf:params:oauth:grant-type:token-exchange", SubjectTokenRef: from.Ref, IssuedTokenRef: t.Ref, RequestedScope: scopes,
		SubjectScope: from.Scope, GrantedScope: scopes, ExpiresIn: int64(life / time.Second)}
	s.target(&e.Exchange, at)
	return t, e
}

// obtain gets a token for a server: by exchange from one of the human's, or at once
// for who acts for itself.
func (s *script) obtain(at *server, scopes ...string) (from, mine token) {
	if s.human.Sub == "" {
		mine, _ = s.login(at.uri, serverLife, scopes...)
		return mine, mine
	}
	from, _ = s.login(s.who.of.agents(), humanLife, scopes...)
	mine, _ = s.exchange(from, at, serverLife, scopes...)
	return from, mine
}

// target says what the token is asked for, in one of the two ways that there are.
func (s *script) target(x *event.Exchange, at *server) {
	if s.who.of.byAudience {
		x.RequestedAudience = []string{at.uri}
	} else {
		x.Resource = []string{at.uri}
	}
}

// cached tells that a gateway served the same token again.
func (s *script) cached(from, to token, at *server) {
	s.wait(50*time.Millisecond, time.Second)
	e := s.next(event.TokenExchange, event.TypeTokenExchange, "gateway")
	e.Token, e.Chain, e.ChainRule, e.Client = from.Token, s.chain, event.SubjectChained, s.client()
	e.Exchange = event.Exchange{GrantType: "urn:ietf:params:oauth:grant-type:token-exchange", SubjectTokenRef: from.Ref, IssuedTokenRef: to.Ref, RequestedScope: to.Scope,
		SubjectScope: from.Scope, GrantedScope: to.Scope, ExpiresIn: int64(to.ExpiresAt.Sub(s.at) / time.Second), Cached: true}
	s.target(&e.Exchange, at)
}

// decide asks the policy engine about the next call.
func (s *script) decide(t token, at *server, x tool, effect event.Effect) *event.Event {
	s.wait(200*time.Millisecond, 4*time.Second)
	s.calls++
	e := s.next(event.PermissionDecision, event.TypeDecision, "opa")
	e.Source.Type = "opa"
	e.Chain, e.ChainRule, e.Server, e.Tool = s.chain, event.SubjectChained, event.Server{ID: at.id, URI: at.uri}, event.Tool{Name: x.name}
	e.Token = event.Token{Ref: t.Ref}
	e.Decision = event.Decision{ID: "d-" + e.Correlation.SpanID, Effect: effect, Engine: "opa", Policy: "mcp/authz/allow", PolicyVersion: "r7", Action: "tools/call"}
	e.Correlation.JSONRPCID = strconv.Itoa(s.calls)
	if effect == event.Deny {
		e.Outcome = event.Denied
	}
	return e
}

// call is the call that was decided about last.
func (s *script) call(t token, at *server, x tool, outcome event.Outcome) *event.Event {
	s.wait(5*time.Millisecond, 100*time.Millisecond)
	e := s.next(event.ToolInvocation, event.TypeToolCall, at.id)
	e.Chain, e.ChainRule, e.Client, e.Server, e.Token, e.Outcome = s.chain, event.SubjectChained, s.client(), event.Server{ID: at.id, URI: at.uri}, t.Token, outcome
	e.Tool = event.Tool{Name: x.name, ServerMethod: "tools/call", ResultStatus: "ok", DurationMS: int64(5 + s.rng.IntN(900))}
	e.UserAgent, e.ClientAddress = "agentkit/2.3", "10.0."+strconv.Itoa(s.who.number/250%250)+"."+strconv.Itoa(s.who.number%250)
	e.Correlation.JSONRPCID = strconv.Itoa(s.calls)
	switch outcome {
	case event.Failure:
		e.Tool.ResultStatus = "tool_error"
	case event.Denied, event.Error:
		e.Tool.ResultStatus, e.Tool.ErrorCode = "rpc_error", "-32000"
	}
	return e
}

// use is a call that was allowed, and now and then one that was not, that somebody
// approved after all, that the policy engine failed on, or that is tried again.
func (s *script) use(t token, at *server, x tool) {
	switch dice := s.rng.IntN(1000); {
	case dice < 12:
		s.decide(t, at, x, event.Deny)
		s.call(t, at, x, event.Denied)
	case dice < 15:
		s.decide(t, at, x, event.Deny)
		s.calls-- // the same request is decided again
		s.allowed(t, at, x, event.Success)
	case dice < 18:
		s.decide(t, at, x, event.EffectError).Outcome = event.Error
		s.calls--
		s.allowed(t, at, x, event.Success)
	case dice < 45:
		s.allowed(t, at, x, event.Failure)
		s.wait(time.Second, 3*time.Second)
		s.allowed(t, at, x, event.Success)
	case dice < 50:
		s.allowed(t, at, x, event.Error)
	default:
		s.allowed(t, at, x, event.Success)
	}
}

// allowed is a call as it should be.
func (s *script) allowed(t token, at *server, x tool, outcome event.Outcome) (decision, call *event.Event) {
	decision = s.decide(t, at, x, event.Allow)
	call = s.call(t, at, x, outcome)
	if s.rng.IntN(3) > 0 { // most servers record which decision it was
		call.Correlation.DecisionID = decision.Decision.ID
	}
	return decision, call
}
