package dashboards_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/dashboards"
	"github.com/custody-audit/custody/dashboards/board"
)

// Every .sql file belongs to one panel, or is a variable's, and every panel's
// query has its file: named as the function that makes the panel.
func TestFiles(t *testing.T) {
	for _, b := range dashboards.All() {
		var want []string
		for _, q := range b.Queries() {
			if !q.Variable {
				want = append(want, filepath.Join(b.Name, q.File+".sql"))
			}
		}
		slices.Sort(want)
		got, err := filepath.Glob(filepath.Join(b.Name, "*.sql"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: .sql files (-asked +there):\n%s", b.Name, diff)
		}
		functions := functionsOf(t, b.Name)
		for _, file := range got {
			name := strings.TrimSuffix(filepath.Base(file), ".sql")
			if !slices.ContainsFunc(functions, func(f string) bool { return f == name || strings.HasPrefix(name, f+"_") }) {
				t.Errorf("%s: no function of that name", file)
			}
		}
	}
	count := 0
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".sql") {
			count++
		}
		return err
	})
	panels := 6 + len(alertFiles(t)) // the variables', the annotations', and the alert rules'
	for _, b := range dashboards.All() {
		panels += len(b.Queries()) - len(slices.DeleteFunc(slices.Clone(b.Queries()), func(q *board.Query) bool { return !q.Variable }))
	}
	if err != nil || count != panels {
		t.Errorf("%d .sql files, %d queries, %v", count, panels, err)
	}
}

// functionsOf returns the names of a package's functions as file names: eventsByKind is events_by_kind.
func functionsOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				names = append(names, snake(f.Name.Name))
			}
		}
	}
	return names
}

func snake(name string) string {
	var sb strings.Builder
	for _, r := range name {
		if r >= 'A' && r <= 'Z' {
			sb.WriteByte('_')
			r += 'a' - 'A'
		}
		sb.WriteRune(r)
	}
	return sb.String()
}

func alertFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("alert", "*.sql"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}
