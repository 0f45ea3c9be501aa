package board

import (
	"errors"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// Series is a query to Prometheus and how its lines are called.
type Series struct {
	Legend, Expr string
}

// Metric shows what Prometheus has of the services' own figures.
func (b *Board) Metric(title, unit string, h Header, series ...Series) *timeseries.PanelBuilder {
	if err := h.check(); err != nil {
		b.fail(fmt.Errorf("panel %q: %w", title, err))
	}
	if len(series) > 26 {
		b.fail(errors.New("a panel has more queries than the alphabet has letters"))
	}
	ds := b.source(Prometheus)
	p := lines(title).Description(h.Description()).NoValue(h.Empty).Datasource(ds).Unit(unit)
	for i, s := range series {
		p.WithTarget(prometheus.NewDataqueryBuilder().
			Expr(s.Expr).
			LegendFormat(s.Legend).
			RefId(string(rune('A' + i))).
			Range().
			EditorMode(prometheus.QueryEditorModeCode).
			Datasource(ds))
	}
	return p
}
