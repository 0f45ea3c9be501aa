package processor_test

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
	"github.com/custody-audit/custody/schemas/topic"
)

// shelf is a registry that changes when the test says so.
type shelf struct {
	current atomic.Pointer[enrich.Snapshot]
}

func (s *shelf) Snapshot() *enrich.Snapshot { return s.current.Load() }

// registered is a registry of everybody and everything in the story.
func registered(owner string) *enrich.Snapshot {
	registries := map[string]*enrich.Registry{}
	for _, e := range story.Events() {
		r := registries[e.Tenant]
		if r == nil {
			r = &enrich.Registry{Principals: []enrich.Principal{
				{Iss: e.Subject.Iss, Sub: "*", Owner: owner, Team: "agents", Lifecycle: []enrich.Phase{{State: enrich.Retired, Since: 1}}},
			}}
			registries[e.Tenant] = r
		}
		if id := e.Server.ID; e.Kind == event.ToolInvocation && !slices.ContainsFunc(r.Servers, func(s enrich.Server) bool { return s.ID == id }) {
			r.Servers = append(r.Servers, enrich.Server{ID: id, Owner: owner, Sensitivity: "restricted"})
			r.Tools = append(r.Tools, enrich.Tool{Server: id, Name: "*", Scopes: e.Token.Scope[:min(len(e.Token.Scope), 1)], Destructive: true})
		}
	}
	return enrich.NewSnapshot(registries)
}

// An event is stored with what was registered then: a change does not reach back.
func TestFacts(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	registry := &shelf{}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	j := p.job(p.ClickHouse.Addr())
	j.registry = registry
	go func() { ended <- j.run(ctx, nil, slog.LevelError+1) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	w := &kafka.Writer{Addr: kafka.TCP(p.Kafka.Addr), Topic: p.Kafka.Topic(topic.Events), RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond}
	defer w.Close()
	events := story.Events()
	want := map[string]table.Facts{}
	for i, s := range []*enrich.Snapshot{nil, registered("first"), registered("second")} {
		registry.current.Store(s)
		for _, e := range events[i*len(events)/3 : (i+1)*len(events)/3] {
			if err := w.WriteMessages(t.Context(), message(e)); err != nil {
				t.Fatal(err)
			}
			var f table.Facts
			s.Facts(e, &f)
			want[e.ID] = f
		}
		p.drain() // the next block is of the next registry
	}
	if diff := cmp.Diff(want, p.facts(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +stored):\n%s", diff)
	}
	for _, condition := range []string{
		"registry_version = ''", "actor_owner = 'first'", "actor_owner = 'second' AND actor_lifecycle = 'retired'", "token_scope_check = 'excess'",
		"tool_owner = 'second' AND tool_sensitivity = 'restricted'", "notEmpty(exchange_scope_dropped)", "token_audience_check = 'mismatch'",
	} {
		if p.count("SELECT count() FROM events WHERE "+condition) == 0 {
			t.Errorf("no event with %s", condition)
		}
	}
}

// facts reads what is stored of each event.
func (p *pipeline) facts() map[string]table.Facts {
	p.Helper()
	rows, err := p.admin.Query(p.Context(), `SELECT toString(id), registry_version, subject_owner, subject_team, subject_lifecycle, actor_owner, actor_team, actor_lifecycle,
		server_owner, server_team, server_sensitivity, server_lifecycle, tool_registered, tool_owner, tool_sensitivity, tool_scopes, tool_destructive,
		token_lifetime_seconds, token_remaining_seconds, exchange_outlives_seconds, exchange_scope_added, exchange_scope_dropped,
		token_audience_check, token_scope_check, token_scope_excess, token_scope_missing FROM events`)
	if err != nil {
		p.Fatal(err)
	}
	defer rows.Close()
	out := map[string]table.Facts{}
	for rows.Next() {
		var id string
		var f table.Facts
		if err := rows.Scan(&id, &f.RegistryVersion, &f.SubjectOwner, &f.SubjectTeam, &f.SubjectLifecycle, &f.ActorOwner, &f.ActorTeam, &f.ActorLifecycle,
			&f.ServerOwner, &f.ServerTeam, &f.ServerSensitivity, &f.ServerLifecycle, &f.ToolRegistered, &f.ToolOwner, &f.ToolSensitivity, &f.ToolScopes, &f.ToolDestructive,
			&f.LifetimeSeconds, &f.RemainingSeconds, &f.OutlivesSeconds, &f.ScopeAdded, &f.ScopeDropped,
			&f.AudienceCheck, &f.ScopeCheck, &f.ScopeExcess, &f.ScopeMissing); err != nil {
			p.Fatal(err)
		}
		out[id] = f
	}
	if err := rows.Err(); err != nil {
		p.Fatal(err)
	}
	return out
}
