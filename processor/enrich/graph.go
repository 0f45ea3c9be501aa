package enrich

import (
	"cmp"

	"github.com/custody-audit/custody/schemas/event"
)

// MaxDepth is the most exchanges between a token and its root that are followed.
const MaxDepth = 50

// key names a token.
type key struct{ tenant, ref string }

// basis is what shows that a root is one. More overrules less.
type basis int8

const (
	unknown   basis = iota
	claim           // nobody acted with it before, by the act claim of a token issued for it
	delegated       // somebody did, by that claim: its own exchange was not seen
	issued          // an event of its issue, outside an exchange
)

var basisNames = []string{"unknown", "claim", "delegated", "issued"}

// Progress of a lineage, as in token_lineage_states.
const (
	complete = "complete"
	pending  = "pending"
	cycle    = "cycle"
	tooDeep  = "too_deep"
)

// owner is on whose behalf a token was issued.
type owner struct{ iss, sub, typ string }

// or prefers the smaller name, so that the order of the events says nothing, and
// for one name what tells more.
func (o owner) or(p owner) owner {
	switch c := cmp.Or(cmp.Compare(o.iss, p.iss), cmp.Compare(o.sub, p.sub)); {
	case o.sub == "" || c > 0 && p.sub != "":
		return p
	case p.sub == "" || c < 0:
		return o
	case o.typ == "" || p.typ != "" && p.typ < o.typ:
		return p
	}
	return o
}

// lineage is what is known of one token: a row of token_lineage_states.
type lineage struct {
	parent, other string
	issued        event.Time // of the exchange with parent
	root          string
	owner         owner // of the root
	basis         basis // of the root
	depth         uint8
	state         string
}

// token is a node of the graph.
type token struct {
	key
	was     *lineage // as stored; nil for a new one
	is      lineage
	changed bool // so that those issued for it are to be computed again
	fixed   bool // computed, in this round or before
	open    bool // being computed
}

// graph is the part of the tokens that a round looks at. It is pure: what it
// needs of the tables it is told.
type graph struct{ tokens map[key]*token }

func newGraph() *graph { return &graph{map[key]*token{}} }

// stored enters a token as the tables have it, unless it is here already.
func (g *graph) stored(k key, l lineage) *token {
	if t := g.tokens[k]; t != nil {
		return t
	}
	t := &token{key: k, was: &l, is: l, fixed: true}
	g.tokens[k] = t
	return t
}

// token returns the node, new when nobody knows it.
func (g *graph) token(k key) *token {
	t := g.tokens[k]
	if t == nil {
		t = &token{key: k, changed: true}
		g.tokens[k] = t
	}
	return t
}

// exchange is what one says about two tokens.
type exchange struct {
	tenant, child, parent string
	time                  event.Time
	owner                 owner // of the subject token, and of the one issued
	basis                 basis // what the act claim says of the subject token
}

func (g *graph) learn(x exchange) {
	child, parent := g.token(key{x.tenant, x.child}), g.token(key{x.tenant, x.parent})
	if parent.is.parent == "" {
		parent.asRoot(x.owner, x.basis)
	}
	child.issuedFor(x.parent, x.time)
}

// issue is an event of a token's issue outside an exchange.
func (g *graph) issue(k key, o owner) {
	if t := g.token(k); t.is.parent == "" {
		t.asRoot(o, issued)
	}
}

// asRoot adds what is known of a token without parent.
func (t *token) asRoot(o owner, b basis) {
	o, b = t.is.owner.or(o), max(t.is.basis, b)
	t.changed = t.changed || o != t.is.owner || b != t.is.basis
	t.is.owner, t.is.basis = o, b
}

// issuedFor names the parent. The earliest exchange counts: a cache that answers
// again names the same one later.
func (t *token) issuedFor(parent string, at event.Time) {
	is := &t.is
	if is.parent == "" || cmp.Or(cmp.Compare(at, is.issued), cmp.Compare(parent, is.parent)) < 0 {
		if is.parent != "" && is.parent != parent {
			is.other = least(is.other, is.parent)
		}
		t.changed = t.changed || is.parent != parent
		is.parent, is.issued = parent, at
	} else if parent != is.parent {
		is.other = least(is.other, parent)
	}
	if is.other == is.parent {
		is.other = ""
	}
}

func least(a, b string) string {
	if a == "" || b < a {
		return b
	}
	return a
}

// resolve computes the tokens that changed, and those entered as their
// descendants.
func (g *graph) resolve() {
	for _, t := range g.tokens {
		if t.changed {
			t.fixed = false
		}
	}
	for _, t := range g.tokens {
		g.fix(t)
	}
}

// fix climbs to what is fixed and comes down again.
func (g *graph) fix(t *token) {
	var path []*token
	for t != nil && !t.fixed && !t.open {
		t.open = true
		path = append(path, t)
		t = g.tokens[key{t.tenant, t.is.parent}] // nil above a root: no reference is empty
	}
	if t != nil && t.open { // it is on the path: everything from it on is a circle
		for i := len(path) - 1; ; i-- {
			path[i].lost(cycle, 0)
			if path[i] == t {
				path = path[:i]
				break
			}
		}
	}
	for i := len(path) - 1; i >= 0; i-- {
		path[i].below(t)
		t = path[i]
	}
}

// below computes a token from its parent; nil is a root.
func (t *token) below(parent *token) {
	is := &t.is
	switch {
	case parent == nil:
		is.root, is.depth, is.state = t.ref, 0, pending
	case parent.is.state == cycle:
		t.lost(cycle, 0)
		return
	case parent.is.depth >= MaxDepth:
		t.lost(tooDeep, MaxDepth+1)
		return
	default:
		is.root, is.owner, is.basis, is.depth, is.state = parent.is.root, parent.is.owner, parent.is.basis, parent.is.depth+1, pending
	}
	if is.basis == issued || is.basis == claim {
		is.state = complete
	}
	t.fixed, t.open = true, false
}

// lost is a token without a root that could be named.
func (t *token) lost(state string, depth uint8) {
	t.is.root, t.is.owner, t.is.basis, t.is.depth, t.is.state = "", owner{}, unknown, depth, state
	t.fixed, t.open = true, false
}

// changedKeys are the stored tokens of which others may be issued that must be
// computed again.
func (g *graph) changedKeys() (out []key) {
	for k, t := range g.tokens {
		if t.changed && t.was != nil {
			out = append(out, k)
		}
	}
	return out
}

// descend takes in a token that was issued for a changed one, and says whether
// those issued for it are to be looked for.
func (g *graph) descend(t *token) bool {
	if t.changed || g.tokens[key{t.tenant, t.is.parent}] == nil {
		return false
	}
	t.changed = true
	return true
}

// written are the tokens whose row is new or another.
func (g *graph) written() (out []*token) {
	for _, t := range g.tokens {
		if t.was == nil || *t.was != t.is {
			out = append(out, t)
		}
	}
	return out
}
