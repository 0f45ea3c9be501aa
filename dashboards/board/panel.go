package board

import (
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/nodegraph"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// Grid sizes. The grid is 24 wide.
const (
	Full = 24
	Half = 12

	tableHeight = 9
	chartHeight = 8
	statHeight  = 4
)

// Figures shows the columns of one row, each as a number.
func (b *Board) Figures(title, file string) *stat.PanelBuilder {
	q := b.query(file, "A", rows)
	return stat.NewPanelBuilder().
		Title(title).Description(q.Header.Description()).NoValue(q.Header.Empty).
		Datasource(*q.Datasource).WithTarget(q).
		Span(Full).Height(statHeight).
		Unit(units.Short).
		GraphMode(common.BigValueGraphModeNone).
		ColorMode(common.BigValueColorModeNone).
		TextMode(common.BigValueTextModeValueAndName).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}).Values(false).Fields("/.*/"))
}

// Table shows rows.
func (b *Board) Table(title, file string) *table.PanelBuilder {
	q := b.query(file, "A", rows)
	return table.NewPanelBuilder().
		Title(title).Description(q.Header.Description()).NoValue(q.Header.Empty).
		Datasource(*q.Datasource).WithTarget(q).
		Span(Full).Height(tableHeight).
		Filterable(true)
}

// Chart shows numbers over time: the query's first column is the time, a column
// of text names the series.
func (b *Board) Chart(title, file string) *timeseries.PanelBuilder {
	q := b.query(file, "A", timeSeries)
	return lines(title).Description(q.Header.Description()).NoValue(q.Header.Empty).
		Datasource(*q.Datasource).WithTarget(q).
		Interval("1m")
}

// Counts is a Chart of how many things there were in each interval, as stacked bars.
func (b *Board) Counts(title, file string) *timeseries.PanelBuilder {
	return b.Chart(title, file).
		Unit(units.Short).
		DrawStyle(common.GraphDrawStyleBars).FillOpacity(80).LineWidth(0).
		Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal).Group("A"))
}

func lines(title string) *timeseries.PanelBuilder {
	return timeseries.NewPanelBuilder().
		Title(title).
		Span(Half).Height(chartHeight).
		AxisSoftMin(0).
		ShowPoints(common.VisibilityModeAuto).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
}

// Graph shows nodes and the edges between them; the header of the nodes' file
// describes the panel.
func (b *Board) Graph(title, nodes, edges string) *nodegraph.PanelBuilder {
	n, e := b.query(nodes, "nodes", rows), b.query(edges, "edges", rows)
	return nodegraph.NewPanelBuilder().
		Title(title).Description(n.Header.Description()).NoValue(n.Header.Empty).
		Datasource(*n.Datasource).WithTarget(n).WithTarget(e).
		Span(Full).Height(16)
}
