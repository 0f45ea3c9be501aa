package board

import (
	"embed"
	"fmt"
	"io/fs"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// The queries of the annotations are the same on every dashboard.
//
//go:embed annotation/*.sql
var annotationFiles embed.FS

// annotations are what charts can be marked with, by the name of the query.
var annotations = map[string]struct{ title, color string }{
	"opened_findings":  {"Findings", "red"},
	"changed_policies": {"Policy changes", "blue"},
}

// Annotate marks times on all charts: "opened_findings", "changed_policies". A query
// gives a time, a text, and tags with commas between.
func (b *Board) Annotate(names ...string) {
	for _, name := range names {
		a, ok := annotations[name]
		if !ok {
			b.fail(fmt.Errorf("no annotations %q", name))
			continue
		}
		q := b.shared(annotationFiles, "annotation", name)
		b.builder.Annotation(dashboard.NewAnnotationQueryBuilder().
			Name(a.title).
			Datasource(*q.Datasource).
			IconColor(a.color).
			Target(q))
	}
}

// shared reads a query that belongs to no panel and is the same on every dashboard.
func (b *Board) shared(files embed.FS, folder, name string) *Query {
	sub, err := fs.Sub(files, folder)
	if err != nil {
		b.fail(err)
		return &Query{}
	}
	of := &Board{Name: b.Name, files: sub, builder: b.builder, sources: b.sources}
	q := of.query(name, "A", rows)
	q.Variable = true
	b.errs, b.queries = append(b.errs, of.errs...), append(b.queries, q)
	return q
}
