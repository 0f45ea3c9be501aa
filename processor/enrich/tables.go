package enrich

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// Origins of a version.
const (
	FromFile   = "file"   // a processor read it
	FromImport = "import" // somebody stored it
)

// Version is a registry as it was in force from a time on.
type Version struct {
	Tenant     string    `ch:"tenant" json:"tenant"`
	Since      time.Time `ch:"since" json:"since"`
	Version    string    `ch:"version" json:"version"` // empty: no registry any more
	Origin     string    `ch:"origin" json:"origin"`
	Principals uint32    `ch:"principals" json:"principals"`
	Servers    uint32    `ch:"servers" json:"servers"`
	Tools      uint32    `ch:"tools" json:"tools"`
}

// Versions lists when which version was in force, the newest first; an empty
// tenant is all that conn may see.
func Versions(ctx context.Context, conn driver.Conn, tenant string) ([]Version, error) {
	return versions(ctx, conn, "SELECT tenant, since, version, origin, principals, servers, tools FROM registry_versions FINAL"+
		" WHERE {tenant:String} = '' OR tenant = {tenant:String} ORDER BY since DESC, tenant", clickhouse.Parameters{"tenant": tenant})
}

// InForce returns the version of each tenant at a time; an empty tenant is all
// that conn may see.
func InForce(ctx context.Context, conn driver.Conn, tenant string, at time.Time) ([]Version, error) {
	return versions(ctx, conn, "SELECT tenant, since, version, origin, principals, servers, tools FROM registry_versions FINAL"+
		" WHERE ({tenant:String} = '' OR tenant = {tenant:String}) AND since <= {at:DateTime64(6, 'UTC')}"+
		" ORDER BY tenant, since DESC, version LIMIT 1 BY tenant", clickhouse.Parameters{"tenant": tenant, "at": table.Micro(at)})
}

func versions(ctx context.Context, conn driver.Conn, sql string, p clickhouse.Parameters) ([]Version, error) {
	var out []Version
	if err := conn.Select(clickhouse.Context(ctx, clickhouse.WithParameters(p)), &out, sql); err != nil {
		return nil, fmt.Errorf("read versions of registries: %w", err)
	}
	return out, nil
}

// Stored reads a version of a tenant's registry. What it returns has that
// version, or the rows were changed and it is an error.
func Stored(ctx context.Context, conn driver.Conn, tenant, version string) (*Registry, error) {
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"tenant": tenant, "version": version}))
	r := &Registry{}
	const which = " FINAL WHERE tenant = {tenant:String} AND version = {version:String} ORDER BY ALL"
	err := table.Each(ctx, conn, "SELECT iss, sub, type, name, owner, team, lifecycle_state, lifecycle_since FROM registry_principals"+which, func(rows driver.Rows) error {
		var p Principal
		var l lifecycle
		err := rows.Scan(&p.Iss, &p.Sub, (*string)(&p.Type), &p.Name, &p.Owner, &p.Team, &l.state, &l.since)
		p.Lifecycle = l.phases()
		r.Principals = append(r.Principals, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read registry: %w", err)
	}
	err = table.Each(ctx, conn, "SELECT id, name, uris, audiences, owner, team, sensitivity, lifecycle_state, lifecycle_since FROM registry_servers"+which, func(rows driver.Rows) error {
		var s Server
		var l lifecycle
		err := rows.Scan(&s.ID, &s.Name, &s.URIs, &s.Audiences, &s.Owner, &s.Team, (*string)(&s.Sensitivity), &l.state, &l.since)
		s.Lifecycle = l.phases()
		r.Servers = append(r.Servers, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read registry: %w", err)
	}
	err = table.Each(ctx, conn, "SELECT server_id, name, owner, sensitivity, scopes, destructive FROM registry_tools"+which, func(rows driver.Rows) error {
		var t Tool
		err := rows.Scan(&t.Server, &t.Name, &t.Owner, (*string)(&t.Sensitivity), &t.Scopes, &t.Destructive)
		r.Tools = append(r.Tools, t)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read registry: %w", err)
	}
	if len(r.Principals)+len(r.Servers)+len(r.Tools) == 0 && version != r.Version() {
		return nil, fmt.Errorf("registry of tenant %s: there is no version %q; \"custody registry list\" shows all", tenant, version)
	}
	if got := r.Version(); got != version {
		return nil, fmt.Errorf("registry of tenant %s: what is stored as version %s has the contents of version %s: its rows were changed or are missing", tenant, version, got)
	}
	return r, nil
}

// lifecycle is the phases as the tables have them.
type lifecycle struct {
	state []string
	since []time.Time
}

func columnsOf(phases []Phase) (l lifecycle) {
	for _, p := range phases {
		l.state, l.since = append(l.state, string(p.State)), append(l.since, p.Since.Go())
	}
	return l
}

func (l lifecycle) phases() (out []Phase) {
	for i, s := range l.state {
		out = append(out, Phase{State(s), event.TimeOf(l.since[i])})
	}
	return out
}

// Store records that a registry is in force from a time on; nil is that the
// tenant has none any more. It writes nothing when the newest version is the
// same. The entries come before the version, so nobody reads half of them.
func Store(ctx context.Context, conn driver.Conn, tenant string, r *Registry, origin string, since time.Time) (stored bool, err error) {
	v := Version{Tenant: tenant, Since: since, Origin: origin}
	newest, err := InForce(ctx, conn, tenant, since)
	if err != nil {
		return false, err
	}
	if r != nil {
		v.Version, v.Principals, v.Servers, v.Tools = r.Version(), uint32(len(r.Principals)), uint32(len(r.Servers)), uint32(len(r.Tools))
	}
	if len(newest) == 0 && r == nil || len(newest) == 1 && newest[0].Version == v.Version {
		return false, nil
	}
	if r != nil {
		if err := storeEntries(ctx, conn, tenant, v.Version, r); err != nil {
			return false, err
		}
	}
	err = table.Insert(ctx, conn, "registry_versions (tenant, since, version, origin, principals, servers, tools)", func(add func(...any) error) error {
		return add(v.Tenant, v.Since, v.Version, v.Origin, v.Principals, v.Servers, v.Tools)
	})
	return err == nil, err
}

func storeEntries(ctx context.Context, conn driver.Conn, tenant, version string, r *Registry) error {
	err := table.Insert(ctx, conn, "registry_principals (tenant, version, iss, sub, type, name, owner, team, lifecycle_state, lifecycle_since)", func(add func(...any) error) error {
		for _, p := range r.Principals {
			l := columnsOf(p.Lifecycle)
			if err := add(tenant, version, p.Iss, p.Sub, string(p.Type), p.Name, p.Owner, p.Team, l.state, l.since); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = table.Insert(ctx, conn, "registry_servers (tenant, version, id, name, uris, audiences, owner, team, sensitivity, lifecycle_state, lifecycle_since)", func(add func(...any) error) error {
		for _, s := range r.Servers {
			l := columnsOf(s.Lifecycle)
			if err := add(tenant, version, s.ID, s.Name, s.URIs, s.Audiences, s.Owner, s.Team, string(s.Sensitivity), l.state, l.since); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return table.Insert(ctx, conn, "registry_tools (tenant, version, server_id, name, owner, sensitivity, scopes, destructive)", func(add func(...any) error) error {
		for _, t := range r.Tools {
			if err := add(tenant, version, t.Server, t.Name, t.Owner, string(t.Sensitivity), t.Scopes, t.Destructive); err != nil {
				return err
			}
		}
		return nil
	})
}
