package collector

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// quotaBurst is how many seconds of its quota a source may send at once.
const quotaBurst = 10

// quotas hold sources to their events per second.
type quotas struct {
	mu       sync.Mutex
	limiters map[string]*rate.Limiter // by TENANT/ID; guarded by mu
}

// take tells whether the source may send n events now. A batch larger than the
// burst counts as the burst: no quota makes a batch impossible.
func (q *quotas) take(src *Source, n int, now time.Time) bool {
	if src.EventsPerSecond == 0 {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	name := src.Tenant + "/" + src.ID
	l := q.limiters[name]
	if l == nil || l.Limit() != rate.Limit(src.EventsPerSecond) {
		l = rate.NewLimiter(rate.Limit(src.EventsPerSecond), quotaBurst*src.EventsPerSecond)
		if q.limiters == nil {
			q.limiters = map[string]*rate.Limiter{}
		}
		q.limiters[name] = l
	}
	return l.AllowN(now, min(n, l.Burst()))
}
