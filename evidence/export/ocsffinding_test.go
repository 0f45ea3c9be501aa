package export_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/custody-audit/custody/evidence/export"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/worklist"
)

// published is the published schema of the classes of findings.
func published(t *testing.T) map[int]*jsonschema.Schema {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "ocsf-"+export.OCSFFindingVersion+".json"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("ocsf.json", doc); err != nil {
		t.Fatal(err)
	}
	out := map[int]*jsonschema.Schema{}
	for _, class := range detect.Classes {
		if out[class], err = c.Compile(fmt.Sprintf("ocsf.json#/$defs/%d", class)); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// standing are findings of every status, with all that a finding can have, and with little.
func standing(rule string) (out []*worklist.Finding) {
	t := time.Date(2026, 11, 24, 10, 0, 0, 123456000, time.UTC)
	for i, status := range []string{worklist.Open, worklist.Acknowledged, worklist.Assigned, worklist.Resolved, worklist.AutoResolved, worklist.Excepted} {
		for _, severity := range detect.Severities {
			little := detect.Finding{Key: strings.Repeat("ab", 32), Tenant: "acme", Rule: rule, RuleVersion: 2, Severity: string(severity), Status: status, Title: "T", Summary: "S",
				Evidence: []uuid.UUID{uuid.New()}, FirstSeen: t, LastSeen: t.Add(time.Minute), OpenedTime: t.Add(time.Hour), ChangedTime: t.Add(time.Hour)}
			updated := t.Add(time.Hour)
			all := little
			all.Subject, all.Actor, all.Server, all.Tool, all.TokenRef, all.TaskID, all.TraceID, all.CoverageSources = "alice", "planner", "deploy-mcp", "deploy", "sha256:x", "task", "trace", []string{"sts"}
			out = append(out, &worklist.Finding{Finding: little, UpdatedTime: updated},
				&worklist.Finding{Finding: all, Identity: "planner", Chain: "sha256:root", Assignee: "bob", HandledBy: "bob", HandledTime: t.Add(time.Duration(2+i) * time.Hour), UpdatedTime: t.Add(time.Duration(2+i) * time.Hour), Reason: "why", Revision: "A1"})
		}
	}
	return out
}

// problems of a document by the published schema of its class.
func problems(t *testing.T, schemas map[int]*jsonschema.Schema, o any) error {
	t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	class, err := v.(map[string]any)["class_uid"].(json.Number).Int64()
	if err != nil || schemas[int(class)] == nil {
		return fmt.Errorf("class %d: %v", class, err)
	}
	return schemas[int(class)].Validate(v)
}

// A finding of every rule in every status is what the published schema says.
func TestOCSFFindings(t *testing.T) {
	schemas := published(t)
	rules, err := detect.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	classes, activities := map[int]bool{}, map[int]bool{}
	for _, r := range append(rules, nil) {
		id := "gone"
		if r != nil {
			id = r.ID
		}
		for _, f := range standing(id) {
			o := export.ToOCSFFinding(f, r, "an id")
			if err := problems(t, schemas, o); err != nil {
				t.Fatalf("%s, %s: %v", id, f.Status, err)
			}
			classes[o.ClassUID], activities[o.ActivityID] = true, true
			if o.Info.UID != f.Key || o.Metadata.UID != "an id" || o.Metadata.TenantUID != "acme" || o.TypeUID != 100*o.ClassUID+o.ActivityID || o.Time < o.Info.CreatedTime {
				t.Errorf("%s: %+v", id, o)
			}
		}
	}
	if len(classes) != 3 || !slices.Equal(slices.Sorted(maps.Keys(activities)), []int{1, 2, 3}) {
		t.Errorf("classes %v, activities %v", classes, activities)
	}
}

// The schema refuses what is not of it, or the test above would show nothing.
func TestOCSFSchemaRefuses(t *testing.T) {
	schemas := published(t)
	for what, change := range map[string]func(map[string]any){
		"an unknown field":         func(o map[string]any) { o["colour"] = "red" },
		"an unknown field below":   func(o map[string]any) { o["finding_info"].(map[string]any)["colour"] = "red" },
		"no severity":              func(o map[string]any) { delete(o, "severity_id") },
		"no uid":                   func(o map[string]any) { delete(o["finding_info"].(map[string]any), "uid") },
		"an unknown status":        func(o map[string]any) { o["status_id"] = 42 },
		"a time that is text":      func(o map[string]any) { o["time"] = "now" },
		"no class of these":        func(o map[string]any) { o["class_uid"] = 6003 },
		"nothing that is analysed": func(o map[string]any) { delete(o, "identity_activity_metrics") },
	} {
		b, err := json.Marshal(export.ToOCSFFinding(standing("x")[1], &detect.Rule{ID: "x", Title: "X", OCSF: detect.IAMAnalysisFinding}, "id"))
		var o map[string]any
		if err == nil {
			err = json.Unmarshal(b, &o)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := problems(t, schemas, o); err != nil {
			t.Fatalf("unchanged: %v", err)
		}
		change(o)
		if problems(t, schemas, o) == nil {
			t.Errorf("%s is taken", what)
		}
	}
}
