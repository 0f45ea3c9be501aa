package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/registry"
	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/evidence/console"
	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
	"github.com/custody-audit/custody/schemas/topic"
)

func newServe(a *app) *cobra.Command {
	return takes(&cobra.Command{
		Use:   "serve",
		Short: "Serve the evidence over HTTP: the web console, and the API under /api/v1",
		Long: `Answers questions about the evidence over HTTP (docs/api.md; docs/reference/openapi.json describes every operation). Who
asks is known by an API key ("custody apikey add"), or by OpenID Connect (serve.oidc). Each read becomes an event in Kafka
before it is answered. "custody run" does this too.`,
		Example: "  custody apikey add grafana --role analyst --tenant acme\n  custody serve --kafka-brokers kafka-1:9092 --clickhouse-addresses ch-1:9000 --clickhouse-user custody_analyst",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tel, err := startTelemetry(cmd.Context(), &a.config.Telemetry, "serve")
			if err != nil {
				return err
			}
			s, err := a.serve(cmd.Context(), tel)
			if err == nil {
				if a.config.Serve.Console {
					fmt.Fprintf(cmd.ErrOrStderr(), "the console is at %s/\n", s.url)
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "the API is at %s%s. Stop with Ctrl-C.\n", s.url, api.Prefix)
				err = errors.Join(s.wait(cmd.Context()), s.close())
			}
			return errors.Join(err, tel.close())
		},
	}, "kafka", "clickhouse", "collector.redact", "seal.dir", "seal.key_file", "seal.trust", "seal.witnesses", "serve", "telemetry")
}

// serve starts an API that is alone in its process.
func (a *app) serve(ctx context.Context, tel *telemetry) (*apiService, error) {
	c := a.config
	if c.Serve.Address == "" {
		return nil, errors.New("serve.address is not set")
	}
	users, handler, err := c.apiUsers()
	if err != nil {
		return nil, err
	}
	intake, publisher, err := a.ownIntake(ctx, tel)
	if err != nil {
		return nil, err
	}
	keys := api.KeysConfig{File: c.Serve.Keys, MayBeMissing: c.Serve.OIDC.Issuer != "", Logger: a.logger}
	s, err := startAPI(a, apiParts{intake, users, handler, keys, false}, tel)
	if err != nil {
		return nil, errors.Join(err, publisher.Close())
	}
	s.publisher = publisher
	return s, nil
}

// ownIntake takes the events of Custody's own doings where no collector runs in the
// process. The publisher is to be closed.
func (a *app) ownIntake(ctx context.Context, tel *telemetry) (collector.Intake, *collector.KafkaPublisher, error) {
	c := a.config
	if err := c.Kafka.check(ctx); err != nil {
		return nil, nil, err
	}
	redactor, err := newRedactor(&c.Collector)
	if err != nil {
		return nil, nil, err
	}
	publisher, err := collector.NewKafkaPublisher(collector.KafkaConfig{
		Kafka: c.Kafka.reach(), Topic: topic.Name(c.Kafka.TopicPrefix, topic.Events), MaxWait: 3 * time.Second, Logger: a.logger, Meter: tel.meter("collector"),
	})
	if err != nil {
		return nil, nil, err
	}
	tel.readiness("kafka", publisher.Ready)
	intake, err := collector.NewGateway(collector.GatewayConfig{Publisher: publisher, Redactor: redactor, Logger: a.logger, Meter: tel.meter("collector"), Tracer: tel.tracer("collector")})
	if err != nil {
		return nil, nil, errors.Join(err, publisher.Close())
	}
	return intake, publisher, nil
}

// apiUsers finds the database user of a tenant, or of all with "".
type apiUsers func(tenant string) (user, password string, err error)

// apiUsers are those of the configured ClickHouse, or of the local installation;
// the password of custody_handler is empty where nobody may handle findings.
func (c *config) apiUsers() (users apiUsers, handler string, err error) {
	if len(c.ClickHouse.Addresses) > 0 {
		if c.Serve.HandlerPasswordFile != "" {
			if handler, err = dial.Secret("serve.handler_password_file", c.Serve.HandlerPasswordFile); err != nil {
				return nil, "", err
			}
		}
		everything := c.ClickHouse
		return func(tenant string) (string, string, error) {
			if tenant == "" {
				password, err := everything.secret()
				return everything.User, password, err
			}
			file := filepath.Join(c.Serve.TenantPasswordDir, tenant)
			if c.Serve.TenantPasswordDir == "" {
				return "", "", api.ErrNoUser
			}
			password, err := dial.Secret("serve.tenant_password_dir", file)
			if errors.Is(err, fs.ErrNotExist) {
				return "", "", api.ErrNoUser
			}
			return table.Auditor(tenant), password, err
		}, handler, nil
	}
	var local endpoint
	err = c.localAs(func(e *endpoint) (string, string) {
		local = *e
		return e.User, e.Password
	})
	return local.users(), local.Handler, err
}

