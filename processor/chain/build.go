package chain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// Build returns the chains that the events tell of, the deepest first.
func Build(events []*event.Event) []*Chain {
	ordered := slices.Clone(events)
	slices.SortFunc(ordered, func(a, b *event.Event) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.ID, b.ID))
	})
	b := &builder{tokens: map[key]*token{}}
	for _, e := range ordered {
		b.learn(e)
	}
	for _, t := range b.ordered {
		b.hang(t)
	}
	return b.chains()
}

// key names a token; the same reference in two tenants is two tokens until somebody may see both.
type key struct{ tenant, ref string }

// token is a hop in the making.
type token struct {
	Hop
	key
	parent     *token
	born       event.Time // earliest sign of it
	credential bool       // an event says that it was issued outside an exchange
	exchange   *event.Event
	calls      []*event.Event
	groups     map[Join]map[string]bool // transactions, tasks and traces it was seen in
}

type builder struct {
	tokens    map[key]*token
	ordered   []*token // by first sight
	decisions []*event.Event
}

func (b *builder) token(tenant, ref string, at event.Time) *token {
	k := key{tenant, ref}
	t := b.tokens[k]
	if t == nil {
		t = &token{key: k, Hop: Hop{TokenRef: ref}, born: at, groups: map[Join]map[string]bool{ByTransaction: {}, ByTask: {}, ByTrace: {}}}
		b.tokens[k] = t
		b.ordered = append(b.ordered, t)
	}
	return t
}

// learn takes from one event what it says about tokens.
func (b *builder) learn(e *event.Event) {
	if e.Kind == event.TokenExchange {
		b.learnExchange(e)
		return
	}
	if e.Kind == event.PermissionDecision {
		b.decisions = append(b.decisions, e)
	}
	if e.Token.Ref == "" {
		return
	}
	t := b.token(e.Tenant, e.Token.Ref, e.Time)
	t.seenIn(e)
	t.facts(e.Token)
	switch e.Kind {
	case event.Credential:
		t.credential = true
		t.party(e.Subject, e.Actor, e.Chain)
		t.Source = cmp.Or(t.Source, e.Source.ID)
	case event.ToolInvocation:
		t.calls = append(t.calls, e)
		t.party(e.Subject, e.Actor, e.Chain)
	case event.PermissionDecision:
		t.party(e.Subject, e.Actor, e.Chain)
	}
}

func (b *builder) learnExchange(e *event.Event) {
	x := e.Exchange
	if x.SubjectTokenRef == "" || x.IssuedTokenRef == "" || e.Outcome != event.Success {
		return
	}
	parent := b.token(e.Tenant, x.SubjectTokenRef, e.Time)
	parent.seenIn(e)
	parent.facts(e.Token)
	if parent.Subject == (event.Party{}) {
		parent.Subject = e.Subject
	}
	t := b.token(e.Tenant, x.IssuedTokenRef, e.Time)
	if t.exchange != nil { // a cache answered again
		t.Reused++
		return
	}
	t.seenIn(e)
	t.exchange = e
	t.party(e.Subject, e.Actor, e.Chain)
	t.ExchangeEvent, t.Source, t.StepUp = e.ID, e.Source.ID, x.StepUp
	t.facts(event.Token{
		Scope: x.GrantedScope, Audience: cmpList(x.Resource, x.RequestedAudience), IssuedAt: e.Time,
		ExpiresAt: expiry(e.Time, x.ExpiresIn),
	})
}

func expiry(from event.Time, seconds int64) event.Time {
	if seconds == 0 {
		return 0
	}
	return from + event.Time(seconds*1_000_000)
}

func cmpList(a, b []string) []string {
	if len(a) > 0 {
		return a
	}
	return b
}

func (t *token) seenIn(e *event.Event) {
	c := e.Correlation
	for join, id := range map[Join]string{ByTransaction: c.TransactionID, ByTask: c.TaskID, ByTrace: c.TraceID} {
		if id != "" {
			t.groups[join][id] = true
		}
	}
}

// facts fills what is not known yet: the first to say something is believed,
// because events are taken in the order of time.
func (t *token) facts(f event.Token) {
	t.Issuer = cmp.Or(t.Issuer, f.Iss)
	t.Audience = cmpList(t.Audience, f.Audience)
	t.Scope = cmpList(t.Scope, f.Scope)
	t.IssuedAt = cmp.Or(t.IssuedAt, f.IssuedAt)
	t.ExpiresAt = cmp.Or(t.ExpiresAt, f.ExpiresAt)
	t.Static = t.Static || f.Static
	if t.Verified == "" || t.Verified == event.TokenUnverified {
		t.Verified = cmp.Or(f.Verified, t.Verified)
	}
}

