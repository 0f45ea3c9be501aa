package detect

import (
	"context"
	"time"

	"github.com/custody-audit/custody/processor/parts"
)

// task is a rule at work.
type task struct {
	*Rule
	parameters map[string]string
	question   parts.Question // the SQL
	step       time.Duration  // most stored time of the next query
	mark       time.Time      // how far it has judged
	swept      time.Time      // when it judged everything last
	owed       time.Time      // what was stored from it on is to be judged; zero is not known
}

// owe has a rule judge what was stored from a time on.
func (t *task) owe(from time.Time) { t.owed = earliest(t.owed, from) }

// window is the stored time that one query judges, from inclusive.
type window struct{ from, to time.Time }

// sweepMark is under which name progress has when a rule swept last; no rule has
// such an id.
func sweepMark(rule string) string { return rule + ":sweep" }

// advance judges what is new, or everything when that is due.
func (e *Engine) advance(ctx context.Context, l *lane, t *task, until time.Time) (Result, error) {
	if t.Schedule.Sweep == 0 || until.Sub(t.swept) < t.Schedule.Sweep {
		return e.catchUp(ctx, l, t, until)
	}
	done, err := e.judge(ctx, t, window{time.Unix(0, 0), until})
	if err == nil {
		t.swept = until
		t.judgedUntil(until)
	}
	return done, err
}

// catchUp judges step by step what is owed, until the given time.
func (e *Engine) catchUp(ctx context.Context, l *lane, t *task, until time.Time) (Result, error) {
	if t.Schedule.Always {
		done, err := e.judge(ctx, t, window{until.Add(-e.cfg.Step), until})
		if err == nil {
			t.judgedUntil(until)
		}
		return done, err
	}
	var total Result
	for t.owed.Before(until) {
		first, seen := l.sight.next(t.owed, until)
		if !seen {
			var err error
			if first, err = e.store.firstStored(ctx, t.owed, until, t.step); err != nil {
				return total, err
			}
		}
		if first.IsZero() {
			break
		}
		w := window{first, earliest(first.Add(t.step), until)}
		done, err := e.judge(ctx, t, w)
		total.add(done)
		switch {
		case exceeded(err) && t.step > MinStep:
			t.step = max(t.step/2, MinStep)
			e.tel.narrowed(ctx, t.ID)
			continue
		case err != nil:
			return total, err
		}
		t.judgedUntil(w.to)
		e.cfg.Progress(t.ID, w.to)
		t.step = min(2*t.step, e.cfg.Step)
	}
	if t.owed.Before(until) {
		t.judgedUntil(until)
	}
	return total, nil
}

// judgedUntil notes how far a rule has judged.
func (t *task) judgedUntil(until time.Time) {
	t.mark, t.owed = latest(t.mark, until), until
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
