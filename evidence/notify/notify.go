// Package notify tells other systems of findings and of each change to them:
// Kafka, a webhook, and a SIEM over syslog.
//
// It reads the worklist (processor/worklist) and remembers in ClickHouse what
// each sink has of each finding, so it goes on after a restart where it was. It
// guarantees that a sink is given the newest state of every finding at least
// once, in the order of the changes, under an id that is the same when the same
// state is given again. A state that is followed by another before it could be
// given may be left out. It does not guarantee that nothing is given twice, and
// syslog has no acknowledgement: see [Syslog].
//
// Of a sink that bounds its attempts, a message that is refused so often becomes
// a dead letter ([Undelivered]), and the rest goes on. Sinks do not wait for each
// other. What is held in memory is a batch for each sink.
package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/metric"

	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/worklist"
)

// Message is a finding as it stands, to be told.
type Message struct {
	// ID is the same whenever this state of the finding is told.
	ID      uuid.UUID
	Finding *worklist.Finding
	// Body is the finding in OCSF, JSON.
	Body []byte
}

// Sink takes messages somewhere.
type Sink interface {
	// Deliver gives messages away in their order, and returns how many of them were
	// taken and why not more. An error that wraps ErrPermanent is about the next one
	// alone, and trying it again is of no use. It keeps nothing of its arguments. It
	// is not called concurrently.
	Deliver(ctx context.Context, messages []*Message) (taken int, err error)
	// Close ends connections.
	Close() error
}

// ErrPermanent says that a message will never be taken.
var ErrPermanent = errors.New("refused for good")

// Outlet is a sink and how it is served.
type Outlet struct {
	// Name is under which progress is kept: another name is another outlet, and is
	// told everything.
	Name string
	Sink Sink
	// Attempts after which a message becomes a dead letter; 0 is never.
	Attempts int
}

// Config configures a Notifier.
type Config struct {
	// ClickHouse is a connection of a user with the role custody_detector
	// (table.Grants). Required.
	ClickHouse driver.Conn
	// Rules by which findings get their class; of others they are Detection Findings.
	Rules *detect.Set
	// Outlets; at least one. The Notifier closes their sinks.
	Outlets []Outlet
	// Tenants to tell of; empty is all.
	Tenants []string
	// AtLeast is the least severity; empty is all.
	AtLeast detect.Severity
	// Interval between two looks for changes; 0 is 2 s.
	Interval time.Duration
	// Overlap is how far back each look reaches behind what was told last, for
	// changes that become visible late; 0 is 5 min. It must be above the detections'
	// insert timeout and the difference of clocks.
	Overlap time.Duration
	// FirstPause is the time before a second attempt, which doubles up to LastPause;
	// 0 are 1 s and 5 min. Up to half of it is taken off at random.
	FirstPause, LastPause time.Duration

	Logger *slog.Logger
	Meter  metric.Meter
}

// BatchMessages bounds what is read and given at a time.
const BatchMessages = 200

