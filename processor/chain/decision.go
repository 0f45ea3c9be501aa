package chain

import "github.com/custody-audit/custody/schemas/event"

// decisions are the answers of policy engines by what finds them.
type decisions struct {
	all  []*event.Event
	byID map[key][]*event.Event
	// on is by realm, server, tool and either the trace or JSON-RPC id with token.
	byUse map[use][]*event.Event
	used  map[*event.Event]bool // that belong to a call
}

type use struct{ realm, server, tool, trace, jsonrpc, token string }

// maxDecisionGap is how far a decision may lie from its call when only the
// JSON-RPC id joins them, in microseconds: ids repeat on every connection.
const maxDecisionGap = 60_000_000

func (s *decisions) learn(realm string, d *event.Event) {
	if s.byID == nil {
		s.byID, s.byUse, s.used = map[key][]*event.Event{}, map[use][]*event.Event{}, map[*event.Event]bool{}
	}
	s.all = append(s.all, d)
	if d.Decision.ID != "" {
		k := key{realm, d.Decision.ID}
		s.byID[k] = append(s.byID[k], d)
	}
	at := use{realm: realm, server: d.Server.ID, tool: d.Tool.Name}
	if c := d.Correlation; c.TraceID != "" {
		traced := at
		traced.trace, traced.jsonrpc = c.TraceID, c.JSONRPCID
		s.byUse[traced] = append(s.byUse[traced], d)
		if traced.jsonrpc != "" { // for a call that has none
			traced.jsonrpc = "\x00"
			s.byUse[traced] = append(s.byUse[traced], d)
		}
	}
	if c := d.Correlation; c.JSONRPCID != "" && d.Token.Ref != "" {
		at.jsonrpc, at.token = c.JSONRPCID, d.Token.Ref
		s.byUse[at] = append(s.byUse[at], d)
	}
}

// on returns the decision on a call by the strongest join; of several by it, the
// nearest in time.
func (s *decisions) on(realm string, call *event.Event) *Decision {
	d, by := s.find(realm, call)
	if d == nil {
		return nil
	}
	s.used[d] = true
	return &Decision{Event: d.ID, Time: d.Time, Source: d.Source.ID, Effect: d.Decision.Effect, Engine: d.Decision.Engine, Policy: d.Decision.Policy,
		Version: d.Decision.PolicyVersion, Reason: d.Decision.Reason, Join: by, Strength: by.Strength()}
}

func (s *decisions) find(realm string, call *event.Event) (*event.Event, Join) {
	c := call.Correlation
	if c.DecisionID != "" { // the caller says which one, and no other is it
		return nearest(s.byID[key{realm, c.DecisionID}], call, func(*event.Event) bool { return true }), ByDecisionID
	}
	at := use{realm: realm, server: call.Server.ID, tool: call.Tool.Name}
	if c.TraceID != "" {
		same := func(d *event.Event) bool { return d.Token.Ref == "" || d.Token.Ref == call.Token.Ref }
		traced := at
		traced.trace, traced.jsonrpc = c.TraceID, "\x00"
		if c.JSONRPCID != "" {
			traced.jsonrpc = c.JSONRPCID
		}
		found := nearest(s.byUse[traced], call, same)
		traced.jsonrpc = ""
		if found = nearer(found, nearest(s.byUse[traced], call, same), call); found != nil {
			return found, ByTrace
		}
	}
	if c.JSONRPCID != "" && call.Token.Ref != "" {
		at.jsonrpc, at.token = c.JSONRPCID, call.Token.Ref
		return nearest(s.byUse[at], call, func(d *event.Event) bool { return distance(d, call) <= maxDecisionGap }), ByJSONRPC
	}
	return nil, ""
}

func nearest(of []*event.Event, call *event.Event, fits func(*event.Event) bool) (best *event.Event) {
	for _, d := range of {
		if fits(d) {
			best = nearer(best, d, call)
		}
	}
	return best
}

// nearer is a when both are as near.
func nearer(a, b, call *event.Event) *event.Event {
	if a == nil || b != nil && distance(b, call) < distance(a, call) {
		return b
	}
	return a
}

func distance(a, b *event.Event) event.Time { return max(a.Time-b.Time, b.Time-a.Time) }
