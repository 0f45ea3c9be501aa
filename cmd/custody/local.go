package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"
	"google.golang.org/grpc"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/native"
	"github.com/custody-audit/custody/collector/opa"
	"github.com/custody-audit/custody/collector/otlp"
	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor"
	"github.com/custody-audit/custody/schemas/table"
	"github.com/custody-audit/custody/schemas/topic"
)

// endpoint is what other verbs need to reach a running local installation. It
// lies in the data folder, readable by the owner only.
type endpoint struct {
	ClickHouse string `json:"clickhouse"`
	User       string `json:"user"`
	Password   string `json:"password"`
	Collector  string `json:"collector"`
}

func endpointFile(dataDir string) string { return filepath.Join(dataDir, "endpoint.json") }

// local is a whole installation in this process.
type local struct {
	logger    *slog.Logger
	telemetry *selfTelemetry
	engine    *embedded.Engine
	broker    *embedded.Broker
	publisher *collector.KafkaPublisher
	http      *http.Server
	grpc      *grpc.Server
	url       string
	processed chan error
	stop      context.CancelFunc
}

const eventPartitions = 4

// startLocal starts broker, ClickHouse, collector and processor on a data folder.
func startLocal(ctx context.Context, dataDir string, registry *collector.Registry, httpAddr, grpcAddr, telemetryAddr string, logger *slog.Logger) (*local, error) {
	l := &local{logger: logger, processed: make(chan error, 1)}
	var err error
	if l.telemetry, err = startTelemetry(telemetryAddr); err != nil {
		return nil, err
	}
	if err := l.startServers(ctx, dataDir); err != nil {
		return nil, errors.Join(err, l.close())
	}
	if err := l.migrate(ctx); err != nil {
		return nil, errors.Join(err, l.close())
	}
	if err := l.startProcessor(); err != nil {
		return nil, errors.Join(err, l.close())
	}
	if err := l.startCollector(registry, httpAddr, grpcAddr); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, l.writeEndpoint(dataDir)
}

func (l *local) startServers(ctx context.Context, dataDir string) error {
	binary, err := embedded.EnsureEngine(ctx)
	if err != nil {
		return err
	}
	l.engine, err = embedded.StartEngine(ctx, embedded.EngineConfig{Dir: filepath.Join(dataDir, "clickhouse"), Binary: binary, Logger: l.logger})
	if err != nil {
		return err
	}
	l.broker, err = embedded.StartBroker(embedded.BrokerConfig{Dir: filepath.Join(dataDir, "kafka")})
	return err
}

func (l *local) connect(user, database string) (driver.Conn, error) {
	return clickhouse.Open(&clickhouse.Options{
		Addr: []string{l.engine.Addr()}, Auth: clickhouse.Auth{Username: user, Password: l.engine.Password(user), Database: database},
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
	})
}

func (l *local) migrate(ctx context.Context) error {
	conn, err := l.connect(embedded.Admin, "")
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS custody ENGINE = Atomic"); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	inside, err := l.connect(embedded.Admin, "custody")
	if err != nil {
		return err
	}
	defer inside.Close()
	if _, err := table.Migrate(ctx, inside); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client := &kafka.Client{Addr: kafka.TCP(l.broker.Addr())}
	_, err = topic.Migrate(ctx, client, topic.Layout{Partitions: eventPartitions, Replication: 1})
	return err
}

func (l *local) startProcessor() error {
	conn, err := l.connect(embedded.Writer, "custody")
	if err != nil {
		return err
	}
	p, err := processor.New(processor.Config{
		Brokers: []string{l.broker.Addr()}, Topic: topic.Events, DeadLetter: topic.DeadLetter,
		ClickHouse: conn, BlockWait: 200 * time.Millisecond, SessionTimeout: 6 * time.Second, Logger: l.logger, Meter: l.telemetry.meter("processor"),
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	go func() {
		defer conn.Close()
		l.processed <- p.Run(ctx)
	}()
	return nil
}

func (l *local) startCollector(registry *collector.Registry, httpAddr, grpcAddr string) error {
	redactor, err := redact.New("", nil)
	if err != nil {
		return err
	}
	l.publisher, err = collector.NewKafkaPublisher(collector.KafkaConfig{Brokers: []string{l.broker.Addr()}, Topic: topic.Events, Logger: l.logger, Meter: l.telemetry.meter("collector")})
	if err != nil {
		return err
	}
	gateway, err := collector.NewGateway(collector.GatewayConfig{Publisher: l.publisher, Redactor: redactor, Logger: l.logger, Meter: l.telemetry.meter("collector")})
	if err != nil {
		return err
	}
	receiver := otlp.New(otlp.Config{Intake: gateway, Authenticate: registry.Authenticate, Logger: l.logger, Meter: l.telemetry.meter("collector/otlp")})
	mux := http.NewServeMux()
	mux.Handle(native.Path, native.Handler(registry, gateway))
	mux.Handle(opa.Path, opa.Handler(registry, gateway, l.logger))
	mux.Handle(opa.Path+"/", opa.Handler(registry, gateway, l.logger))
	receiver.Register(mux)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := l.publisher.Ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	return l.listen(mux, receiver, httpAddr, grpcAddr)
}

func (l *local) listen(handler http.Handler, receiver *otlp.Receiver, httpAddr, grpcAddr string) error {
	web, err := net.Listen("tcp", httpAddr)
	if err != nil {
		return fmt.Errorf("collector: %w; choose another with --http", err)
	}
	l.url = "http://" + web.Addr().String()
	l.http = &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	go l.http.Serve(web)
	rpc, err := net.Listen("tcp", grpcAddr)
	if err != nil {
		return fmt.Errorf("collector: %w; choose another with --grpc", err)
	}
	l.grpc = grpc.NewServer(receiver.ServerOptions()...)
	receiver.RegisterGRPC(l.grpc)
	go l.grpc.Serve(rpc)
	return nil
}

func (l *local) writeEndpoint(dataDir string) error {
	b, err := json.MarshalIndent(endpoint{l.engine.Addr(), embedded.Analyst, l.engine.Password(embedded.Analyst), l.url}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(endpointFile(dataDir), append(b, '\n'), 0o600)
}

// close stops in the order of the flow.
func (l *local) close() error {
	var errs []error
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if l.http != nil {
		errs = append(errs, l.http.Shutdown(ctx))
	}
	if l.grpc != nil {
		l.grpc.GracefulStop()
	}
	if l.publisher != nil {
		errs = append(errs, l.publisher.Close())
	}
	if l.stop != nil {
		l.stop()
		errs = append(errs, <-l.processed)
	}
	if l.broker != nil {
		errs = append(errs, l.broker.Close())
	}
	if l.engine != nil {
		errs = append(errs, l.engine.Close())
	}
	return errors.Join(append(errs, l.telemetry.close(ctx))...)
}
