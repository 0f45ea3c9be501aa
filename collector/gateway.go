package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/schemas/event"
)

// Publisher makes events durable; there is one per way of being durable.
type Publisher interface {
	// Publish returns nil when every event is durable, and an error that wraps
	// ErrUnavailable when it cannot say so. It may be called concurrently and
	// keeps nothing of its arguments.
	Publish(ctx context.Context, events []Canonical) error
}

// Canonical is a valid event with its canonical bytes.
type Canonical struct {
	Event *event.Event
	Bytes []byte
}

// GatewayConfig configures a Gateway.
type GatewayConfig struct {
	// Publisher makes the events durable. Required.
	Publisher Publisher
	// Redactor removes secrets. Required.
	Redactor *redact.Redactor
	// DeepRedactor does so for sources with DeepScan; nil is Redactor.
	DeepRedactor *redact.Redactor
	// Clock gives observed_time; nil is time.Now.
	Clock func() time.Time
	// MaxSkew is how far an event's time may lie ahead of the collector's clock
	// before the event gets a warning; 0 is 5 minutes. Events are never refused for it.
	MaxSkew time.Duration

	Logger *slog.Logger
	Meter  metric.Meter
	Tracer trace.Tracer
}

// Gateway is the Intake of a collector: stamp, redact, validate, publish.
type Gateway struct {
	cfg    GatewayConfig
	tel    *telemetry
	quotas quotas
}

var _ Intake = (*Gateway)(nil)

// NewGateway returns an Intake.
func NewGateway(cfg GatewayConfig) (*Gateway, error) {
	if cfg.Publisher == nil || cfg.Redactor == nil || cfg.Logger == nil {
		return nil, errors.New("gateway: Publisher, Redactor and Logger are required")
	}
	if cfg.DeepRedactor == nil {
		cfg.DeepRedactor = cfg.Redactor
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.MaxSkew == 0 {
		cfg.MaxSkew = 5 * time.Minute
	}
	tel, err := newTelemetry(cfg.Meter, cfg.Tracer)
	if err != nil {
		return nil, err
	}
	return &Gateway{cfg: cfg, tel: tel}, nil
}

// Accept implements [Intake].
func (g *Gateway) Accept(ctx context.Context, src *Source, sourceType string, events []*event.Event) ([]Rejection, error) {
	ctx, span := g.tel.tracer.Start(ctx, "collector.accept", trace.WithAttributes(
		attribute.String("custody.source", src.ID), attribute.Int("custody.events", len(events))))
	defer span.End()
	if !g.quotas.take(src, len(events), g.cfg.Clock()) {
		g.tel.throttled.Add(ctx, int64(len(events)), g.tel.source(src))
		return nil, ErrQuota
	}
	accepted, rejected := g.prepareAll(ctx, src, sourceType, events)
	if len(accepted) == 0 {
		return rejected, nil
	}
	if err := g.cfg.Publisher.Publish(ctx, accepted); err != nil {
		g.tel.unavailable.Add(ctx, int64(len(accepted)), g.tel.source(src))
		span.RecordError(err)
		return nil, err
	}
	g.tel.accepted.Add(ctx, int64(len(accepted)), g.tel.source(src))
	return rejected, nil
}

// prepareAll returns what is to be published, and what is not. Claims to be
// somebody else are recorded by one event more.
func (g *Gateway) prepareAll(ctx context.Context, src *Source, sourceType string, events []*event.Event) (accepted []Canonical, rejected []Rejection) {
	now := event.TimeOf(g.cfg.Clock())
	accepted = make([]Canonical, 0, len(events)+1)
	var last *claimError
	claims := 0
	for i, e := range events {
		raw, err := g.prepare(src, sourceType, e, now)
		var foreign *claimError
		switch {
		case errors.As(err, &foreign):
			last = foreign
			claims++
			rejected = append(rejected, Rejection{i, foreign.Problems, true})
		case err != nil:
			rejected = append(rejected, Rejection{i, asProblems(err), false})
		default:
			accepted = append(accepted, Canonical{e, raw})
		}
	}
	g.Rejected(ctx, src, ReasonInvalid, len(rejected)-claims)
	if claims > 0 {
		g.Rejected(ctx, src, ReasonClaim, claims)
		g.cfg.Logger.Warn("a source claims to be somebody else", "tenant", src.Tenant, "source", src.ID, "events", claims, "claim", last.resource)
		c, err := g.claimed(src, sourceType, last, claims, now)
		if err != nil {
			g.cfg.Logger.Error("a source's claim cannot be recorded", "source", src.ID, "error", err)
			return accepted, rejected
		}
		accepted = append(accepted, c)
	}
	return accepted, rejected
}

// Rejected implements [Intake].
func (g *Gateway) Rejected(ctx context.Context, src *Source, reason string, n int) {
	if n > 0 {
		g.tel.rejected.Add(ctx, int64(n), g.tel.source(src), metric.WithAttributes(attribute.String("reason", reason)))
	}
}

// Clean implements [Intake].
func (g *Gateway) Clean(src *Source, text []byte) ([]byte, []string) {
	return g.redactor(src).Bytes(text)
}

func (g *Gateway) redactor(src *Source) *redact.Redactor {
	if src.DeepScan {
		return g.cfg.DeepRedactor
	}
	return g.cfg.Redactor
}

// prepare makes a source's event one of ours, and returns its canonical bytes.
func (g *Gateway) prepare(src *Source, sourceType string, e *event.Event, now event.Time) ([]byte, error) {
	if err := claim(src, sourceType, e); err != nil {
		return nil, err
	}
	if e.SchemaVersion == "" {
		e.SchemaVersion = event.SchemaVersion
	}
	if !event.Readable(e.SchemaVersion) {
		return nil, event.Problems{{Field: "schema_version", Reason: fmt.Sprintf("%.20q is of another major version than %s: this collector would misread it", e.SchemaVersion, event.SchemaVersion)}}
	}
	e.ObservedTime = now
	e.Salt = event.NewSalt()
	if ahead := e.Time.Sub(now); ahead > g.cfg.MaxSkew {
		e.Warnings = append(e.Warnings, fmt.Sprintf("clock skew: time is %s ahead of the collector's", ahead.Round(time.Second)))
	}
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	raw := e.Canonical()
	if redactor := g.redactor(src); redactor.Needed(e, raw) && redactor.Event(e) {
		e.Fit()                                                             // a reference may be longer than its secret
		e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time) // of what is kept
		raw = e.Canonical()
	}
	return raw, e.ValidateSize(len(raw))
}
