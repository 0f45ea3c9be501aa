package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// allowed says which stages a stage may import, beside itself: imports follow
// the events. The chain builder is the processor's and evidence shows what it built.
var allowed = map[string][]string{
	"schemas":    {},
	"collector":  {"schemas"},
	"processor":  {"schemas"},
	"evidence":   {"schemas", "processor"},
	"dashboards": {"schemas"},
	"deploy":     {"schemas", "collector", "processor", "evidence", "dashboards"},
	"cmd":        {"schemas", "collector", "processor", "evidence", "dashboards", "deploy"},
}

const module = "github.com/custody-audit/custody/"

// Tests in a package of their own may import deploy, for real servers, and story.
func TestImportDirection(t *testing.T) {
	root := filepath.Join("..", "..")
	files := 0
	for stage := range allowed {
		err := filepath.WalkDir(filepath.Join(root, stage), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			files++
			checkImports(t, stage, path)
			return nil
		})
		if err != nil && stage != "dashboards" { // comes with its issue
			t.Error(err)
		}
	}
	if files < 50 {
		t.Errorf("only %d files looked at", files)
	}
}

func checkImports(t *testing.T, stage, path string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	if strings.HasSuffix(f.Name.Name, "_test") || stage == "deploy" && strings.HasSuffix(path, "_test.go") {
		return
	}
	for _, i := range f.Imports {
		name, ours := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), module)
		if !ours {
			continue
		}
		to, _, _ := strings.Cut(name, "/")
		if to != stage && !slices.Contains(allowed[stage], to) {
			t.Errorf("%s imports %s: %s may import %v only", path, name, stage, allowed[stage])
		}
	}
}

// The folders are the flow, and nothing else.
func TestTopLevel(t *testing.T) {
	want := []string{"cmd", "collector", "dashboards", "deploy", "docs", "evidence", "processor", "schemas"}
	entries, err := filepath.Glob(filepath.Join("..", "..", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		dir := filepath.Base(filepath.Dir(e))
		if !slices.Contains(want, dir) && dir != "bin" && dir != "data" && !strings.HasPrefix(dir, ".") {
			t.Errorf("folder %s does not belong here", dir)
		}
	}
}
