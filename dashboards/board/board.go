// Package board is what Custody's dashboards are made with: a builder that reads
// a panel's query and its description from one .sql file.
//
// It stands between the packages of the dashboards, one for each, and
// grafana-foundation-sdk, which it hides nothing of: a panel is the SDK's builder
// with title, description, query and empty state set. It guarantees that a
// query's parameters are known ones, that a value chosen in Grafana reaches
// ClickHouse only as text that cannot end a string literal (see [Expand]), and
// that the same code gives the same bytes.
package board

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// Panel is a panel being built.
type Panel = cog.Builder[dashboard.Panel]

// Board is one dashboard being built. It is not safe for concurrent use.
type Board struct {
	// Name of the dashboard: its folder, its file and the end of its UID.
	Name string
	// Title in Grafana.
	Title string

	files   fs.FS // the .sql files
	builder *dashboard.DashboardBuilder
	queries []*Query
	sources []string // kinds of data source, in the order of first use
	panels  uint32
	errs    []error
}

// New begins a dashboard whose queries lie in files.
func New(name, title, description string, files fs.FS) *Board {
	b := &Board{Name: name, Title: title, files: files}
	b.builder = dashboard.NewDashboardBuilder(title).
		Uid(UID(name)).
		Description(description).
		Tags([]string{Tag}).
		Time("now-24h", "now").
		Timezone("utc").
		Refresh("1m").
		Readonly().
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Link(dashboard.NewDashboardLinkBuilder("Custody").
			Type(dashboard.DashboardLinkTypeDashboards).
			Tags([]string{Tag}).
			AsDropdown(true).
			IncludeVars(true).
			KeepTime(true))
	b.source(ClickHouse)
	return b
}

// Tag is on every dashboard of Custody.
const Tag = "custody"

// UID is what a dashboard's links name it by.
func UID(name string) string { return "custody-" + name }

// Since sets the time that is shown at first, up to now: "now-90d".
func (b *Board) Since(from string) { b.builder.Time(from, "now") }

// Row begins a row; the panels added next stand in it.
func (b *Board) Row(title string) {
	b.panels++
	b.builder.WithRow(dashboard.NewRowBuilder(title).Id(b.panels))
}

// Add puts a panel at the next free place; its size is its own.
func (b *Board) Add(panels ...Panel) {
	for _, p := range panels {
		built, err := p.Build()
		if err != nil {
			b.fail(err)
			continue
		}
		b.panels++
		id := b.panels
		built.Id = &id
		b.builder.WithPanel(finished(built))
	}
}

// finished is a panel that is built already.
type finished dashboard.Panel

func (f finished) Build() (dashboard.Panel, error) { return dashboard.Panel(f), nil }

// Build returns the dashboard, or everything that is wrong with it.
func (b *Board) Build() (dashboard.Dashboard, error) {
	d, err := b.builder.Build()
	if err = errors.Join(append(b.errs, err)...); err != nil {
		return d, fmt.Errorf("dashboard %s: %w", b.Name, err)
	}
	return d, nil
}

// Queries returns the queries of the panels and of the variables, in order.
func (b *Board) Queries() []*Query { return b.queries }

func (b *Board) fail(err error) { b.errs = append(b.errs, err) }

// The kinds of data source. Each dashboard has a variable that chooses one.
const (
	ClickHouse = "grafana-clickhouse-datasource"
	Prometheus = "prometheus"
)

// variableOf names the variable that holds the data source of a kind.
var variableOf = map[string]string{ClickHouse: "clickhouse", Prometheus: "prometheus"}

// source returns the reference to a data source, and declares its variable once.
func (b *Board) source(kind string) common.DataSourceRef {
	name := variableOf[kind]
	known := false
	for _, s := range b.sources {
		known = known || s == kind
	}
	if !known {
		b.sources = append(b.sources, kind)
		b.builder.WithVariable(dashboard.NewDatasourceVariableBuilder(name).Type(kind).Label("Data source (" + name + ")"))
	}
	uid := "${" + name + "}"
	return common.DataSourceRef{Type: &kind, Uid: &uid}
}
