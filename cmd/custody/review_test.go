package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/defenseunicorns/go-oscal/src/pkg/validation"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/custody-audit/custody/evidence/review"
	"github.com/custody-audit/custody/schemas/event"
)

// demoKeys are the API keys of the demo, in its data folder.
const demoKeys = "apikeys.yaml"

// checkReview reviews the demo: two owners decide about what is theirs, an
// administrator about what is nobody's, and the report is taken away.
func checkReview(t *testing.T, dir string) {
	t.Helper()
	e := &house{T: t, dir: dir}
	made := verb[reviewAnswer](e, "review", "create", "The demo's", "--tenant", "acme")
	id := made.ID.String()[:13]
	lines := func(owner string) (keys []string) {
		for _, l := range made.Lines {
			if l.Owner == owner && !strings.HasPrefix(owner, l.Identity+"@") { // nobody certifies what they hold
				keys = append(keys, l.Key[:16])
			}
		}
		return keys
	}
	if len(made.Checkpoints) == 0 || !made.Unwitnessed() || len(made.Samples) != review.MaxSamples || len(made.Decisions) == 0 || len(lines("alice@acme.example")) == 0 || len(lines("bob@acme.example")) == 0 {
		t.Fatalf("frozen: %d checkpoints, %d samples, %d decisions, %+v", len(made.Checkpoints), len(made.Samples), len(made.Decisions), made.Progress)
	}
	decide(t, dir, "alice", append([]string{"review", "certify", id, "--reason", "in use"}, lines("alice@acme.example")...)...)
	decide(t, dir, "bob", append([]string{"review", "revoke", id, "--reason", "not needed"}, lines("bob@acme.example")...)...)
	if mine := lines("carol@acme.example"); len(mine) > 0 {
		ask(t, append([]string{"review", "except", id, "--until", "30d", "--reason", "=HYPERLINK(\"https://evil.example\")<script>", "--data-dir", dir}, mine[0])...)
	} else {
		t.Error("carol owns nothing")
	}
	ask(t, "review", "close", id, "--reason", "all were heard", "--data-dir", dir)
	if out := ask(t, "review", "list", "--data-dir", dir, "--tenant", "acme"); !strings.Contains(out, id) || !strings.Contains(out, "closed") {
		t.Errorf("listed:\n%s", out)
	}
	shown := verb[reviewAnswer](e, "review", "show", id)
	for _, p := range shown.Progress {
		if n := uint64(len(lines(p.Owner))); p.Owner == "alice@acme.example" && p.Certified != n || p.Owner == "bob@acme.example" && p.Revoked != n {
			t.Errorf("progress: %+v", p)
		}
	}
	sealed := 0
	eventually(t, time.Minute, "creation and acts are events", func(context.Context) bool {
		page := verb[struct{ Events []*event.Event }](e, "search", "type:custody.change", "--tenant", "acme", "--limit", "10000")
		sealed = 0
		for _, x := range page.Events {
			if x.Attributes["review"] == made.ID.String() && x.Attributes["digest"] == made.Digest {
				sealed++
			}
		}
		return sealed >= 1+len(shown.Acts)
	})
	if want := 1 + len(shown.Acts); sealed != want {
		t.Errorf("%d events of the review, want %d", sealed, want)
	}
	checkReports(t, dir, id, &shown)
}

// decide runs a verb with the API key of an owner.
func decide(t *testing.T, dir, who string, args ...string) {
	t.Helper()
	keys := filepath.Join(dir, demoKeys)
	file := filepath.Join(t.TempDir(), "key")
	key := ask(t, "apikey", "add", who, "--role", "reviewer", "--tenant", "acme", "--owner", who+"@acme.example", "--serve-keys", keys)
	if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	var local endpoint
	b, err := os.ReadFile(endpointFile(dir))
	if err == nil {
		err = json.Unmarshal(b, &local)
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the key of "+who+" is known", func(context.Context) bool {
		_, err := try(t, append(args, "--api-url", local.API, "--api-key-file", file)...)
		if err != nil && !strings.Contains(err.Error(), "unknown, expired or disabled") {
			t.Fatal(err)
		}
		return err == nil
	})
}

// checkReports reads every form back with something that did not write it.
func checkReports(t *testing.T, dir, id string, shown *reviewAnswer) {
	t.Helper()
	made := map[string][]byte{}
	for _, format := range review.Formats() {
		file := filepath.Join(t.TempDir(), "report."+format)
		ask(t, "review", "export", id, "--output", format, "-o", file, "--data-dir", dir)
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if again := ask(t, "review", "export", id, "--output", format, "--data-dir", dir); again != string(b) {
			t.Errorf("%s is not the same twice", format)
		}
		made[format] = b
		if keep := os.Getenv("CUSTODY_TEST_REPORTS"); keep != "" { // to be looked at
			if err := os.WriteFile(filepath.Join(keep, "report."+format), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	page := string(made["html"])
	if strings.Contains(page, "<script") || !strings.Contains(page, "&lt;script&gt;") || !strings.Contains(page, "<svg") || !strings.Contains(page, "Unwitnessed") || !strings.Contains(page, "ASI03") {
		t.Error("the page is not escaped, or lacks something")
	}
	rows, err := csv.NewReader(bytes.NewReader(made["csv"])).ReadAll()
	if err != nil || len(rows) != 1+len(shown.Lines) || !strings.Contains(string(made["csv"]), `'=HYPERLINK`) {
		t.Errorf("CSV of %d rows, %v", len(rows), err)
	}
	checkReportSchema(t, made["json"], shown)
	v, err := validation.NewValidator(made["oscal"])
	if err == nil {
		err = v.Validate()
	}
	if n := bytes.Count(made["oscal"], []byte(`"name": "decided-by"`)); err != nil || n == 0 {
		t.Errorf("OSCAL with %d decisions: %v", n, err)
	}
}

func checkReportSchema(t *testing.T, b []byte, shown *reviewAnswer) {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "..", "docs", "reference", "review.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err == nil {
		err = schema.Validate(doc)
	}
	if err != nil {
		t.Errorf("the report is not of its schema: %v", err)
	}
	var r review.Report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(r.Frameworks, func(f review.Framework) bool { return f.Name == "OWASP Agentic 2026" })
	if j := slices.IndexFunc(r.Frameworks[i].Controls, func(c review.Control) bool { return c.ID == "ASI03" }); len(r.Frameworks[i].Controls[j].LineKeys) == 0 || r.Digest != shown.Digest || !r.IsUnwitnessed || len(r.Lines) != len(shown.Lines) {
		t.Errorf("reported: %+v", r.Frameworks[i])
	}
}
