package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/deepscan"
	"github.com/custody-audit/custody/collector/keycloak"
	"github.com/custody-audit/custody/collector/mcpconfig"
	"github.com/custody-audit/custody/collector/native"
	"github.com/custody-audit/custody/collector/opa"
	"github.com/custody-audit/custody/collector/otlp"
	"github.com/custody-audit/custody/collector/push"
	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/collector/registry"
	"github.com/custody-audit/custody/collector/ssf"
	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/topic"
)

func newCollect(a *app) *cobra.Command {
	return takes(&cobra.Command{
		Use:   "collect",
		Short: "Run a collector: take events of the sources into Kafka",
		Long: `Takes events over HTTP (native JSON, CloudEvents, OPA decision logs, OTLP) and gRPC (OTLP) and acknowledges an event
when Kafka has it on all in-sync replicas, or, while Kafka is away, when it is on the disk of the spool. Any number of
collectors may run; they share nothing but Kafka.`,
		Example: "  custody collect --kafka-brokers kafka-1:9092,kafka-2:9092 --collector-http 0.0.0.0:4318",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sources, err := a.sources()
			if err != nil {
				return err
			}
			tel, err := startTelemetry(cmd.Context(), &a.config.Telemetry, "collect")
			if err != nil {
				return err
			}
			s, err := startCollector(cmd.Context(), a, sources, tel)
			if err == nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "collector takes events at %s (OTLP gRPC at %s), %d sources. Stop with Ctrl-C.\n", s.url, s.grpcAddr, sources.Len())
				err = errors.Join(s.wait(cmd.Context()), s.close())
			}
			return errors.Join(err, tel.close())
		},
	}, "kafka", "collector", "telemetry")
}

// collectorService is a collector that listens.
type collectorService struct {
	publisher *collector.KafkaPublisher
	intake    collector.Intake
	spool     *spoolService // nil without one
	http      *http.Server
	grpc      *grpc.Server
	url       string
	grpcAddr  string
	failed    chan error // a listener that ended by itself
	watch     context.CancelFunc
}

// startCollector listens on the configured addresses.
func startCollector(ctx context.Context, a *app, sources *registry.Registry, tel *telemetry) (*collectorService, error) {
	s := &collectorService{failed: make(chan error, 2)}
	watched, stop := context.WithCancel(context.Background())
	s.watch = stop
	go sources.Run(watched) // ends with its context, and with nothing else
	gateway, err := s.gateway(ctx, a, tel)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.intake = gateway
	receiver := otlp.New(otlp.Config{Intake: gateway, Sources: sources, Logger: a.logger, Meter: tel.meter("collector/otlp")})
	signals, parse, err := foreign(a, tel)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	mux := http.NewServeMux()
	mux.Handle(native.Path, native.Handler(sources, gateway))
	mux.Handle(opa.Path, opa.Handler(sources, gateway, a.logger))
	mux.Handle(opa.Path+"/", opa.Handler(sources, gateway, a.logger))
	mux.Handle(push.Path, push.Handler(sources, gateway, parse))
	mux.Handle(ssf.Path, signals.Handler(sources, gateway))
	receiver.Register(mux)
	if err := s.listen(&a.config.Collector, tel.http("collector", mux), receiver, tel); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// foreign returns what takes formats that need configuration of their own: the
// receiver of Shared Signals, and the parsers, of which some know the redaction key
// or the source.
func foreign(a *app, tel *telemetry) (*ssf.Receiver, map[string]push.Parser, error) {
	transmitters, err := readTransmitters(a.config.Collector.Transmitters)
	if err != nil {
		return nil, nil, err
	}
	signals, err := ssf.New(ssf.Config{Transmitters: transmitters, Logger: a.logger, Meter: tel.meter("collector/ssf")})
	if err != nil {
		return nil, nil, err
	}
	parse := map[string]push.Parser{}
	for kind, p := range parsers {
		parse[kind] = push.Same(p)
	}
	parse[keycloak.Type] = func(src *collector.Source) collector.Parse { return keycloak.New(src.Issuer) }
	key, err := a.config.Collector.redactKey()
	if err != nil {
		return nil, nil, err
	}
	parse[mcpconfig.Type] = push.Same(mcpconfig.New(a.config.Collector.Redact.KeyID, key))
	return signals, parse, nil
}

func (s *collectorService) gateway(ctx context.Context, a *app, tel *telemetry) (*collector.Gateway, error) {
	redactor, err := newRedactor(&a.config.Collector)
	if err != nil {
		return nil, err
	}
	deep := redactor.Deep(deepscan.Find) // the rules are read when a source asks for them
	if err := a.checkKafka(ctx); err != nil {
		return nil, err
	}
	publisher, err := s.publish(a, tel)
	if err != nil {
		return nil, err
	}
	return collector.NewGateway(collector.GatewayConfig{
		Publisher: publisher, Redactor: redactor, DeepRedactor: deep, Logger: a.logger, Meter: tel.meter("collector"), Tracer: tel.tracer("collector"),
	})
}

// checkKafka lets a collector begin that Kafka refuses, when it has a spool: what
// sources send in the meantime is not to be lost.
func (a *app) checkKafka(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, kafkaPatience)
	defer cancel()
	err := a.config.Kafka.check(ctx)
	if errors.Is(err, dial.ErrRefused) && a.config.Collector.Spool.MaxBytes > 0 {
		a.logger.Error("kafka refuses the collector, events stay in its spool", "error", err)
		return nil
	}
	return err
}

