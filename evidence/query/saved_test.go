package query_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/evidence/query"
)

func TestSavedFilters(t *testing.T) {
	f := query.SavedFile{Path: filepath.Join(t.TempDir(), "queries.yaml")}
	now := time.Now()
	if _, err := f.Parse("kind:grant", now); err != nil {
		t.Error("without a file:", err)
	}
	for _, s := range []query.Saved{
		{Name: "deploys", Filter: `tool:deploy* subject:"nobody at all"`, Description: "deployments"},
		{Name: "denied-deploys", Filter: "@deploys outcome:denied"},
		{Name: "deploys", Filter: `tool:deploy* subject:"somebody else"`},
	} {
		if err := f.Save(s); err != nil {
			t.Fatal(err)
		}
	}
	all, err := f.List()
	if err != nil || len(all) != 2 || all[1].Filter != `tool:deploy* subject:"somebody else"` {
		t.Fatal(all, err)
	}
	if _, err := f.Parse("@denied-deploys last:24h", now); err != nil {
		t.Error(err)
	}
	for text, want := range map[string]string{"@nothing": "no saved filter", `"@deploys`: "quote"} {
		if _, err := f.Parse(text, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, bad := range []query.Saved{{Name: "Ä", Filter: "kind:grant"}, {Name: "x", Filter: "nofield:y"}, {Name: "x", Filter: "@x"}, {Name: "../x", Filter: "kind:grant"}} {
		if err := f.Save(bad); err == nil {
			t.Errorf("%+v is saved", bad)
		}
	}
	if err := f.Remove("denied-deploys"); err != nil {
		t.Error(err)
	}
	if err := f.Remove("denied-deploys"); !errors.Is(err, query.ErrNotFound) {
		t.Error(err)
	}
}

// A file that is full takes no other filter, and still another text for one that it has.
func TestSavedFiltersAreBounded(t *testing.T) {
	f := query.SavedFile{Path: filepath.Join(t.TempDir(), "queries.yaml")}
	var text strings.Builder
	text.WriteString("queries:\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "- {name: q%d, filter: \"kind:grant\"}\n", i)
	}
	if err := os.WriteFile(f.Path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Save(query.Saved{Name: "another", Filter: "kind:grant"}); !errors.Is(err, query.ErrSavedFull) {
		t.Error(err)
	}
	if err := f.Save(query.Saved{Name: "q7", Filter: "kind:session"}); err != nil {
		t.Error(err)
	}
}
