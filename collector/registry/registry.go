// Package registry knows the sources: who may speak to the collector, for whom,
// and how each is recognised.
//
// Sources stand in a file. A source shows a bearer key (of which the file has the
// hash), a client certificate (SPIFFE ID or DNS name), a JWT of an OpenID issuer,
// or a webhook signature. Tenant and source id come from what it showed and from
// nothing else. The file is read again when it changes; a file with mistakes is
// reported, and the last good one stays in force.
package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/custody-audit/custody/collector"
)

// Config configures a Registry.
type Config struct {
	// File of the sources; see [ReadSources]. Empty takes Sources, which never change.
	File    string
	Sources []collector.Source
	// Types are the source types that exist; nil allows any.
	Types []string
	// HTTP asks OpenID issuers; nil is a client with a timeout of 10 s.
	HTTP *http.Client
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	// Logger hears of changes. Required.
	Logger *slog.Logger
}

// Registry authenticates sources. It is safe for concurrent use.
type Registry struct {
	cfg      Config
	index    atomic.Pointer[index]
	text     []byte // of the file, as read last; owned by Run
	issuers  issuers
	webhooks webhooks
}

var _ collector.Authenticator = (*Registry)(nil)

// New reads the sources and reports all their problems at once.
func New(cfg Config) (*Registry, error) {
	if cfg.Logger == nil {
		return nil, errors.New("registry: want a Logger")
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Timeout: 10 * time.Second}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r := &Registry{cfg: cfg, issuers: issuers{http: cfg.HTTP, now: cfg.Now}, webhooks: webhooks{now: cfg.Now}}
	if cfg.File == "" {
		x, err := newIndex(cfg.Sources, cfg.Types)
		r.index.Store(x)
		return r, err
	}
	_, err := r.reload()
	return r, err
}

// reload puts the file in force when it has changed and is good.
func (r *Registry) reload() (changed bool, err error) {
	text, err := os.ReadFile(r.cfg.File)
	if err != nil {
		return false, missing(r.cfg.File, err)
	}
	if r.text != nil && bytes.Equal(text, r.text) {
		return false, nil
	}
	r.text = text // a bad one is reported once
	sources, err := parseSources(text)
	if err != nil {
		return false, fmt.Errorf("read sources %s: %w", r.cfg.File, err)
	}
	x, err := newIndex(sources, r.cfg.Types)
	if err != nil {
		return false, fmt.Errorf("sources %s: %w", r.cfg.File, err)
	}
	r.index.Store(x)
	return true, nil
}

const lookEvery = 2 * time.Second

// Run looks after the file until ctx is done. It looks at the contents: what
// replaces a file by a link, as Kubernetes does, tells nothing by its time.
func (r *Registry) Run(ctx context.Context) error {
	if r.cfg.File == "" {
		return nil
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		changed, err := r.reload()
		switch {
		case err != nil && err.Error() != said:
			said = err.Error()
			r.cfg.Logger.Error("the sources are not reloaded; those read before stay in force", "error", err)
		case changed:
			said = ""
			r.cfg.Logger.Info("sources reloaded", "file", r.cfg.File, "sources", r.Len())
		}
	}
}

// Len returns the number of sources.
func (r *Registry) Len() int { return len(r.index.Load().byID) }

// Tenants returns the tenants of the sources, sorted.
func (r *Registry) Tenants() []string {
	tenants := map[string]bool{}
	for _, s := range r.index.Load().byID {
		tenants[s.Tenant] = true
	}
	return slices.Sorted(maps.Keys(tenants))
}

// Authenticate implements [collector.Authenticator].
func (r *Registry) Authenticate(ctx context.Context, c collector.Credentials, sourceType string) (*collector.Source, error) {
	src, err := r.recognise(ctx, c)
	if err != nil {
		return nil, err
	}
	return src, admit(src, sourceType)
}

// AuthenticateHTTP implements [collector.Authenticator].
func (r *Registry) AuthenticateHTTP(w http.ResponseWriter, req *http.Request, sourceType string) (*collector.Source, error) {
	if req.Header.Get(headerSignature) != "" {
		src, err := r.webhooks.authenticate(w, req, r.index.Load())
		if err != nil {
			var told *collector.HTTPError
			if !errors.As(err, &told) {
				r.cfg.Logger.Error("a webhook cannot be verified", "error", err)
			}
			return nil, err
		}
		return src, admit(src, sourceType)
	}
	c := collector.Credentials{Bearer: collector.Bearer(req.Header.Get("Authorization"))}
	if req.TLS != nil {
		c.Certificates = req.TLS.PeerCertificates
	}
	return r.Authenticate(req.Context(), c, sourceType)
}

// recognise looks at the bearer first: it is the more deliberate of the two.
func (r *Registry) recognise(ctx context.Context, c collector.Credentials) (*collector.Source, error) {
	x := r.index.Load()
	switch {
	case isToken(c.Bearer):
		return r.issuers.authenticate(ctx, c.Bearer, x)
	case c.Bearer != "":
		if src := x.byKey[HashKey(c.Bearer)]; src != nil {
			return src, nil
		}
		return nil, unauthorized("the key belongs to no configured source")
	case len(c.Certificates) > 0:
		return x.certificate(c.Certificates[0])
	}
	return nil, unauthorized(`want "Authorization: Bearer KEY" with the source's key, or a client certificate, or a webhook signature`)
}

// admit tells whether the source may use an endpoint.
func admit(src *collector.Source, sourceType string) error {
	if src.Disabled {
		return &collector.HTTPError{Status: http.StatusForbidden, Reason: fmt.Sprintf("source %q is disabled", src.ID)}
	}
	if src.Type != "" && src.Type != sourceType {
		return &collector.HTTPError{Status: http.StatusForbidden, Reason: fmt.Sprintf("source %q is of type %q, this endpoint takes %q", src.ID, src.Type, sourceType)}
	}
	return nil
}

func unauthorized(format string, args ...any) error {
	return &collector.HTTPError{Status: http.StatusUnauthorized, Reason: fmt.Sprintf(format, args...)}
}

// clip bounds what an answer repeats of what was sent.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 80)], "?") }
