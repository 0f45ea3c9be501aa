package enrich

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/custody-audit/custody/schemas/event"
)

// collection is the registries in the making, and where each entry was.
type collection struct {
	registries map[string]*Registry
	names      map[string]place // of all that must be there once
	servers    []reference      // that tools name
	problems   Problems
}

// reference is a tool's server.
type reference struct {
	tenant, server string
	at             place
}

func (c *collection) document(t text) {
	d := &document{t.name, &c.problems}
	decoder := yaml.NewDecoder(bytes.NewReader(t.bytes))
	var root yaml.Node
	if err := decoder.Decode(&root); errors.Is(err, io.EOF) {
		return // empty, or comments only
	} else if err != nil {
		c.problems.add(place{file: t.name}, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		c.problems.add(place{file: t.name}, "holds more than one document")
	}
	d.mapping(root.Content[0], "", func(key string, v *yaml.Node, at string) bool {
		if key != "tenants" {
			return false
		}
		d.mapping(v, at, func(tenant string, v *yaml.Node, at string) bool {
			if !event.ValidTenant(tenant) {
				d.wrong(v, at, "a tenant's name has lower-case letters, digits, - and _, at most 63")
			}
			c.tenant(d, tenant, v, at)
			return true
		})
		return true
	})
}

func (c *collection) tenant(d *document, tenant string, n *yaml.Node, field string) {
	r := c.registries[tenant]
	if r == nil {
		r = &Registry{}
		c.registries[tenant] = r
	}
	d.mapping(n, field, func(key string, v *yaml.Node, at string) bool {
		switch key {
		case "principals":
			d.list(v, at, func(v *yaml.Node, at string) { r.Principals = append(r.Principals, c.principal(d, tenant, v, at)) })
		case "servers":
			d.list(v, at, func(v *yaml.Node, at string) { r.Servers = append(r.Servers, c.server(d, tenant, v, at)) })
		case "tools":
			d.list(v, at, func(v *yaml.Node, at string) { r.Tools = append(r.Tools, c.tool(d, tenant, v, at)) })
		default:
			return false
		}
		return true
	})
}

// principalTypes are what a registry may call a principal.
var principalTypes = []event.PartyType{event.Human, event.Agent, event.Workload, event.Service, event.MCP}

func (c *collection) principal(d *document, tenant string, n *yaml.Node, field string) (p Principal) {
	d.mapping(n, field, func(key string, v *yaml.Node, at string) bool {
		switch key {
		case "iss":
			p.Iss = d.text(v, at)
		case "sub":
			p.Sub = d.pattern(v, at)
		case "type":
			p.Type = word(d, v, at, principalTypes)
		case "name":
			p.Name = d.text(v, at)
		case "owner":
			p.Owner = d.text(v, at)
		case "team":
			p.Team = d.text(v, at)
		case "lifecycle":
			p.Lifecycle = d.phases(v, at)
		default:
			return false
		}
		return true
	})
	if c.required(d, n, field+".sub", p.Sub) {
		c.once(d.at(n, field), "the principal "+p.Sub+" of "+p.Iss, tenant, "principal", p.Iss, p.Sub)
	}
	return p
}

func (c *collection) server(d *document, tenant string, n *yaml.Node, field string) (s Server) {
	d.mapping(n, field, func(key string, v *yaml.Node, at string) bool {
		switch key {
		case "id":
			s.ID = d.text(v, at)
		case "name":
			s.Name = d.text(v, at)
		case "uris":
			s.URIs = d.texts(v, at)
			c.uris(d, tenant, v, at, s.URIs)
		case "audiences":
			s.Audiences = d.texts(v, at)
		case "owner":
			s.Owner = d.text(v, at)
		case "team":
			s.Team = d.text(v, at)
		case "sensitivity":
			s.Sensitivity = word(d, v, at, Sensitivities)
		case "lifecycle":
			s.Lifecycle = d.phases(v, at)
		default:
			return false
		}
		return true
	})
	if c.required(d, n, field+".id", s.ID) {
		c.once(d.at(n, field), "the server "+s.ID, tenant, "server", s.ID)
	}
	return s
}

func (c *collection) uris(d *document, tenant string, n *yaml.Node, field string, uris []string) {
	for _, uri := range uris {
		if u, err := url.Parse(uri); uri != "" && (err != nil || u.Scheme == "" || u.Fragment != "") {
			d.wrong(n, field, "%q: want an absolute URI without fragment (RFC 8707)", uri)
			continue
		}
		c.once(d.at(n, field), "the URI "+uri, tenant, "uri", bare(uri))
	}
}

func (c *collection) tool(d *document, tenant string, n *yaml.Node, field string) (t Tool) {
	d.mapping(n, field, func(key string, v *yaml.Node, at string) bool {
		switch key {
		case "server":
			t.Server = d.text(v, at)
			c.servers = append(c.servers, reference{tenant, t.Server, d.at(v, at)})
		case "name":
			t.Name = d.pattern(v, at)
		case "owner":
			t.Owner = d.text(v, at)
		case "sensitivity":
			t.Sensitivity = word(d, v, at, Sensitivities)
		case "scopes":
			t.Scopes = d.texts(v, at)
		case "destructive":
			t.Destructive = d.boolean(v, at)
		default:
			return false
		}
		return true
	})
	named := c.required(d, n, field+".name", t.Name)
	if c.required(d, n, field+".server", t.Server) && named {
		c.once(d.at(n, field), "the tool "+t.Name+" of "+t.Server, tenant, "tool", t.Server, t.Name)
	}
	return t
}

// required notes a missing key of an entry, but for one that is there and wrong.
func (c *collection) required(d *document, n *yaml.Node, field, value string) bool {
	if value == "" && len(c.problems) < maxProblems && !slices.ContainsFunc(c.problems, func(p Problem) bool { return p.File == d.file && p.Field == field }) {
		d.wrong(n, field, "is required")
	}
	return value != ""
}

// once notes a second entry of a name.
func (c *collection) once(at place, what string, name ...string) {
	key := strings.Join(name, "\x00") // no name holds it
	if first, taken := c.names[key]; taken {
		c.problems.add(at, "%s is already at %s:%d", what, first.file, first.line)
		return
	}
	c.names[key] = at
}

func (c *collection) checkServers() {
	for _, r := range c.servers {
		if _, ok := c.names[strings.Join([]string{r.tenant, "server", r.server}, "\x00")]; !ok && r.server != "" {
			c.problems.add(r.at, "the tenant has no server %q", r.server)
		}
	}
}

// pattern reads a name that may end in "*".
func (d *document) pattern(n *yaml.Node, field string) string {
	s := d.text(n, field)
	if strings.Contains(strings.TrimSuffix(s, "*"), "*") {
		d.wrong(n, field, "%q: * stands at the end only", s)
	}
	return s
}

func (d *document) phases(n *yaml.Node, field string) (out []Phase) {
	d.list(n, field, func(v *yaml.Node, at string) {
		var p Phase
		d.mapping(v, at, func(key string, v *yaml.Node, at string) bool {
			switch key {
			case "state":
				p.State = word(d, v, at, []State{Active, Suspended, Retired})
			case "since":
				p.Since = d.instant(v, at)
			default:
				return false
			}
			return true
		})
		if p.State == "" || p.Since == 0 {
			d.wrong(v, at, "want state and since")
		} else if len(out) > 0 && p.Since <= out[len(out)-1].Since {
			d.wrong(v, at, "since is not after that of the phase before")
		}
		out = append(out, p)
	})
	return out
}