// users are those of a local installation.
func (e *endpoint) users() apiUsers {
	return func(tenant string) (string, string, error) {
		if tenant == "" {
			return e.User, e.Password, nil
		}
		password, ok := e.Auditors[tenant]
		if !ok {
			return "", "", api.ErrNoUser
		}
		return table.Auditor(tenant), password, nil
	}
}

// apiParts are what an API stands on.
type apiParts struct {
	intake  collector.Intake
	users   apiUsers
	handler string // password of custody_handler; empty: nobody handles findings
	keys    api.KeysConfig
	local   bool // on this machine only: sessions in browsers begin by links
}

// apiService is an API that listens.
type apiService struct {
	server    *api.Server
	http      *http.Server
	publisher *collector.KafkaPublisher // nil where it is another's
	url       string
	key       string // good until a local installation stops; empty elsewhere
	failed    chan error
	watch     context.CancelFunc
}

func startAPI(a *app, parts apiParts, tel *telemetry) (*apiService, error) {
	c := &a.config.Serve
	keys, err := api.NewKeys(parts.keys)
	if err != nil {
		return nil, err
	}
	secure, err := c.TLS.server()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", c.Address)
	if err != nil {
		return nil, fmt.Errorf("api: %w; choose another with --serve-address", err)
	}
	s := &apiService{url: "http://" + listener.Addr().String(), failed: make(chan error, 1)}
	if secure != nil {
		s.url = "https://" + listener.Addr().String()
	}
	at, _ := listener.Addr().(*net.TCPAddr)
	links := parts.local && at != nil && at.IP.IsLoopback() // a code in a path is not sent over a network
	overTLS := secure != nil || c.PlainHTTP || strings.HasPrefix(c.OIDC.URL, "https://")
	issuer, err1 := c.OIDC.provider(s.url)
	secretRef, err2 := a.config.Collector.secretRef()
	redactor, err3 := newRedactor(&a.config.Collector)
	history, err4 := a.config.historyConn(parts.handler)
	bundles, policy, err5 := a.config.bundles(parts.users)
	if err = errors.Join(err1, err2, err3, err4, err5); err == nil {
		s.server, err = api.New(api.Config{
			History: history, Redact: func(text string) string { text, _ = redactor.Text(text); return text },
			Connect: a.config.apiConnect(parts.users), Proof: bundles, Policy: policy, Recorder: recorder{parts.intake}, FailOpen: c.FailOpen, OwnTenant: c.OwnTenant,
			Keys: keys, OIDC: issuer, QueriesDir: c.QueriesDir, SecretRef: secretRef, Limits: c.Limits.limits(), Secure: overTLS, Logger: a.logger, Meter: tel.meter("api"),
			Links: links && c.Console, Home: c.home(),
		})
	}
	var pages http.Handler
	if err == nil {
		pages, err = c.pages(s.server, links, overTLS, a.logger)
	}
	if err != nil {
		listener.Close()
		if history != nil {
			history.Close()
		}
		if bundles != nil {
			bundles.ClickHouse.Close()
		}
		return nil, err
	}
	tel.readiness("api", s.server.Ready)
	watched, stop := context.WithCancel(context.Background())
	s.watch = stop
	go keys.Run(watched) // ends with its context, and with nothing else
	s.http = &http.Server{Handler: tel.http("api", pages), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: c.Limits.Timeout + 30*time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, TLSConfig: secure}
	go func() {
		if secure != nil {
			s.failed <- s.http.ServeTLS(listener, "", "") // the certificate is in TLSConfig
			return
		}
		s.failed <- s.http.Serve(listener)
	}()
	return s, nil
}

// home is where a login leads.
func (c *serveConfig) home() string {
	if c.Console {
		return "/"
	}
	return ""
}

