package enrich

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.opentelemetry.io/otel/metric"
)

// LoaderConfig configures a Loader.
type LoaderConfig struct {
	// Path of the registry: a file, or a folder of .yaml, .yml and .json files.
	// Empty takes what is in the tables.
	Path string
	// ClickHouse is a connection whose database is migrated. Required. What is
	// read from Path is stored there, so that an event's version can be looked up.
	ClickHouse driver.Conn
	// Interval between two looks at Path or the tables; 0 is 2 s.
	Interval time.Duration

	Logger *slog.Logger
	Meter  metric.Meter
}

// Loader keeps the registry that is in force. It is safe for concurrent use.
type Loader struct {
	cfg     LoaderConfig
	current atomic.Pointer[Snapshot]
	tel     *loaderTelemetry

	texts    []text               // of Path, as read last
	unstored map[string]time.Time // tenants whose version is not in the tables yet, and since when it is in force
	compared bool                 // with what the tables had before the start
}

// NewLoader reads the registry. Mistakes in files are [Problems]: whoever starts
// hears of them; afterwards the last good version stays in force.
func NewLoader(ctx context.Context, cfg LoaderConfig) (*Loader, error) {
	if cfg.ClickHouse == nil || cfg.Logger == nil || cfg.Interval < 0 {
		return nil, errors.New("enrich: want ClickHouse, a Logger and an Interval of 0 or more")
	}
	if cfg.Interval == 0 {
		cfg.Interval = 2 * time.Second
	}
	tel, err := newLoaderTelemetry(cfg.Meter)
	if err != nil {
		return nil, fmt.Errorf("enrich: %w", err)
	}
	l := &Loader{cfg: cfg, tel: tel, unstored: map[string]time.Time{}}
	_, err = l.load(ctx)
	return l, err
}

// Snapshot returns the registry in force.
func (l *Loader) Snapshot() *Snapshot { return l.current.Load() }

// Run looks after the registry until ctx is done.
func (l *Loader) Run(ctx context.Context) error {
	tick := time.NewTicker(l.cfg.Interval)
	defer tick.Stop()
	said := ""
	for {
		changed, err := l.load(ctx)
		err = errors.Join(err, l.store(ctx))
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			l.tel.failed(ctx)
			if err.Error() != said {
				said = err.Error()
				l.cfg.Logger.Error("the registry is not reloaded or not stored; what was loaded before stays in force", "error", err)
			}
		default:
			said = ""
		}
		if changed {
			l.cfg.Logger.Info("registry loaded", "tenants", len(l.Snapshot().Tenants()))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (l *Loader) load(ctx context.Context) (changed bool, err error) {
	if l.cfg.Path == "" {
		return l.loadTables(ctx)
	}
	return l.loadFiles(ctx)
}

// loadFiles looks at the contents: what replaces a file by a link, as Kubernetes
// does, tells nothing by its time.
func (l *Loader) loadFiles(ctx context.Context) (changed bool, err error) {
	texts, err := readTexts(l.cfg.Path)
	if err != nil {
		return false, err
	}
	same := func(a, b text) bool { return a.name == b.name && bytes.Equal(a.bytes, b.bytes) }
	if l.texts != nil && slices.EqualFunc(texts, l.texts, same) {
		return false, nil
	}
	registries, err := parse(texts)
	if err != nil {
		return false, err
	}
	l.texts = texts
	l.enforce(ctx, NewSnapshot(registries))
	return true, nil
}

// enforce puts a snapshot in force and notes whose version is new.
func (l *Loader) enforce(ctx context.Context, s *Snapshot) {
	before := l.Snapshot()
	for _, tenant := range append(before.Tenants(), s.Tenants()...) {
		if before == nil || before.Version(tenant) != s.Version(tenant) {
			l.unstored[tenant] = time.Now()
		}
	}
	l.current.Store(s)
	l.tel.loaded(ctx, s)
}

// store writes the versions that came from files.
func (l *Loader) store(ctx context.Context) error {
	if l.cfg.Path == "" {
		return nil
	}
	if err := l.compare(ctx); err != nil {
		return err
	}
	for tenant, since := range l.unstored {
		if _, err := Store(ctx, l.cfg.ClickHouse, tenant, l.Snapshot().Registry(tenant), FromFile, since); err != nil {
			return err
		}
		delete(l.unstored, tenant)
	}
	return nil
}

// compare finds, once, the tenants that left the files while nobody looked.
func (l *Loader) compare(ctx context.Context) error {
	if l.compared {
		return nil
	}
	list, err := InForce(ctx, l.cfg.ClickHouse, "", time.Now())
	if err != nil {
		return err
	}
	for _, v := range list {
		if _, noted := l.unstored[v.Tenant]; !noted && v.Origin == FromFile && l.Snapshot().Registry(v.Tenant) == nil {
			l.unstored[v.Tenant] = time.Now()
		}
	}
	l.compared = true
	return nil
}

// loadTables reads the registries whose version in force is another.
func (l *Loader) loadTables(ctx context.Context) (changed bool, err error) {
	list, err := InForce(ctx, l.cfg.ClickHouse, "", time.Now())
	if err != nil {
		return false, err
	}
	before, registries := l.Snapshot(), map[string]*Registry{}
	for _, v := range list {
		if v.Version == "" {
			continue
		}
		if before.Version(v.Tenant) == v.Version {
			registries[v.Tenant] = before.Registry(v.Tenant)
			continue
		}
		changed = true
		if registries[v.Tenant], err = Stored(ctx, l.cfg.ClickHouse, v.Tenant, v.Version); err != nil {
			return false, err
		}
	}
	changed = changed || len(registries) != len(before.Tenants()) // one is there no more
	if changed || before == nil {
		l.current.Store(NewSnapshot(registries))
		l.tel.loaded(ctx, l.Snapshot())
	}
	return changed, nil
}
