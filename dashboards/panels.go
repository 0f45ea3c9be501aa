package dashboards

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/custody-audit/custody/dashboards/board"
)

// Panel is what a panel asks ClickHouse, for who asks without a Grafana.
type Panel struct {
	Title   string
	Queries []*board.Query // none: it asks Prometheus
}

// Panels returns the panels in their order.
func (b Built) Panels() []Panel {
	var out []Panel
	for _, p := range b.Dashboard.Panels {
		if p.Panel == nil {
			continue // a row
		}
		panel := Panel{Title: *p.Panel.Title}
		for _, target := range p.Panel.Targets {
			if q, ok := target.(*board.Query); ok {
				panel.Queries = append(panel.Queries, q)
			}
		}
		out = append(out, panel)
	}
	return out
}

var sincePattern = regexp.MustCompile(`^now-(\d+)([hd])$`)

// View is what the dashboard shows at first.
func (b Built) View(now time.Time) (board.View, error) {
	m := sincePattern.FindStringSubmatch(b.Dashboard.Time.From)
	if m == nil {
		return board.View{}, fmt.Errorf("dashboard %s begins at %q", b.Name, b.Dashboard.Time.From)
	}
	n, err := strconv.Atoi(m[1])
	unit := map[string]time.Duration{"h": time.Hour, "d": 24 * time.Hour}[m[2]]
	return board.Everything(now.Add(-time.Duration(n)*unit), now), err
}