// pages are what is served: the API, with the console around it where there is one.
func (c *serveConfig) pages(a *api.Server, local, secure bool, logger *slog.Logger) (http.Handler, error) {
	if !c.Console {
		return a, nil
	}
	return console.New(console.Config{API: a, Login: c.OIDC.ClientID != "", Links: local, Secure: secure, Logger: logger})
}

// link is where a browser begins a session, once; empty where none is given.
func (s *apiService) link() string {
	if s == nil || s.key == "" {
		return ""
	}
	path, err := s.server.Link(s.key)
	if err != nil {
		return "" // there is no console
	}
	return s.url + path
}

// server returns the TLS of the API's listener; nil without one. It asks browsers
// for no certificate.
func (c *serveTLSConfig) server() (*tls.Config, error) {
	if c.CertFile == "" {
		return nil, nil
	}
	cfg, err := registry.TLS(registry.TLSConfig{CertFile: c.CertFile, KeyFile: c.KeyFile})
	if err != nil {
		return nil, fmt.Errorf("serve.tls: %w", err)
	}
	cfg.ClientAuth = tls.NoClientCert
	return cfg, nil
}

// apiConnect opens bounded pools. What ClickHouse may spend on one query is a
// setting of the connection, so that no query can leave it out.
func (c *config) apiConnect(users apiUsers) api.Connect {
	limits, reach := c.Serve.Limits, c.ClickHouse
	return func(tenant string) (driver.Conn, error) {
		user, password, err := users(tenant)
		if err != nil {
			return nil, err
		}
		as := reach
		as.User, as.password, as.PasswordFile = user, password, ""
		o, err := as.options(as.Database)
		if err != nil {
			return nil, err
		}
		o.MaxOpenConns, o.MaxIdleConns, o.ConnMaxLifetime = limits.Together, 2, 5*time.Minute
		o.Settings = clickhouse.Settings{
			"max_execution_time": int(limits.Timeout.Seconds()), "max_memory_usage": limits.MemoryBytes,
			"max_result_bytes": limits.AnswerBytes, "result_overflow_mode": "throw",
		}
		return clickhouse.Open(o)
	}
}

// historyConn connects as who may append to the history of findings; nil without
// a password.
func (c *config) historyConn(password string) (driver.Conn, error) {
	if password == "" {
		return nil, nil
	}
	as := c.ClickHouse
	as.User, as.password, as.PasswordFile = embedded.Handler, password, ""
	return as.connect(as.Database)
}

// bundles is what the API makes proof bundles of, and whose signatures count when it
// verifies one; nil where it has no folder of checkpoints or no key to sign with.
func (c *config) bundles(users apiUsers) (*proof.Config, *proof.Policy, error) {
	s := c.Seal.of(c.DataDir)
	if s.Dir == "" || s.KeyFile == "" && c.Serve.ReportKeyFile == "" {
		return nil, nil, nil
	}
	out, err := s.proofs(c.Serve.ReportKeyFile)
	if err != nil {
		return nil, nil, err
	}
	policy, err := s.policy(out, c.Serve.ReportKeyFile)
	if err != nil {
		return nil, nil, err
	}
	out.ClickHouse, err = c.apiConnect(users)("")
	return out, policy, err
}

// secretRef makes references under the redaction key; nil without one.
func (c *collectorConfig) secretRef() (func(string) string, error) {
	key, err := c.redactKey()
	if key == nil {
		return nil, err
	}
	return func(secret string) string { return event.SecretRef(c.Redact.KeyID, key, secret) }, nil
}

// recorder records reads through a collector's gateway.
type recorder struct{ intake collector.Intake }

// Record implements [api.Recorder].
func (r recorder) Record(ctx context.Context, e *event.Event) error {
	rejected, err := r.intake.Accept(ctx, &collector.Source{ID: api.Source, Tenant: e.Tenant}, api.Source, []*event.Event{e})
	if err == nil && len(rejected) > 0 {
		err = rejected[0].Problems
	}
	return err
}

// wait blocks until ctx is done or the listener fails.
func (s *apiService) wait(ctx context.Context) error {
	if s == nil { // an installation without one
		<-ctx.Done()
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return fmt.Errorf("api: %w", err)
	}
}

// close takes no more requests and answers those under way.
func (s *apiService) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	s.watch()
	errs := []error{s.http.Shutdown(ctx), s.server.Close()}
	if s.publisher != nil {
		errs = append(errs, s.publisher.Close())
	}
	return errors.Join(errs...)
}