func (t *token) party(subject, actor event.Party, links []event.Link) {
	if t.Subject == (event.Party{}) {
		t.Subject = subject
	}
	if t.Actor == (event.Party{}) {
		t.Actor = actor
	}
	if len(t.Chain) == 0 {
		t.Chain = links
	}
}

// hang finds the parent of a token.
func (b *builder) hang(t *token) {
	if t.exchange != nil {
		parent := b.tokens[key{t.tenant, t.exchange.Exchange.SubjectTokenRef}]
		if parent.below(t) {
			t.Problems = append(t.Problems, "cycle: the token was issued for one that descends from it")
			return
		}
		b.put(t, parent, ByLineage)
		return
	}
	if t.credential || t.Static || len(t.Chain) == 0 {
		if !t.credential {
			t.Missing = "no event says who issued this token"
		}
		return
	}
	t.Missing = "the exchange that issued this token was not seen"
	if parent, join := b.guess(t); parent != nil {
		b.put(t, parent, join)
	}
}

// below says whether t is other or descends from it.
func (t *token) below(other *token) bool {
	for p := t; p != nil; p = p.parent {
		if p == other {
			return true
		}
	}
	return false
}

func (b *builder) put(t, parent *token, join Join) {
	t.parent, t.Join = parent, join
	t.ScopeAdded, t.ScopeRemoved = difference(t.Scope, parent.Scope), difference(parent.Scope, t.Scope)
	if len(parent.Scope) == 0 || len(t.Scope) == 0 {
		t.ScopeAdded, t.ScopeRemoved = nil, nil // not known is not empty
	}
	if len(t.ScopeAdded) > 0 && !t.StepUp {
		t.Problems = append(t.Problems, "scope widened by "+strings.Join(t.ScopeAdded, " "))
	}
	if join == ByLineage && len(t.Chain) > 0 && !sameLinks(t.Chain[1:], parent.Chain) && len(parent.Chain) > 0 {
		t.Problems = append(t.Problems, "the act claim does not continue the subject token's")
	}
}

// guess looks for the token that t must have been exchanged for: the same
// subject, the act claim one actor shorter, in the same transaction, task or
// trace, and there before t.
func (b *builder) guess(t *token) (*token, Join) {
	for _, join := range []Join{ByTransaction, ByTask, ByTrace} {
		var best *token
		for _, p := range b.ordered {
			if p == t || p.tenant != t.tenant || p.Subject.Sub != t.Subject.Sub || p.Subject.Iss != t.Subject.Iss ||
				p.born > t.born || !sameLinks(p.Chain, t.Chain[1:]) || !share(p.groups[join], t.groups[join]) || p.below(t) {
				continue
			}
			best = p // the latest before t
		}
		if best != nil {
			return best, join
		}
	}
	return nil, ""
}

func share(a, b map[string]bool) bool {
	for id := range a {
		if b[id] {
			return true
		}
	}
	return false
}

// sameLinks compares who acted; the type is a label.
func sameLinks(a, b []event.Link) bool {
	return slices.EqualFunc(a, b, func(x, y event.Link) bool { return x.Iss == y.Iss && x.Sub == y.Sub })
}

