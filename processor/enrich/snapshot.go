package enrich

import (
	"maps"
	"slices"
	"strings"
)

// Snapshot is the registries of all tenants at one moment. It never changes and
// is safe for concurrent use; nil is a snapshot without any registry.
type Snapshot struct{ tenants map[string]*index }

// index finds what is registered for one tenant.
type index struct {
	version    string
	registry   *Registry
	principals lookup[Principal] // by issuer and subject
	tools      lookup[Tool]      // by server and name
	servers    map[string]*server
	uris       map[string]*server
}

// server is a registered server with all that its tokens may be issued for.
type server struct {
	*Server
	audiences map[string]bool // without the last slash
}

// pair is a name within a space of names.
type pair struct{ space, name string }

// lookup finds entries by their whole name, then by the longest beginning that
// an entry with "*" has.
type lookup[E any] struct {
	exact, prefix map[pair]*E
	lengths       []int // of the beginnings, longest first
}

func (l *lookup[E]) add(space, name string, e *E) {
	if l.exact == nil {
		l.exact, l.prefix = map[pair]*E{}, map[pair]*E{}
	}
	beginning, open := strings.CutSuffix(name, "*")
	if !open {
		l.exact[pair{space, name}] = e
		return
	}
	l.prefix[pair{space, beginning}] = e
	if !slices.Contains(l.lengths, len(beginning)) {
		l.lengths = append(l.lengths, len(beginning))
		slices.SortFunc(l.lengths, func(a, b int) int { return b - a })
	}
}

func (l *lookup[E]) find(space, name string) *E {
	if name == "" {
		return nil
	}
	if e := l.exact[pair{space, name}]; e != nil {
		return e
	}
	for _, n := range l.lengths {
		if n <= len(name) {
			if e := l.prefix[pair{space, name[:n]}]; e != nil {
				return e
			}
		}
	}
	return nil
}

// NewSnapshot makes a snapshot of registries that are valid, by tenant. It keeps
// them; they must not be changed afterwards.
func NewSnapshot(registries map[string]*Registry) *Snapshot {
	s := &Snapshot{tenants: make(map[string]*index, len(registries))}
	for tenant, r := range registries {
		s.tenants[tenant] = newIndex(r)
	}
	return s
}

func newIndex(r *Registry) *index {
	x := &index{version: r.Version(), registry: r, servers: map[string]*server{}, uris: map[string]*server{}}
	for i := range r.Principals {
		p := &r.Principals[i]
		x.principals.add(p.Iss, p.Sub, p)
	}
	for i := range r.Servers {
		s := &server{&r.Servers[i], map[string]bool{}}
		x.servers[s.ID] = s
		s.audiences[s.ID] = true
		for _, uri := range s.URIs {
			x.uris[bare(uri)] = s
			s.audiences[bare(uri)] = true
		}
		for _, audience := range s.Audiences {
			s.audiences[bare(audience)] = true
		}
	}
	for i := range r.Tools {
		t := &r.Tools[i]
		x.tools.add(t.Server, t.Name, t)
	}
	return x
}

// bare is an identifier without its last slash: implementations of RFC 8707
// disagree about it, and nobody tells two servers apart by it.
func bare(uri string) string { return strings.TrimSuffix(uri, "/") }

// server finds by id, then by URI.
func (x *index) server(id, uri string) *server {
	if s := x.servers[id]; s != nil {
		return s
	}
	if uri == "" {
		return nil
	}
	return x.uris[bare(uri)]
}

// Tenants returns the tenants that have a registry, sorted.
func (s *Snapshot) Tenants() []string {
	if s == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.tenants))
}

// Registry returns what is registered for a tenant; nil for nothing. It must not
// be changed.
func (s *Snapshot) Registry(tenant string) *Registry {
	if x := s.tenant(tenant); x != nil {
		return x.registry
	}
	return nil
}

// Version names the contents of a tenant's registry; empty when there is none.
func (s *Snapshot) Version(tenant string) string {
	if x := s.tenant(tenant); x != nil {
		return x.version
	}
	return ""
}

func (s *Snapshot) tenant(tenant string) *index {
	if s == nil {
		return nil
	}
	return s.tenants[tenant]
}
