package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/custody-audit/custody/collector/registry"
	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/schemas/table"
)

// local is a whole installation in this process.
type local struct {
	app        *app // whose configuration points at the servers below
	engine     *embedded.Engine
	broker     *embedded.Broker
	telemetry  *telemetry
	processor  *processorService
	detector   *detectorService
	reconciler *reconcilerService
	notifier   *notifierService // nil when nobody is to be told
	collector  *collectorService
	retainer   *retainerService
	api        *apiService // nil without one
}

// startLocal starts broker, ClickHouse, processor and collector on a data folder.
func startLocal(ctx context.Context, c config, sources *registry.Registry, logger *slog.Logger) (_ *local, err error) {
	l := &local{app: &app{&c, logger}}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if l.telemetry, err = startTelemetry(ctx, &c.Telemetry, "run"); err != nil {
		return nil, err
	}
	if err := l.startServers(ctx, sources.Tenants()); err != nil {
		return nil, err
	}
	if err := l.migrate(ctx); err != nil {
		return nil, err
	}
	if err := l.app.config.Seal.local(c.DataDir); err != nil {
		return nil, err
	}
	l.as(embedded.Writer)
	if l.processor, err = startProcessor(ctx, l.app, l.telemetry); err != nil {
		return nil, err
	}
	if l.collector, err = startCollector(ctx, l.app, sources, l.telemetry); err != nil {
		return nil, err
	}
	l.as(embedded.Detector)
	if l.detector, err = startDetector(l.app, l.telemetry, true, nil); err != nil {
		return nil, err
	}
	if l.reconciler, err = startReconciler(l.app, l.telemetry); err != nil {
		return nil, err
	}
	if l.notifier, err = startNotifier(ctx, l.app, l.telemetry, nil); err != nil {
		return nil, err
	}
	l.as(embedded.Retainer)
	if l.retainer, err = startRetainer(l.app, recorder{l.collector.intake}, l.telemetry); err != nil {
		return nil, err
	}
	e := endpoint{
		ClickHouse: l.engine.Addr(), User: embedded.Analyst, Password: l.engine.Password(embedded.Analyst), Kafka: l.broker.Addr(), Collector: l.collector.url,
		Registrar: l.engine.Password(embedded.Registrar), Handler: l.engine.Password(embedded.Handler), Detector: l.engine.Password(embedded.Detector), Retainer: l.engine.Password(embedded.Retainer), Auditors: map[string]string{},
	}
	for _, tenant := range sources.Tenants() {
		e.Auditors[tenant] = l.engine.Password(table.Auditor(tenant))
	}
	if err := l.startAPI(&e); err != nil {
		return nil, err
	}
	return l, e.write(c.DataDir)
}

// startAPI serves the evidence, to the keys of the file and to a fresh one that
// whoever may read the data folder may use.
func (l *local) startAPI(e *endpoint) error {
	c := &l.app.config.Serve
	if c.Address == "" {
		return nil
	}
	l.as(embedded.Analyst)
	if c.QueriesDir == "" {
		c.QueriesDir = filepath.Join(l.app.config.DataDir, "queries")
		if err := os.MkdirAll(c.QueriesDir, 0o700); err != nil {
			return err
		}
	}
	key, hash := api.NewKey()
	keys := api.KeysConfig{File: c.Keys, MayBeMissing: true, Logger: l.app.logger,
		Fixed: []api.Key{{ID: "local", Roles: []api.Role{api.Admin}, Tenants: []string{api.AllTenants}, KeySHA256: hash}}}
	var err error
	if l.api, err = startAPI(l.app, apiParts{l.collector.intake, e.users(), e.Handler, keys, true}, l.telemetry); err != nil {
		return err
	}
	l.api.key = key
	e.API, e.APIKey = l.api.url, key
	return nil
}

func (l *local) startServers(ctx context.Context, tenants []string) error {
	c := l.app.config
	binary, err := embedded.EnsureEngine(ctx)
	if err != nil {
		return err
	}
	l.engine, err = embedded.StartEngine(ctx, embedded.EngineConfig{Dir: filepath.Join(c.DataDir, "clickhouse"), Binary: binary, Tenants: tenants, Logger: l.app.logger})
	if err != nil {
		return err
	}
	l.broker, err = embedded.StartBroker(embedded.BrokerConfig{Dir: filepath.Join(c.DataDir, "kafka")})
	if err != nil {
		return err
	}
	c.Kafka.Brokers, c.Kafka.Replication = []string{l.broker.Addr()}, 1
	c.Kafka.TLS, c.Kafka.SASL = clientTLSConfig{}, saslConfig{} // a file may have them for a cluster
	return nil
}

// as makes what is started next connect to the engine as this user.
func (l *local) as(user string) {
	l.app.config.ClickHouse = clickhouseConfig{Addresses: []string{l.engine.Addr()}, Database: "custody", User: user, password: l.engine.Password(user)}
}

func (l *local) migrate(ctx context.Context) error {
	l.as(embedded.Admin)
	ctx, cancel := context.WithTimeout(ctx, schemaTimeout)
	defer cancel()
	_, err := l.app.migrate(ctx)
	return err
}

// wait blocks until ctx is done or a part fails.
func (l *local) wait(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		l.processor.wait(ctx)
	}()
	served := make(chan error, 1)
	go func() {
		defer cancel()
		served <- l.api.wait(ctx)
	}()
	err := l.collector.wait(ctx)
	cancel()
	return errors.Join(err, <-served)
}

// close stops in the order of the flow.
func (l *local) close() error {
	var errs []error
	if l.api != nil {
		errs = append(errs, l.api.close())
	}
	if l.retainer != nil {
		errs = append(errs, l.retainer.close())
	}
	if l.collector != nil {
		errs = append(errs, l.collector.close())
		os.Remove(endpointFile(l.app.config.DataDir)) // after a crash it stays, and its addresses refuse
	}
	if l.processor != nil {
		errs = append(errs, l.processor.close())
	}
	if l.reconciler != nil {
		errs = append(errs, l.reconciler.close())
	}
	errs = append(errs, l.notifier.close())
	if l.detector != nil {
		errs = append(errs, l.detector.close())
	}
	if l.broker != nil {
		errs = append(errs, l.broker.Close())
	}
	if l.engine != nil {
		errs = append(errs, l.engine.Close())
	}
	if l.telemetry != nil {
		errs = append(errs, l.telemetry.close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}
