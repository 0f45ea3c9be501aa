package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/workload"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/event"
)

// question is timed.
type question struct {
	name   string
	target float64 // of p95, in milliseconds
	ask    func(ctx context.Context) error
}

// ask times every question and returns its p50 and p95.
func (l *loaded) ask(ctx context.Context, size string) ([]Figure, error) {
	conn, err := l.openAs(embedded.Analyst, "custody")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	r, err := query.New(query.Config{ClickHouse: conn})
	if err != nil {
		return nil, err
	}
	tenant, err := query.New(query.Config{ClickHouse: conn, Tenant: "acme"})
	if err != nil {
		return nil, err
	}
	var figures []Figure
	for _, q := range l.questions(r, tenant) {
		var took []float64
		for n := range l.cfg.Asked + 3 {
			began := time.Now()
			if err := q.ask(ctx); err != nil {
				return nil, fmt.Errorf("%s: %w", q.name, err)
			}
			if n >= 3 { // the first ones open connections and files
				took = append(took, time.Since(began).Seconds()*1e3)
			}
		}
		slices.Sort(took)
		p50, p95 := took[len(took)/2], took[len(took)*95/100]
		l.say("%s %s: p50 %.1f ms, p95 %.1f ms, at most %.1f ms", size, q.name, p50, p95, took[len(took)-1])
		figures = append(figures, Figure{Name: q.name + "_p50/" + size, Value: round(p50), Unit: "ms"}, absolute(q.name+"_p95/"+size, p95, "ms", q.target))
	}
	return figures, nil
}

func (l *loaded) questions(r, tenant *query.Reader) []question {
	search := func(text string) func(context.Context) error {
		return func(ctx context.Context) error {
			now := l.w.Base.Add(-time.Duration(l.rng.IntN(l.cfg.Days*24)) * time.Hour)
			f, err := query.ParseFilter(fmt.Sprintf("%s after:%s before:%s", text, now.AddDate(0, 0, -7).Format(time.RFC3339), now.Format(time.RFC3339)), now)
			if err != nil {
				return err
			}
			_, err = r.Search(ctx, f, 50, "")
			return err
		}
	}
	return []question{
		{"event_by_id", 20, func(ctx context.Context) error {
			e := l.sample()
			got, err := r.Events(ctx, []string{e.id})
			if err == nil && (len(got) != 1 || got[0].ID != e.id) {
				err = fmt.Errorf("%d events for id %s", len(got), e.id)
			}
			return err
		}},
		{"chain_by_event", 60, func(ctx context.Context) error { return l.chain(ctx, r, func(s stored) string { return s.id }) }},
		{"chain_by_token", 60, func(ctx context.Context) error { return l.chain(ctx, r, func(s stored) string { return s.token }) }},
		{"blast_of_agent", 500, func(ctx context.Context) error {
			to := l.w.Base.Add(time.Duration(l.cfg.Base/workload.LineageEvents) * l.w.Step)
			_, err := tenant.BlastRadius(ctx, "principal:planner", query.ChainOptions{From: to.AddDate(0, 0, -30), To: to})
			return err
		}},
		{"search_page", 300, search("tenant:acme actor:planner kind:tool_invocation")},
		{"search_rare", 300, search("tenant:acme subject:user-017 tool:deploy_service outcome:success")},
	}
}

// stored is the last call of a task as it is stored in some copy.
type stored struct{ id, token, trace string }

func (l *loaded) sample() stored {
	n, events := l.pick()
	last := events[workload.LineageEvents-3]
	for i := len(events) - 1; last.Kind != event.ToolInvocation; i-- {
		last = events[i]
	}
	if n == 0 {
		return stored{last.ID, last.Token.Ref, last.Correlation.TraceID}
	}
	moved := event.NewID("", "", "x", last.Time.Add(-l.back(n)))
	return stored{moved[:14] + "8" + label(n) + last.ID[18:], "sha256:" + label(n) + last.Token.Ref[10:], label(n) + last.Correlation.TraceID[3:]}
}

func (l *loaded) chain(ctx context.Context, r *query.Reader, start func(stored) string) error {
	s := l.sample()
	found, err := r.Chain(ctx, start(s))
	if err == nil && found.Chains[0].Depth != workload.LineageDepth {
		err = fmt.Errorf("the chain of %s has depth %d, want %d", start(s), found.Chains[0].Depth, workload.LineageDepth)
	}
	return err
}
