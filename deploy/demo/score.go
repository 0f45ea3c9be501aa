package demo

import (
	"errors"
	"fmt"
	"sync"

	"github.com/custody-audit/custody/schemas/event"
)

// score counts what a run has done.
type score struct {
	mu        sync.Mutex
	scenarios int                // guarded by mu
	calls     int                // guarded by mu
	sent      map[event.Kind]int // handed to emitters; guarded by mu
}

func (s *score) call() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
}

func (s *score) emitted(k event.Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent == nil {
		s.sent = map[event.Kind]int{}
	}
	s.sent[k]++
}

// add counts a scenario and tells progress of it, one at a time.
func (s *score) add(c casting, decisions int, progress func(Progress)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scenarios++
	if progress == nil {
		return
	}
	p := Progress{Scenario: c.scenario.name, Tenant: c.tenant.name, Scenarios: s.scenarios, Calls: s.calls, Sent: decisions}
	for _, n := range s.sent {
		p.Sent += n
	}
	progress(p)
}

// summarize says what was done, and as an error what the collector did not acknowledge.
func (e *Estate) summarize() (*Summary, error) {
	truths, dropped := e.ledger.all()
	s := &Summary{Sent: map[event.Kind]int{}, Truth: truths, TruthDropped: dropped, Deepest: deepest(truths), Scenarios: e.score.scenarios, Calls: e.score.calls}
	for k, n := range e.score.sent {
		s.Sent[k] = n
	}
	var errs []error
	for _, t := range e.tenants {
		s.Sent[event.PermissionDecision] += t.pdp.Made()
		for _, src := range t.sources {
			if err := src.unacknowledged(); err != nil {
				errs = append(errs, fmt.Errorf("source %s: %w", src.id, err))
			}
		}
	}
	return s, errors.Join(errs...)
}

func deepest(truths []Truth) string {
	trace, hops := "", 0
	for _, t := range truths {
		if len(t.Actors) > hops {
			trace, hops = t.TraceID, len(t.Actors)
		}
	}
	return trace
}
