package keycloak

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// PollConfig configures a Poller.
type PollConfig struct {
	// BaseURL of Keycloak, with its relative path where it has one, for example
	// "https://sso.acme.example". Required. http is accepted for 127.0.0.1 and
	// localhost only: a secret goes there.
	BaseURL string
	// Realm whose events are read, by name. Required.
	Realm string
	// Issuer is what the realm's tokens have in iss; empty asks Keycloak's discovery
	// document, which a proxy in front of the admin API may not let through.
	Issuer string
	// TokenRealm has the client; empty is Realm.
	TokenRealm string
	// ClientID of a confidential client whose service account has the role
	// view-events of realm-management. Required.
	ClientID string
	// Secret returns the client's secret; it is asked for each token, so the file
	// behind it may be replaced. Required.
	Secret func() (string, error)
	// Checkpoint is the file that holds how far the events are delivered. Required.
	Checkpoint string
	// Deliver takes the records of one page, oldest first, and keeps nothing of
	// them; of a backlog the newest page of each window comes first. When it returns
	// nil they are durable and will not be asked for again. Required.
	Deliver func(ctx context.Context, records [][]byte) error
	// Since is where a poller without a checkpoint begins; zero is one hour ago.
	Since time.Time
	// Every is the time between looks; 0 is 10 s.
	Every time.Duration
	// Overlap is how far each look goes back behind the last one: Keycloak stores
	// an event when its transaction ends, with the time at which it began. Events
	// that are stored later than that are lost. 0 is 2 minutes.
	Overlap time.Duration
	// Window is the longest span asked for at once; 0 is one hour.
	Window time.Duration
	// PageSize is the number of events on a page; 0 is 500.
	PageSize int
	// ByDay asks with dates instead of milliseconds, for a Keycloak that answers
	// 400 to those. It reads each day's events with every look.
	ByDay bool
	// HTTP sends the requests; nil is a client with a timeout of 30 s.
	HTTP *http.Client
	// Now is the clock; nil is time.Now. It need not agree with Keycloak's by more
	// than Overlap.
	Now func() time.Time

	Logger *slog.Logger
	Meter  metric.Meter // nil counts nothing
}

// Waits after a failed look.
const (
	firstWait = time.Second
	maxWait   = time.Minute
)

// defaultSince is how far back a poller without a checkpoint begins.
const defaultSince = time.Hour

// Poller reads the events of one realm from the admin REST API.
//
// The checkpoint moves only after Deliver returned nil for everything before it,
// so an event that Keycloak shows in time is delivered at least once: after a
// crash some come again, with the same id. Keycloak must store events
// (eventsEnabled, adminEventsEnabled) and keep them longer than the poller may be
// away.
type Poller struct {
	cfg PollConfig
	api *api
	tel *telemetry
	at  checkpoint
}

// NewPoller checks the configuration, all of it at once.
func NewPoller(cfg PollConfig) (*Poller, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("keycloak poller: %w", err)
	}
	cfg.TokenRealm = cmp.Or(cfg.TokenRealm, cfg.Realm)
	cfg.Every = cmp.Or(cfg.Every, 10*time.Second)
	cfg.Overlap = cmp.Or(cfg.Overlap, 2*time.Minute)
	cfg.Window = cmp.Or(cfg.Window, time.Hour)
	cfg.PageSize = cmp.Or(cfg.PageSize, 500)
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Timeout: 30 * time.Second}
	}
	client := *cfg.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the secret goes to BaseURL only
	cfg.HTTP = &client
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	tel, err := newTelemetry(cfg.Meter)
	if err != nil {
		return nil, fmt.Errorf("keycloak poller: %w", err)
	}
	return &Poller{cfg: cfg, api: newAPI(&cfg), tel: tel}, nil
}

func (c *PollConfig) validate() error {
	var errs []error
	want := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New(what))
		}
	}
	u, err := url.Parse(c.BaseURL)
	want(err == nil && u.Host != "" && u.User == nil && u.RawQuery == "" && (u.Scheme == "https" || u.Scheme == "http" && local(u.Hostname())), "BaseURL: want an https URL without user and query")
	want(c.Realm != "", "Realm: is required")
	want(c.ClientID != "", "ClientID: is required")
	want(c.Secret != nil, "Secret: is required")
	want(c.Checkpoint != "", "Checkpoint: is required")
	want(c.Deliver != nil, "Deliver: is required")
	want(c.Logger != nil, "Logger: is required")
	want(c.PageSize >= 0 && c.PageSize <= 10_000, "PageSize: want at most 10000")
	want(c.Every >= 0 && c.Overlap >= 0 && c.Window >= 0, "Every, Overlap, Window: want no negative durations")
	return errors.Join(errs...)
}

func local(host string) bool { return host == "127.0.0.1" || host == "localhost" || host == "::1" }

// Run reads until ctx is done. What Keycloak or Deliver refuses is tried again,
// later and later. It returns an error only when the checkpoint cannot be read
// or written.
func (p *Poller) Run(ctx context.Context) error {
	if err := p.resume(); err != nil {
		return err
	}
	wait := firstWait
	for {
		err := p.look(ctx)
		var fatal *checkpointError
		pause := p.cfg.Every
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &fatal):
			return err
		case err != nil:
			p.tel.failed.Add(ctx, 1)
			p.cfg.Logger.Warn("events cannot be read or delivered; they are tried again", "realm", p.cfg.Realm, "error", err, "in", wait)
			pause, wait = wait/2+rand.N(wait/2), min(2*wait, maxWait)
		default:
			wait = firstWait
		}
		if !sleep(ctx, pause) {
			return nil
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// look reads both streams up to now.
func (p *Poller) look(ctx context.Context) error {
	until := p.cfg.Now().UnixMilli()
	return errors.Join(p.catchUp(ctx, &p.at.User, "events", until), p.catchUp(ctx, &p.at.Admin, "admin-events", until))
}

// catchUp reads a stream window by window.
func (p *Poller) catchUp(ctx context.Context, s *stream, name string, until int64) error {
	for s.To < until {
		from := s.To - p.cfg.Overlap.Milliseconds()
		to := min(s.To+p.cfg.Window.Milliseconds(), until)
		if err := p.window(ctx, s, name, from, to); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s.To = to
		s.forget(to - p.cfg.Overlap.Milliseconds())
		if err := p.at.save(p.cfg.Checkpoint); err != nil {
			return err
		}
	}
	return nil
}

// window delivers what is new from one time to another, both included. Pages
// come newest first, as Keycloak sorts by default: an event that is stored while
// we read moves others to a later page, where they are recognised, and never to
// one that was read.
func (p *Poller) window(ctx context.Context, s *stream, name string, from, to int64) error {
	seen := map[string]int64{} // in this window, page by page
	same := map[string]int{}   // of each content without an id
	for first := 0; ; first += p.cfg.PageSize {
		page, err := p.api.page(ctx, name, from, to, first)
		if err != nil {
			return err
		}
		fresh, skipped := s.fresh(page, seen, same, from, to)
		p.tel.skipped.Add(ctx, int64(skipped))
		if len(fresh) > 0 {
			for i := range fresh {
				fresh[i] = member("realmIssuer", p.api.issuer, fresh[i])
			}
			if err := p.cfg.Deliver(ctx, fresh); err != nil {
				return fmt.Errorf("deliver: %w", err)
			}
			p.tel.delivered.Add(ctx, int64(len(fresh)))
			s.add(seen)
		}
		if len(page) < p.cfg.PageSize {
			return nil
		}
	}
}
