package review

import (
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// owners finds who answers for what in a version of the registry.
type owners struct {
	tenant   string
	snapshot *enrich.Snapshot // nil: nothing is registered
}

// named returns the owner of an identity of which the issuer is not known: that of
// the one entry of this name, or of all that have it.
func (o owners) named(sub string) (owner string) {
	r := o.snapshot.Registry(o.tenant)
	if r == nil {
		return ""
	}
	seen := false
	for _, p := range r.Principals {
		if p.Sub != sub {
			continue
		}
		if seen && p.Owner != owner {
			return "" // two identities of two owners
		}
		owner, seen = p.Owner, true
	}
	return owner
}

func (o owners) facts(e *event.Event) (f table.Facts) {
	e.Tenant = o.tenant
	o.snapshot.Facts(e, &f)
	return f
}

// identity returns the owner of an identity; empty: nobody.
func (o owners) identity(iss, sub string) string {
	if owner := o.facts(&event.Event{Subject: event.Party{Iss: iss, Sub: sub}}).SubjectOwner; owner != "" || iss != "" {
		return owner
	}
	return o.named(sub)
}

// server returns the owner of a server; empty: nobody.
func (o owners) server(id string) string {
	return o.facts(&event.Event{Server: event.Server{ID: id}}).ServerOwner
}

// of is who answers for a line: the owner of its identity, and where it names none,
// of its server. An identity without an owner is nobody's, whoever owns the server.
func (o owners) of(iss, identity, server string) (owner, by string) {
	if identity != "" {
		return o.identity(iss, identity), "identity"
	}
	return o.server(server), "server"
}
