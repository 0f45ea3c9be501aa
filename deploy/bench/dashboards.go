package bench

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/dashboards"
	"github.com/custody-audit/custody/dashboards/alert"
	"github.com/custody-audit/custody/dashboards/board"
	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/workload"
)

// standing are statements that store what passes, detections and people make of so
// many events, in the order of their names: to run those on millions of events takes
// longer than to ask about what they leave.
//
//go:embed standing/*.sql
var standing embed.FS

// PanelCost is what one query of a dashboard took.
type PanelCost struct {
	Name   string  `json:"name"`      // dashboard and query, and what was typed into "start"
	Read   uint64  `json:"rows_read"` // by ClickHouse
	Budget uint64  `json:"budget"`    // what it may read, of so many events; 0: it has none
	Rows   int     `json:"rows"`      // of the answer
	Millis float64 `json:"ms"`
}

// Over tells whether it read more than it may.
func (c PanelCost) Over() bool { return c.Read > c.Budget }

// Dashboards stores so many events, the largest of Sizes, with what is made of them,
// and asks what every dashboard and alert rule asks, at the end of the days and with
// everything chosen, as it stands when one opens it; and those that take a start, for
// a token, a trace and an event.
func Dashboards(ctx context.Context, cfg LoadConfig) (_ []PanelCost, err error) {
	l, err := newLoaded(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if _, err := l.fill(ctx, l.cfg.Sizes[len(l.cfg.Sizes)-1]); err != nil {
		return nil, err
	}
	if err := l.stand(ctx); err != nil {
		return nil, err
	}
	asked, err := l.panels()
	if err != nil {
		return nil, err
	}
	conn, err := l.openAs(embedded.Analyst, "custody")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	budgets, err := dashboards.Budgets()
	if err != nil {
		return nil, err
	}
	var costs []PanelCost
	for _, p := range asked {
		cost, err := p.cost(ctx, conn, cfg.Asked)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		cost.Budget = budgets[p.name].Of(l.stored())
		l.say("%s: %d rows read, %.1f ms", cost.Name, cost.Read, cost.Millis)
		costs = append(costs, cost)
	}
	return costs, nil
}

// until is the end of the days over which the events lie.
func (l *loaded) until() time.Time {
	return l.w.Base.Add(time.Duration(l.cfg.Base/workload.LineageEvents) * l.w.Step).UTC()
}

// stored is how many events there are: of an earlier run, or of a base, there may be more
// than were asked for.
func (l *loaded) stored() int { return l.copies * l.cfg.Base }

// stand stores what stands beside the events, once.
func (l *loaded) stand(ctx context.Context) error {
	var there bool
	if err := l.admin.QueryRow(ctx, "SELECT count() > 0 FROM checkpoints").Scan(&there); err != nil || there {
		return err
	}
	files, err := fs.Glob(standing, "standing/*.sql")
	if err != nil {
		return err
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{
		"events": fmt.Sprint(l.stored()), "until": l.until().Format("2006-01-02 15:04:05.000")}))
	for _, file := range files {
		text, err := fs.ReadFile(standing, file)
		if err != nil {
			return err
		}
		if err := l.admin.Exec(ctx, string(text)); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return l.settle(ctx)
}

// askedPanel is a query with what is chosen on its dashboard.
type askedPanel struct {
	name, sql string
}

// panels are all queries of dashboards and alert rules; one that belongs to several is
// asked on each that shows another length of time.
func (l *loaded) panels() ([]askedPanel, error) {
	built, err := dashboards.Build()
	if err != nil {
		return nil, err
	}
	var out []askedPanel
	add := func(name string, q *board.Query, v board.View) error {
		sql, err := v.Statement(q)
		out = append(out, askedPanel{name, sql})
		return err
	}
	s := l.sample()
	starts := [][2]string{{"token", s.token}, {"trace", s.trace}, {"event", s.id}}
	var errs []error
	for i, b := range dashboards.All() {
		opened, err := built[i].View(l.until())
		if err != nil {
			return nil, err
		}
		for _, q := range b.Queries() {
			errs = append(errs, add(b.Name+"/"+q.File, q, opened))
			for _, start := range starts {
				if !strings.Contains(q.SQL, "{start:String}") {
					continue
				}
				v := board.Everything(opened.From, opened.To)
				v.Variables["start"] = start[1]
				errs = append(errs, add(b.Name+"/"+q.File+"?"+start[0], q, v))
			}
		}
	}
	rules, err := alert.Rules()
	errs = append(errs, err)
	for _, r := range rules {
		if r.Query != nil {
			errs = append(errs, add("alert/"+r.Name, r.Query, board.Everything(l.until().Add(-time.Duration(r.Range)*time.Second), l.until())))
		}
	}
	return out, errors.Join(errs...)
}

// cost asks several times: what is read is the most of them, the time the median.
func (p askedPanel) cost(ctx context.Context, conn driver.Conn, times int) (PanelCost, error) {
	c := PanelCost{Name: p.name}
	var took []float64
	for range times {
		read, began := uint64(0), time.Now()
		counting := clickhouse.Context(ctx, clickhouse.WithProgress(func(p *clickhouse.Progress) { read += p.Rows }))
		rows, err := conn.Query(counting, p.sql)
		if err != nil {
			return c, err
		}
		for c.Rows = 0; rows.Next(); {
			c.Rows++
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return c, err
		}
		took, c.Read = append(took, time.Since(began).Seconds()*1e3), max(c.Read, read)
	}
	c.Millis = round(middle(slices.Clone(took)))
	return c, nil
}
