package demo

import (
	"context"
	"fmt"
	"sync"

	"github.com/custody-audit/custody/collector/emitter"
	"github.com/custody-audit/custody/deploy/demo/sts"
	"github.com/custody-audit/custody/schemas/event"
)

// source is one native source of a tenant: an emitter whose events are counted.
type source struct {
	id string
	*emitter.Emitter
	score *score
}

var _ sts.Sink = (*source)(nil)

func (t *tenant) source(name string) (*source, error) {
	id := t.name + "-" + name
	o, err := emitter.New(emitter.Config{URL: t.estate.cfg.CollectorURL, Key: t.estate.cfg.Keys[id], Logger: t.estate.cfg.Logger.With("source", id)})
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", id, err)
	}
	s := &source{id, o, &t.estate.score}
	t.sources = append(t.sources, s)
	t.closers = append(t.closers, o.Close)
	return s, nil
}

// Emit hands the event over and counts it.
func (s *source) Emit(ctx context.Context, e *event.Event) error {
	kind := e.Kind
	if err := s.Emitter.Emit(ctx, e); err != nil {
		return err
	}
	s.score.emitted(kind)
	return nil
}

// unacknowledged says what of it the collector did not take.
func (s *source) unacknowledged() error {
	if st := s.Emitter.Stats(); st.Acknowledged != st.Emitted {
		return fmt.Errorf("%d of %d events acknowledged, %d rejected, %d dropped", st.Acknowledged, st.Emitted, st.Rejected, st.Dropped)
	}
	return nil
}

// withholding is the sink of an authorization server that keeps one event to
// itself: the first exchange by which github-mcp goes on to deploy-mcp, the
// second of the three of a release.
type withholding struct {
	*source
	tenant *tenant
	once   sync.Once
}

func (t *tenant) withholding(s *source) sts.Sink {
	if !t.estate.cfg.WithholdExchange || t.careless() {
		return s
	}
	return &withholding{source: s, tenant: t}
}

// Emit drops the event in question, number and all, so that a gap is left.
func (w *withholding) Emit(ctx context.Context, e *event.Event) error {
	kept := false
	if e.Kind == event.TokenExchange && e.Outcome == event.Success && e.Actor.Sub == "github-mcp" {
		w.once.Do(func() { kept = true })
	}
	if !kept {
		return w.source.Emit(ctx, e)
	}
	w.Emitter.Skip()
	truth := Truth{
		Kind: WithheldExchange, Scenario: "release", Tenant: w.tenant.name, Subject: e.Subject.Sub,
		TokenRefs: []string{e.Exchange.SubjectTokenRef, e.Exchange.IssuedTokenRef}, TraceID: e.Correlation.TraceID, TaskID: e.Correlation.TaskID,
	}
	for _, l := range e.Chain {
		truth.Actors = append(truth.Actors, l.Sub)
	}
	w.tenant.ledger.tell(truth)
	return nil
}
