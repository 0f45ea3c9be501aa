package demo_test

import (
	"os"
	"path/filepath"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/deploy/demo"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// What the registry leaves out it leaves out on purpose; everything else that the
// estate's events name is registered, with an owner.
func TestRegistry(t *testing.T) {
	in, _ := run(t, nil)
	file := filepath.Join(t.TempDir(), "registry.yaml")
	if err := os.WriteFile(file, demo.Registry, 0o600); err != nil {
		t.Fatal(err)
	}
	registries, err := enrich.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	s := enrich.NewSnapshot(registries)
	got := map[string]bool{}
	missing := func(is bool, tenant, what, name string) {
		if is && name != "" {
			got[tenant+": "+what+" "+name] = true
		}
	}
	for _, e := range in.events {
		var f table.Facts
		s.Facts(e, &f)
		missing(f.SubjectOwner == "", e.Tenant, "subject", e.Subject.Sub)
		missing(f.ActorOwner == "", e.Tenant, "actor", e.Actor.Sub)
		missing(f.ServerOwner == "", e.Tenant, "server", e.Server.ID)
		missing(!f.ToolRegistered, e.Tenant, "tool", e.Tool.Name)
		missing(f.ScopeCheck == enrich.ScopeInsufficient && e.Kind == event.ToolInvocation && e.Outcome == event.Success, e.Tenant, "scope for", e.Tool.Name)
	}
	want := map[string]bool{
		"globex: actor assistant": true, "globex: subject assistant": true, "globex: server legacy-mcp": true, "globex: tool export_report": true, "globex: subject report-job": true,
		"globex: scope for delete_branch": true, // which goes on after a deny
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-left out on purpose +left out):\n%s", diff)
	}
}