func difference(a, b []string) []string {
	var out []string
	for _, s := range a {
		if !slices.Contains(b, s) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

// chains turns the tokens into trees.
func (b *builder) chains() []*Chain {
	for _, t := range b.ordered {
		t.complete()
		for _, e := range t.calls {
			t.Calls = append(t.Calls, b.call(t, e))
		}
	}
	var roots []*token
	for _, t := range b.ordered {
		if t.parent != nil {
			t.parent.Children = append(t.parent.Children, &t.Hop)
		} else {
			roots = append(roots, t)
		}
	}
	out := make([]*Chain, len(roots))
	for i, t := range roots {
		out[i] = measure(&Chain{Tenant: t.tenant, Root: t.root()})
	}
	slices.SortStableFunc(out, func(a, b *Chain) int { return cmp.Compare(b.Depth, a.Depth) })
	return out
}

func (t *token) complete() {
	if t.IssuedAt != 0 && t.ExpiresAt != 0 {
		t.LifetimeSeconds = int64(t.ExpiresAt.Sub(t.IssuedAt).Seconds())
	}
	if len(t.Chain) > 0 && t.Actor == (event.Party{}) {
		t.Actor = event.Party(party(t.Chain[0]))
	}
}

func party(l event.Link) event.Party { return event.Party{Iss: l.Iss, Sub: l.Sub, Type: l.Type} }

// root puts above a token without parent the hops that only its act claim
// tells of, so that nobody takes the first token seen for the beginning.
func (t *token) root() *Hop {
	h := &t.Hop
	if t.Missing == "" || len(t.Chain) == 0 {
		return h
	}
	for i := 1; i <= len(t.Chain); i++ {
		above := &Hop{Subject: t.Subject, Chain: t.Chain[i:], Join: ByClaim, Missing: "no event with this token was seen", Children: []*Hop{h}}
		if i < len(t.Chain) {
			above.Actor = party(t.Chain[i])
		} else {
			above.Join = ""
		}
		h.Join = cmp.Or(h.Join, ByClaim)
		h = above
	}
	return h
}

func measure(c *Chain) *Chain {
	c.Root.Walk(func(h *Hop, depth int) {
		c.Depth = max(c.Depth, depth)
		if h.Missing != "" {
			c.Missing++
		}
	})
	return c
}

// call judges one tool invocation.
func (b *builder) call(t *token, e *event.Event) Call {
	c := Call{
		Event: e.ID, Time: e.Time, Server: e.Server, Outcome: e.Outcome, Source: e.Source.ID, TraceID: e.Correlation.TraceID,
		Tool: cmp.Or(e.Tool.Name, e.Tool.ServerMethod), Decision: b.decision(e),
	}
	ran := e.Outcome == event.Success || e.Outcome == event.Failure
	switch {
	case c.Decision == nil:
		c.Problems = append(c.Problems, "no decision was seen")
	case c.Decision.Effect == event.Deny && ran:
		c.Problems = append(c.Problems, "ran although the decision was deny")
	case c.Decision.Effect != event.Allow && ran:
		c.Problems = append(c.Problems, fmt.Sprintf("ran although the decision was %s", c.Decision.Effect))
	}
	if uri := e.Server.URI; uri != "" && len(t.Audience) > 0 && !slices.Contains(t.Audience, uri) && !slices.Contains(t.Audience, e.Server.ID) {
		c.Problems = append(c.Problems, "the token was not issued for this server")
	}
	if reason, failed := strings.CutPrefix(string(e.Token.Verified), string(event.TokenFailed)); failed {
		c.Problems = append(c.Problems, "token check failed: "+reason)
	}
	if t.ExpiresAt != 0 && e.Time > t.ExpiresAt {
		c.Problems = append(c.Problems, "the token had expired")
	}
	return c
}

// maxDecisionGap is how far a decision may lie from its call when only the
// JSON-RPC id joins them, in microseconds: ids repeat on every connection.
const maxDecisionGap = 60_000_000

func (b *builder) decision(call *event.Event) *Decision {
	found := map[Join]*event.Event{}
	for _, d := range b.decisions {
		if join := joins(d, call); join != "" {
			if old := found[join]; old == nil || distance(d, call) < distance(old, call) {
				found[join] = d
			}
		}
	}
	for _, join := range []Join{ByDecisionID, ByTrace, ByJSONRPC} {
		if d := found[join]; d != nil {
			return &Decision{Event: d.ID, Effect: d.Decision.Effect, Engine: d.Decision.Engine, Policy: d.Decision.Policy,
				Version: d.Decision.PolicyVersion, Reason: d.Decision.Reason, Join: join}
		}
	}
	return nil
}

func distance(a, b *event.Event) event.Time { return max(a.Time-b.Time, b.Time-a.Time) }

// joins says by what a decision belongs to a call, if it does.
func joins(d, call *event.Event) Join {
	if d.Tenant != call.Tenant {
		return ""
	}
	dc, cc := d.Correlation, call.Correlation
	if cc.DecisionID != "" {
		if cc.DecisionID == d.Decision.ID {
			return ByDecisionID
		}
		return "" // the caller says which one, and it is another
	}
	if d.Tool.Name != call.Tool.Name || d.Server.ID != call.Server.ID || d.Token.Ref != "" && d.Token.Ref != call.Token.Ref {
		return ""
	}
	if dc.JSONRPCID != "" && cc.JSONRPCID != "" && dc.JSONRPCID != cc.JSONRPCID {
		return ""
	}
	if dc.TraceID != "" && dc.TraceID == cc.TraceID {
		return ByTrace
	}
	if dc.JSONRPCID != "" && dc.JSONRPCID == cc.JSONRPCID && d.Token.Ref != "" && distance(d, call) <= maxDecisionGap {
		return ByJSONRPC
	}
	return ""
}

// Tokens returns the references of all tokens of the chain, sorted.
func (c *Chain) Tokens() []string {
	refs := map[string]bool{}
	c.Root.Walk(func(h *Hop, _ int) {
		if h.TokenRef != "" {
			refs[h.TokenRef] = true
		}
	})
	return slices.Sorted(maps.Keys(refs))
}
