package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
	cfg GatewayConfig
	tel *telemetry
}

var _ Intake = (*Gateway)(nil)

// NewGateway returns an Intake.
func NewGateway(cfg GatewayConfig) (*Gateway, error) {
	if cfg.Publisher == nil || cfg.Redactor == nil || cfg.Logger == nil {
		return nil, errors.New("gateway: Publisher, Redactor and Logger are required")
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
	return &Gateway{cfg, tel}, nil
}

// Accept implements [Intake].
func (g *Gateway) Accept(ctx context.Context, src *Source, sourceType string, events []*event.Event) ([]Rejection, error) {
	ctx, span := g.tel.tracer.Start(ctx, "collector.accept", trace.WithAttributes(
		attribute.String("custody.source", src.ID), attribute.Int("custody.events", len(events))))
	defer span.End()
	now := event.TimeOf(g.cfg.Clock())
	var rejected []Rejection
	accepted := make([]Canonical, 0, len(events))
	for i, e := range events {
		if err := g.prepare(src, sourceType, e, now); err != nil {
			rejected = append(rejected, Rejection{i, asProblems(err)})
			continue
		}
		accepted = append(accepted, Canonical{e, e.Canonical()})
	}
	g.tel.rejected.Add(ctx, int64(len(rejected)), g.tel.source(src))
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

// Clean implements [Intake].
func (g *Gateway) Clean(text []byte) ([]byte, []string) { return g.cfg.Redactor.Bytes(text) }

func (g *Gateway) prepare(src *Source, sourceType string, e *event.Event, now event.Time) error {
	if err := claim(src, sourceType, e); err != nil {
		return err
	}
	if e.SchemaVersion == "" {
		e.SchemaVersion = event.SchemaVersion
	}
	e.ObservedTime = now
	e.Salt = event.NewSalt()
	if ahead := e.Time.Sub(now); ahead > g.cfg.MaxSkew {
		e.Warnings = append(e.Warnings, fmt.Sprintf("clock skew: time is %s ahead of the collector's", ahead.Round(time.Second)))
	}
	g.cfg.Redactor.Event(e)
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	return e.Validate()
}

// claim writes over the envelope what the authentication says. What the payload
// says otherwise is an error, so that a misconfigured source notices.
func claim(src *Source, sourceType string, e *event.Event) error {
	var problems event.Problems
	refuse := func(field, got, want string) {
		if got != "" && got != want {
			problems = append(problems, event.Problem{Field: field, Reason: fmt.Sprintf("is %.80q, but the key belongs to %q; leave the field out", got, want)})
		}
	}
	refuse("tenant", e.Tenant, src.Tenant)
	refuse("source.id", e.Source.ID, src.ID)
	e.Tenant, e.Source.ID, e.Source.Type = src.Tenant, src.ID, sourceType
	if e.Source.EventID == "" {
		e.Source.EventID = e.ID // a sender's own id; ours is derived from it
	}
	if len(src.Servers) > 0 {
		if e.Server.ID == "" && len(src.Servers) == 1 {
			e.Server.ID = src.Servers[0]
		}
		if !slices.Contains(src.Servers, e.Server.ID) {
			problems = append(problems, event.Problem{Field: "server.id", Reason: fmt.Sprintf("%.80q is not among the servers of source %q", e.Server.ID, src.ID)})
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}