var outletName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,62}$`)

func (c *Config) setDefaults() error {
	var errs []error
	if c.ClickHouse == nil || c.Rules == nil || c.Logger == nil || len(c.Outlets) == 0 {
		errs = append(errs, errors.New("ClickHouse, Rules, Logger and at least one outlet are required"))
	}
	if c.Interval < 0 || c.Overlap < 0 || c.FirstPause < 0 || c.LastPause < 0 {
		errs = append(errs, errors.New("times must not be negative"))
	}
	names := map[string]bool{}
	for _, o := range c.Outlets {
		if !outletName.MatchString(o.Name) || names[o.Name] || o.Sink == nil || o.Attempts < 0 {
			errs = append(errs, fmt.Errorf("outlet %q: want a sink and a name of its own, of lower-case letters, digits, _, . and -", o.Name))
		}
		names[o.Name] = true
	}
	for value, d := range map[*time.Duration]time.Duration{&c.Interval: 2 * time.Second, &c.Overlap: 5 * time.Minute, &c.FirstPause: time.Second, &c.LastPause: 5 * time.Minute} {
		if *value == 0 {
			*value = d
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return nil
}

// Notifier serves the outlets.
type Notifier struct {
	cfg Config
	tel *telemetry
}

// New returns a Notifier; it connects when it runs.
func New(cfg Config) (*Notifier, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	tel, err := newTelemetry(cfg.Meter)
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	return &Notifier{cfg, tel}, nil
}

// Run serves until ctx is done and returns nil: an outlet that meets errors is
// logged, counted, and goes on where it stood. It may be called again after.
func (n *Notifier) Run(ctx context.Context) error {
	var group sync.WaitGroup
	for _, o := range n.cfg.Outlets {
		group.Go(func() { (&outlet{Outlet: o, Notifier: n}).run(ctx) })
	}
	group.Wait()
	return nil
}

// Close closes the sinks, when nothing runs.
func (n *Notifier) Close() error {
	var errs []error
	for _, o := range n.cfg.Outlets {
		errs = append(errs, o.Sink.Close())
	}
	return errors.Join(errs...)
}

// outlet is one at work.
type outlet struct {
	Outlet
	*Notifier
	head     uuid.UUID // message that failed last
	attempts int       // how often in a row
	said     bool      // that it fails was logged
}

func (o *outlet) run(ctx context.Context) {
	for ctx.Err() == nil {
		told, wait, err := o.round(ctx)
		if ctx.Err() != nil {
			return
		}
		o.report(ctx, err)
		if told == BatchMessages && err == nil {
			continue // there is more
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// report logs that an outlet fails, once until it goes on.
func (o *outlet) report(ctx context.Context, err error) {
	switch {
	case err == nil && o.said:
		o.cfg.Logger.Info("findings are told again", "outlet", o.Name)
	case err != nil:
		o.tel.failed(ctx, o.Name)
		if !o.said {
			o.cfg.Logger.Warn("findings cannot be told and will be repeated", "outlet", o.Name, "error", err)
		}
	}
	o.said = err != nil
}

// round tells a batch, and says how long to wait before the next.
func (o *outlet) round(ctx context.Context) (told int, wait time.Duration, err error) {
	messages, err := o.pending(ctx, o.Name)
	if err != nil || len(messages) == 0 {
		o.tel.waiting(ctx, o.Name, 0)
		return 0, o.cfg.Interval, err
	}
	o.tel.waiting(ctx, o.Name, time.Since(messages[0].Finding.UpdatedTime))
	taken, err := o.Sink.Deliver(ctx, messages)
	if ctx.Err() != nil {
		return 0, 0, ctx.Err() // what was taken meanwhile is told again
	}
	if taken > 0 {
		if saved := o.saveDelivered(ctx, o.Name, messages[:taken]); saved != nil {
			return 0, o.cfg.Interval, saved
		}
		o.tel.told(ctx, o.Name, taken)
	}
	if err == nil {
		return taken, o.cfg.Interval, nil
	}
	return taken, o.failed(ctx, messages[taken], &err), err
}

// failed counts an attempt that was in vain, gives the message up when it was the
// last one, and says how long to wait. It takes the error of a message away that
// was given up: the outlet goes on.
func (o *outlet) failed(ctx context.Context, m *Message, err *error) time.Duration {
	if m.ID != o.head {
		o.head, o.attempts = m.ID, 0
	}
	o.attempts++
	if !errors.Is(*err, ErrPermanent) && (o.Outlet.Attempts == 0 || o.attempts < o.Outlet.Attempts) {
		return o.pause(*err)
	}
	if saved := o.bury(ctx, o.Name, m, o.attempts, *err); saved != nil {
		*err = errors.Join(*err, saved)
		return o.pause(*err)
	}
	o.tel.gaveUp(ctx, o.Name)
	o.cfg.Logger.Error("a finding could not be told and is a dead letter", "outlet", o.Name, "tenant", m.Finding.Tenant, "finding", m.Finding.Key, "attempts", o.attempts, "error", *err)
	o.attempts = 0
	return 0
}

// pause is exponential in the attempts, or what the other side asked for.
func (o *outlet) pause(err error) time.Duration {
	d := o.cfg.FirstPause << min(o.attempts-1, 30)
	if d <= 0 || d > o.cfg.LastPause {
		d = o.cfg.LastPause
	}
	d -= time.Duration(rand.Int64N(int64(d)/2 + 1))
	var later *laterError
	if errors.As(err, &later) {
		d = min(max(d, later.after), o.cfg.LastPause)
	}
	return d
}

// laterError says when to try again.
type laterError struct {
	after time.Duration
	cause error
}

func (e *laterError) Error() string { return e.cause.Error() }
func (e *laterError) Unwrap() error { return e.cause }
