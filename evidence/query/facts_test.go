package query_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// Facts come with their events, and events are found by them.
func TestSearchFacts(t *testing.T) {
	t.Parallel()
	c := embeddedtest.StartClickHouse(t)
	facts := map[string]*table.Facts{
		"merge-call":  {RegistryVersion: "v1", ActorOwner: "agents@acme.example", ActorLifecycle: "active", ServerSensitivity: "internal", AudienceCheck: "match", ScopeCheck: "excess", ScopeExcess: []string{"deploy:run"}},
		"delete-call": {RegistryVersion: "v2", ActorOwner: "nobody@acme.example", ActorLifecycle: "suspended", ServerSensitivity: "internal", ToolRegistered: true, ToolSensitivity: "restricted", AudienceCheck: "mismatch"},
		"deploy-call": nil,
	}
	var records []*table.Record
	for name, f := range facts {
		e := story.Named(name)
		records = append(records, &table.Record{Position: table.Position{Topic: "t", Epoch: "e", Offset: int64(len(records))}, LogTime: e.ObservedTime.Go(),
			State: table.Stored, Raw: e.Canonical(), ContentHash: e.ContentHash(), Event: e, Facts: f})
	}
	c.Store(t, records...)
	r := reader(t, c, embedded.Analyst, "acme")
	for filter, want := range map[string]map[string]query.Facts{
		"actor.owner:agents* scope.excess:deploy:run":                                               {"merge-call": {RegistryVersion: "v1", ActorOwner: "agents@acme.example", ActorLifecycle: "active", Sensitivity: "internal", AudienceCheck: "match", ScopeCheck: "excess"}},
		"actor.lifecycle:suspended audience.check:mismatch tool.sensitivity:restricted registry:v2": {"delete-call": {RegistryVersion: "v2", ActorOwner: "nobody@acme.example", ActorLifecycle: "suspended", Sensitivity: "restricted", AudienceCheck: "mismatch"}},
		`-registry:v1 -registry:v2`:                                                                 {"deploy-call": {}},
	} {
		f, err := query.ParseFilter(filter, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		page, err := r.Search(t.Context(), f, 10, "")
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]query.Facts{}
		for i, e := range page.Events {
			got[e.Source.EventID] = page.Facts[i]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", filter, diff)
		}
	}
}
