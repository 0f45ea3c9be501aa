package api

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound what requests may cost. A zero field has the default.
type Limits struct {
	// Rows is the most rows of one answer; 0 is 1000.
	Rows int
	// ExportRows is the most events of one export; 0 is 1,000,000.
	ExportRows int
	// Timeout of one question, and of each 5000 events of an export; 0 is 30 s.
	Timeout time.Duration
	// PerSecond is how many requests a caller may send each second, and Burst how
	// many of them at once; 0 is 10 and 50.
	PerSecond, Burst int
	// PerCaller is how many requests of a caller may run at a time, and Together
	// how many of all; 0 is 4 and 16.
	PerCaller, Together int
}

func (l *Limits) setDefaults() error {
	for _, f := range []struct {
		value    *int
		standard int
		name     string
	}{{&l.Rows, 1000, "rows"}, {&l.ExportRows, 1_000_000, "export rows"}, {&l.PerSecond, 10, "requests per second"}, {&l.Burst, 50, "burst"}, {&l.PerCaller, 4, "requests of a caller at a time"}, {&l.Together, 16, "requests at a time"}} {
		if *f.value == 0 {
			*f.value = f.standard
		}
		if *f.value < 0 {
			return fmt.Errorf("limits: %s: want more than 0, got %d", f.name, *f.value)
		}
	}
	if l.Rows > maxRows {
		return fmt.Errorf("limits: rows: want at most %d, got %d", maxRows, l.Rows)
	}
	if l.Timeout == 0 {
		l.Timeout = 30 * time.Second
	}
	if l.Timeout < time.Second {
		return errors.New("limits: timeout: want at least 1s")
	}
	return nil
}

// maxRows is what the packages below give at most, less the one row that shows
// that there are more.
const maxRows = 9_999

// limiter holds callers to their limits.
type limiter struct {
	limits Limits
	now    func() time.Time
	slots  chan struct{} // one of each request that runs

	mu      sync.Mutex
	callers map[string]*quota // by Caller.name; guarded by mu
}

type quota struct {
	rate    *rate.Limiter
	running int
	last    time.Time
}

func newLimiter(l Limits, now func() time.Time) limiter {
	return limiter{limits: l, now: now, slots: make(chan struct{}, l.Together), callers: map[string]*quota{}}
}

// maxQuotas is when those of callers who are gone are forgotten.
const maxQuotas = 10_000

// enter lets a request of a caller begin, until done is called.
func (l *limiter) enter(caller string) (done func(), err error) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.callers[caller]
	if q == nil {
		l.forget(now)
		q = &quota{rate: rate.NewLimiter(rate.Limit(l.limits.PerSecond), l.limits.Burst)}
		l.callers[caller] = q
	}
	q.last = now
	if !q.rate.AllowN(now, 1) {
		return nil, later(http.StatusTooManyRequests, fmt.Sprintf("more than %d requests per second", l.limits.PerSecond), 1)
	}
	if q.running >= l.limits.PerCaller {
		return nil, later(http.StatusTooManyRequests, fmt.Sprintf("%d of your requests are running already", q.running), 1)
	}
	select {
	case l.slots <- struct{}{}:
	default:
		return nil, later(http.StatusServiceUnavailable, "as many questions as may be are being answered", 1)
	}
	q.running++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		q.running--
		<-l.slots
	}, nil
}

// forget drops quotas that would be full again by now. Called with mu held.
func (l *limiter) forget(now time.Time) {
	if len(l.callers) < maxQuotas {
		return
	}
	refilled := time.Duration(l.limits.Burst/l.limits.PerSecond+1) * time.Second
	for name, q := range l.callers {
		if q.running == 0 && now.Sub(q.last) > refilled {
			delete(l.callers, name)
		}
	}
}
