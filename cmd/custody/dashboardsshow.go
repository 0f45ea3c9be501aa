package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/dashboards"
	"github.com/custody-audit/custody/dashboards/board"
	"github.com/custody-audit/custody/evidence/query"
)

// shownPanel is a panel's answer to one of its queries.
type shownPanel struct {
	Panel string `json:"panel"`
	Query string `json:"query"` // name of its .sql file
	*query.Table
	empty string // what the panel says instead of rows
}

// panelChoice is what a person chooses on a dashboard.
type panelChoice struct {
	panel, tenant, from, to string
	interval                time.Duration
	set                     map[string]string
}

func newDashboardsShow(a *app) *cobra.Command {
	var chosen panelChoice
	var limit int
	var output *choice
	c := takes(&cobra.Command{
		Use:   "show DASHBOARD",
		Short: "Ask what a dashboard asks, and print the rows",
		Long: `Asks ClickHouse what the panels of a dashboard ask, with the same text that Grafana would send, and prints the rows: for who has no
Grafana. "custody dashboards list" names the dashboards. Panels that ask Prometheus are left out.`,
		Example: "  custody dashboards show overview --data-dir data/demo\n  custody dashboards show privilege --panel 'Remove first' --tenant acme\n  custody dashboards show delegation --panel hops --set start=TOKEN --output json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := dashboardNamed(args[0])
			if err != nil {
				return err
			}
			panels, err := b.choose(chosen.panel)
			if err != nil {
				return err
			}
			v, err := chosen.view(b)
			if err != nil {
				return err
			}
			r, done, err := a.reader(chosen.tenant)
			if err != nil {
				return err
			}
			defer done()
			shown, err := showPanels(cmd.Context(), r, panels, v, limit)
			if err != nil {
				return err
			}
			return output.print(cmd.OutOrStdout(), shown, func(w io.Writer) error { return writePanels(w, shown) })
		},
	}, "clickhouse")
	f := c.Flags()
	f.StringVar(&chosen.panel, "panel", "", "only this panel, by its title or the name of its query")
	f.StringVar(&chosen.tenant, "tenant", "", "only this tenant")
	f.StringVar(&chosen.from, "from", "", "begin of the range: a time (RFC 3339), or a duration as 24h before now; empty: the dashboard's own")
	f.StringVar(&chosen.to, "to", "", "end of the range; empty: now")
	f.DurationVar(&chosen.interval, "interval", 0, "time between two points of a chart; 0: a 24th of the range")
	f.StringToStringVar(&chosen.set, "set", nil, "value of another variable of the dashboard, as server=github-mcp: server, agent, start, severity, review")
	f.IntVar(&limit, "limit", 50, "rows of a panel")
	output = outputFlag(c, "table", "json")
	return c
}

// shownBoard is a dashboard whose panels are asked here.
type shownBoard struct{ dashboards.Built }

func dashboardNamed(name string) (*shownBoard, error) {
	built, err := dashboards.Build()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, b := range built {
		if b.Name == name {
			return &shownBoard{b}, nil
		}
		names = append(names, b.Name)
	}
	return nil, fmt.Errorf("no dashboard %q: want %s", name, strings.Join(names, ", "))
}

// choose returns the panels of that title, or with a query of that name; all for none.
func (b *shownBoard) choose(name string) ([]dashboards.Panel, error) {
	var out []dashboards.Panel
	var titles []string
	for _, p := range b.Panels() {
		if len(p.Queries) == 0 {
			continue
		}
		asked := slices.ContainsFunc(p.Queries, func(q *board.Query) bool { return q.File == name })
		if name == "" || asked || strings.EqualFold(p.Title, name) {
			out = append(out, p)
		}
		titles = append(titles, fmt.Sprintf("%q", p.Title))
	}
	if out == nil {
		return nil, fmt.Errorf("dashboard %s has no panel %q that asks ClickHouse: want %s", b.Name, name, strings.Join(titles, ", "))
	}
	return out, nil
}

// view is what was chosen of the dashboard's own.
func (c *panelChoice) view(b *shownBoard) (board.View, error) {
	v, err := b.View(time.Now())
	if err != nil {
		return v, err
	}
	length := v.To.Sub(v.From)
	from, err1 := moment("--from", c.from)
	to, err2 := moment("--to", c.to)
	if err := errors.Join(err1, err2); err != nil {
		return v, err
	}
	if to.IsZero() {
		to = v.To
	}
	if from.IsZero() {
		from = to.Add(-length)
	}
	if !from.Before(to) {
		return v, errors.New("--from: want a time before --to")
	}
	v = board.Everything(from, to)
	if c.interval > 0 {
		v.Interval = c.interval
	}
	for name, value := range c.set {
		if _, known := v.Variables[name]; !known {
			return v, fmt.Errorf("--set: no variable %q: want %s", name, strings.Join(slices.Sorted(maps.Keys(v.Variables)), ", "))
		}
		v.Variables[name] = value
	}
	if c.tenant != "" {
		v.Variables["tenant"] = c.tenant
	}
	return v, nil
}

func showPanels(ctx context.Context, r *query.Reader, panels []dashboards.Panel, v board.View, limit int) ([]shownPanel, error) {
	var out []shownPanel
	for _, p := range panels {
		for _, q := range p.Queries {
			sql, err := v.Statement(q)
			if err != nil {
				return nil, err
			}
			t, err := r.SQL(ctx, sql, limit)
			if err != nil {
				return nil, fmt.Errorf("panel %q (%s): %w", p.Title, q.File, err)
			}
			out = append(out, shownPanel{p.Title, q.File, t, q.Header.Empty})
		}
	}
	return out, nil
}

func writePanels(w io.Writer, shown []shownPanel) error {
	for i, p := range shown {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s (%s)\n", p.Panel, p.Query)
		if len(p.Rows) == 0 {
			fmt.Fprintln(w, p.empty)
			continue
		}
		if err := writeSQL(w, p.Table, "table"); err != nil {
			return err
		}
		if p.Cut != "" {
			fmt.Fprintln(w, "cut:", p.Cut)
		}
	}
	return nil
}
