package detect

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Backtest judges what was stored from a time on and before another by one rule,
// as if it were found now for the first time, and stores nothing. Findings that a
// rule would resolve again come with that status, those that it would not make
// do not come. After each step progress is told how far it came and how many
// findings there are. The rule may look at live findings; it sees none of these.
func (e *Engine) Backtest(ctx context.Context, rule string, from, to time.Time, progress func(reached time.Time, findings int)) ([]*Finding, error) {
	all := slices.Concat(e.lanes[0].rules, e.lanes[1].rules)
	i := slices.IndexFunc(all, func(t *task) bool { return t.ID == rule })
	if i < 0 {
		return nil, fmt.Errorf("there is no rule %q", rule)
	}
	t := *all[i] // its step is its own
	known, seen, order := map[string]*Finding{}, map[string]bool{}, []string{}
	judge := func(w window) error {
		verdicts, err := e.verdicts(ctx, &t, w)
		if err != nil {
			return err
		}
		keys := make([]string, len(verdicts))
		for i, v := range verdicts {
			keys[i] = Key(v.Tenant, t.ID, v.SubjectKey)
		}
		changed, _, _ := settle(t.Rule, verdicts, keys, known, w.to)
		for _, f := range changed {
			if !seen[f.Key] {
				seen[f.Key] = true
				order = append(order, f.Key)
			}
		}
		progress(w.to, len(order))
		return nil
	}
	if err := e.replay(ctx, &t, window{from, to}, judge); err != nil {
		return nil, fmt.Errorf("rule %s: %w", rule, err)
	}
	out := make([]*Finding, 0, len(order))
	for _, key := range order {
		out = append(out, known[key])
	}
	return out, nil
}

// replay judges a span of stored time step by step, smaller where a limit is met.
func (e *Engine) replay(ctx context.Context, t *task, span window, judge func(window) error) error {
	switch {
	case t.Schedule.Always:
		return judge(span)
	case t.Schedule.Sweep > 0:
		return judge(window{time.Unix(0, 0), span.to})
	}
	for from := span.from; from.Before(span.to); {
		first, err := e.store.firstStored(ctx, from, span.to, t.step)
		if err != nil {
			return err
		}
		if first.IsZero() {
			return nil
		}
		w := window{first, earliest(first.Add(t.step), span.to)}
		switch err := judge(w); {
		case exceeded(err) && t.step > MinStep:
			t.step = max(t.step/2, MinStep)
			continue
		case err != nil:
			return err
		}
		from, t.step = w.to, min(2*t.step, e.cfg.Step)
	}
	return nil
}
