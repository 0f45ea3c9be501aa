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
}

// window is the stored time that one query judges, from inclusive.
type window struct{ from, to time.Time }

// sweepMark is under which name progress has when a rule swept last; no rule has
// such an id.
func sweepMark(rule string) string { return rule + ":sweep" }

// advance judges what is new, or everything when that is due, and notes when it
// did. It returns how far it came, also with an error.
func (e *Engine) advance(ctx context.Context, t *task, marks map[string]time.Time, until time.Time, reached map[string]time.Time) (time.Time, Result, error) {
	swept := sweepMark(t.ID)
	if t.Schedule.Sweep == 0 || until.Sub(marks[swept]) < t.Schedule.Sweep {
		return e.catchUp(ctx, t, marks[t.ID], until)
	}
	done, err := e.judge(ctx, t, window{time.Unix(0, 0), until})
	if err != nil {
		return marks[t.ID], done, err
	}
	reached[swept] = until
	return latest(marks[t.ID], until), done, nil
}

// catchUp judges step by step from the watermark, and as far behind it as
// records may have become visible since, until the given time. It returns how
// far it came, also with an error.
func (e *Engine) catchUp(ctx context.Context, t *task, watermark, until time.Time) (time.Time, Result, error) {
	if t.Schedule.Always {
		done, err := e.judge(ctx, t, window{until.Add(-e.cfg.Step), until})
		if err != nil {
			return watermark, done, err
		}
		return until, done, nil
	}
	var total Result
	from := watermark.Add(-e.cfg.Visible - t.Schedule.Again)
	for from.Before(until) {
		first, err := e.store.firstStored(ctx, from, until, t.step)
		if err != nil {
			return watermark, total, err
		}
		if first.IsZero() {
			return latest(watermark, until), total, nil
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
			return watermark, total, err
		}
		from, watermark = w.to, latest(watermark, w.to)
		e.cfg.Progress(t.ID, w.to)
		t.step = min(2*t.step, e.cfg.Step)
	}
	return watermark, total, nil
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