// publish returns the way to Kafka.
func (s *collectorService) publish(a *app, tel *telemetry) (collector.Publisher, error) {
	cfg := collector.KafkaConfig{
		Kafka: a.config.Kafka.reach(), Topic: topic.Name(a.config.Kafka.TopicPrefix, topic.Events), Logger: a.logger, Meter: tel.meter("collector"),
	}
	spooled := a.config.Collector.Spool.MaxBytes > 0
	if spooled {
		cfg.MaxWait = kafkaPatience
	}
	var err error
	if s.publisher, err = collector.NewKafkaPublisher(cfg); err != nil {
		return nil, err
	}
	if !spooled {
		tel.readiness("kafka", s.publisher.Ready)
		return s.publisher, nil
	}
	if s.spool, err = startSpool(a, s.publisher, tel); err != nil {
		return nil, err
	}
	return s.spool, nil
}

// redactKey is the key of references; nil without one.
func (c *collectorConfig) redactKey() ([]byte, error) {
	if c.Redact.KeyFile == "" {
		return nil, nil
	}
	key, err := os.ReadFile(c.Redact.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("collector.redact.key_file: %w", err)
	}
	return key, nil
}

// newRedactor returns what every source's events go through.
func newRedactor(c *collectorConfig) (*redact.Redactor, error) {
	key, err := c.redactKey()
	if err != nil {
		return nil, err
	}
	redactor, err := redact.New(c.Redact.KeyID, key)
	if err == nil && c.Redact.DeepScan {
		redactor = redactor.Deep(deepscan.Find)
	}
	return redactor, err
}

func (s *collectorService) listen(c *collectorConfig, handler http.Handler, receiver *otlp.Receiver, tel *telemetry) error {
	web, err := net.Listen("tcp", c.HTTP)
	if err != nil {
		return fmt.Errorf("collector: %w; choose another with --collector-http", err)
	}
	secure, err := c.TLS.server()
	if err != nil {
		web.Close()
		return err
	}
	s.url = "http://" + web.Addr().String()
	if secure != nil {
		s.url = "https://" + web.Addr().String()
	}
	s.http = &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, TLSConfig: secure}
	rpc, err := net.Listen("tcp", c.GRPC)
	if err != nil {
		web.Close()
		return fmt.Errorf("collector: %w; choose another with --collector-grpc", err)
	}
	s.grpcAddr = rpc.Addr().String()
	options := append(receiver.ServerOptions(), tel.grpc())
	if secure != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(secure.Clone())))
	}
	s.grpc = grpc.NewServer(options...)
	receiver.RegisterGRPC(s.grpc)
	go func() {
		if secure != nil {
			s.failed <- s.http.ServeTLS(web, "", "") // the certificate is in TLSConfig
			return
		}
		s.failed <- s.http.Serve(web)
	}()
	go func() { s.failed <- s.grpc.Serve(rpc) }()
	return nil
}

// wait blocks until ctx is done or a listener fails.
func (s *collectorService) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return fmt.Errorf("collector: %w", err)
	}
}

// close takes no more requests, answers those under way and waits for Kafka.
func (s *collectorService) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var errs []error
	s.watch()
	if s.http != nil {
		errs = append(errs, s.http.Shutdown(ctx))
	}
	if s.grpc != nil {
		defer context.AfterFunc(ctx, s.grpc.Stop)()
		s.grpc.GracefulStop()
	}
	if s.spool != nil {
		errs = append(errs, s.spool.close())
	}
	if s.publisher != nil {
		errs = append(errs, s.publisher.Close())
	}
	return errors.Join(errs...)
}

// stopTimeout bounds how long a stop waits for requests that are under way.
const stopTimeout = 10 * time.Second
