package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/custody-audit/custody/schemas/dial"
)

// config is everything that can be set. A value comes from its flag, else from
// the environment, else from the file, else it is the default. The tags are the
// reference: docs/reference/config.md is made of them.
type config struct {
	DataDir    string           `koanf:"data_dir" help:"data folder of the installation on this machine (\"custody run\" and \"custody demo\"), and where other verbs look for it"`
	Log        logConfig        `koanf:"log"`
	Kafka      kafkaConfig      `koanf:"kafka"`
	ClickHouse clickhouseConfig `koanf:"clickhouse"`
	Collector  collectorConfig  `koanf:"collector"`
	Processor  processorConfig  `koanf:"processor"`
	Seal       sealConfig       `koanf:"seal"`
	Witness    witnessConfig    `koanf:"witness"`
	Reconcile  reconcileConfig  `koanf:"reconcile"`
	Retention  retentionConfig  `koanf:"retention"`
	Detect     detectConfig     `koanf:"detect"`
	Notify     notifyConfig     `koanf:"notify"`
	Search     searchConfig     `koanf:"search"`
	Serve      serveConfig      `koanf:"serve"`
	API        apiConfig        `koanf:"api"`
	Telemetry  telemetryConfig  `koanf:"telemetry"`
}

type logConfig struct {
	Level  string `koanf:"level" help:"debug, info, warn or error"`
	Format string `koanf:"format" help:"text or json; logs go to stderr"`
}

type kafkaConfig struct {
	Brokers     []string `koanf:"brokers" help:"bootstrap addresses, host:port; empty: the broker of data_dir"`
	TopicPrefix string   `koanf:"topic_prefix" help:"before every topic name, for several installations on one cluster"`
	Partitions  int      `koanf:"partitions" help:"partitions of custody.events when it is created; see docs/adr/0004-kafka-key.md before changing it later"`
	Replication int      `koanf:"replication" help:"replicas of each topic when it is created; 3 in production, 1 on one broker"`
	Compression string   `koanf:"compression" help:"of what is written to Kafka: zstd, lz4 or none; lz4 costs the collector less and the brokers more"`

	TLS  clientTLSConfig `koanf:"tls"`
	SASL saslConfig      `koanf:"sasl"`
}

// clientTLSConfig has the fields of dial.TLS.
type clientTLSConfig struct {
	Enabled    bool   `koanf:"enabled" help:"connect with TLS and verify the server's certificate"`
	CAFile     string `koanf:"ca_file" help:"authorities of the server's certificate, PEM; empty: those of the system"`
	CertFile   string `koanf:"cert_file" help:"certificate to show to a server that asks for one, PEM; empty: none; all three files are read for each connection"`
	KeyFile    string `koanf:"key_file" help:"its private key, PEM"`
	ServerName string `koanf:"server_name" help:"name that the server's certificate must have; empty: the host of the address"`
}

// saslConfig has the fields of dial.SASL.
type saslConfig struct {
	Mechanism    string `koanf:"mechanism" help:"PLAIN (only with TLS), SCRAM-SHA-256 or SCRAM-SHA-512; empty: no SASL"`
	Username     string `koanf:"username" help:"user of the mechanism"`
	PasswordFile string `koanf:"password_file" help:"file with the user's password; it is read for each connection"`
}

type clickhouseConfig struct {
	Addresses    []string `koanf:"addresses" help:"native protocol, host:port; empty: the engine of data_dir"`
	Database     string   `koanf:"database" help:"database of Custody's tables"`
	Cluster      string   `koanf:"cluster" help:"name of the cluster in the servers' remote_servers that holds the tables together (docs/deploy.md); empty: one server"`
	User         string   `koanf:"user" help:"user to connect as; queries want no more than to read"`
	PasswordFile string   `koanf:"password_file" help:"file with the user's password; empty: no password"`
	Compression  string   `koanf:"compression" help:"of what is inserted: lz4 or none; empty: lz4, but none to this machine"`

	TLS clientTLSConfig `koanf:"tls"`

	password string // of a local installation, which has no file of its own
}

type collectorConfig struct {
	Sources      string      `koanf:"sources" help:"file of the sources; \"custody source add\" adds one"`
	HTTP         string      `koanf:"http" help:"address of the HTTP sources"`
	GRPC         string      `koanf:"grpc" help:"address of OTLP over gRPC"`
	Spool        spoolConfig `koanf:"spool"`
	TLS          tlsConfig   `koanf:"tls"`
	Transmitters string      `koanf:"transmitters" help:"file of the transmitters of Shared Signals (docs/sources/ssf.md); empty: none"`
	Redact       struct {
		KeyID   string `koanf:"key_id" help:"name of the key below, part of every reference made with it"`
		KeyFile string `koanf:"key_file" help:"file with at least 32 random bytes: secrets of low entropy become references under it; empty: they are dropped"`
		// DeepScan is for every source; one alone asks for it in the sources file.
		DeepScan bool `koanf:"deep_scan" help:"search the events of all sources by gitleaks' rules too, at many times the cost (docs/adr/0010-deep-scan.md); deep_scan in the sources file does so for one"`
	} `koanf:"redact"`
}

type tlsConfig struct {
	CertFile      string   `koanf:"cert_file" help:"the collector's certificate, PEM; it is read again when it changes; empty: no TLS"`
	KeyFile       string   `koanf:"key_file" help:"its private key, PEM"`
	ClientCAFile  string   `koanf:"client_ca_file" help:"authorities of client certificates with DNS names, PEM; empty: such certificates are refused"`
	SPIFFEBundles []string `koanf:"spiffe_bundles" help:"authorities of SPIFFE trust domains, as DOMAIN=FILE with PEM"`
}

type spoolConfig struct {
	Dir          string `koanf:"dir" help:"folder of acknowledged events that wait while Kafka is away, one per collector; empty: \"spool\" in data_dir"`
	MaxBytes     int64  `koanf:"max_bytes" help:"most bytes that wait there; 0: no spool, events are refused while Kafka is away and the sources keep them"`
	MinFreeBytes int64  `koanf:"min_free_bytes" help:"bytes of the disk that the spool leaves free"`
}

type processorConfig struct {
	Group          string        `koanf:"group" help:"Kafka consumer group"`
	Registry       string        `koanf:"registry" help:"file or folder of what is registered of principals, servers and tools (docs/operate.md), looked at again every 2 s; empty: what \"custody registry import\" stored"`
	BlockRecords   int           `koanf:"block_records" help:"most records of one insert"`
	Blocks         int           `koanf:"blocks" help:"blocks at a time, for all partitions; each needs about twice the bytes of its records"`
	BlockWait      time.Duration `koanf:"block_wait" help:"how long a block waits to fill; the floor of the time until an event can be found"`
	SessionTimeout time.Duration `koanf:"session_timeout" help:"silence after which Kafka gives a member's partitions to others"`
}

type sealConfig struct {
	KeyFile         string        `koanf:"key_file" help:"private key that signs checkpoints, the same for all processors; \"custody seal keygen\" makes it; empty: nothing is sealed (\"custody run\": one is made in data_dir)"`
	Dir             string        `koanf:"dir" help:"folder outside ClickHouse that takes the checkpoints, where its administrators cannot write; empty: none (\"custody run\": in data_dir)"`
	Trust           string        `koanf:"trust" help:"verifier key of the log, for who checks without the private key; empty: that of seal.key_file"`
	Interval        time.Duration `koanf:"interval" help:"time between two checkpoints of a partition that grows"`
	Witnesses       string        `koanf:"witnesses" help:"file of the witnesses that are asked for cosignatures (c2sp.org/tlog-policy: lines \"witness NAME KEY URL\"); empty: none"`
	WitnessInterval time.Duration `koanf:"witness_interval" help:"time between two questions to each of them"`
}

type witnessConfig struct {
	KeyFile string `koanf:"key_file" help:"private key of this witness, for nothing else"`
	Dir     string `koanf:"dir" help:"folder of what it signed; one witness at a time uses it, and a backup of it must never be restored"`
	Logs    string `koanf:"logs" help:"file of the logs that it cosigns for (c2sp.org/tlog-policy: lines \"log KEY\")"`
	Address string `koanf:"address" help:"address that it listens on, HTTP"`
}

type retentionConfig struct {
	Interval time.Duration `koanf:"interval" help:"time between two looks at which records' time is over"`
}

type reconcileConfig struct {
	Interval         time.Duration `koanf:"interval" help:"time between two looks at the records that are new"`
	RecordsPerSecond int           `koanf:"records_per_second" help:"how fast all records are read again and again; how long an old record may be altered unseen is their number divided by this"`
	Grace            time.Duration `koanf:"grace" help:"how long records may be stored before a checkpoint covers them; beyond that they count as put there"`
}

type searchConfig struct {
	Queries string `koanf:"queries" help:"file of saved filters; empty: queries.yaml in data_dir"`
}

type detectConfig struct {
	Interval time.Duration `koanf:"interval" help:"time between two rounds of the detections"`
	Rules    string        `koanf:"rules" help:"folder of own rules, pairs NAME.yaml and NAME.sql, and of overrides.yaml, which changes severity and parameters of rules or disables them (docs/analyst.md); empty: the built-in rules as they are"`
}

type telemetryConfig struct {
	Address      string  `koanf:"address" help:"address of /metrics (Prometheus), /healthz and /readyz; empty: none"`
	Profile      bool    `koanf:"profile" help:"serve Go's profiles below /debug/pprof of that address; they tell what the memory holds, so only where it is private"`
	OTLPEndpoint string  `koanf:"otlp_endpoint" help:"OTLP/HTTP address for Custody's own traces and metrics, as http://127.0.0.1:4318; OTEL_EXPORTER_OTLP_HEADERS is honoured; empty: none"`
	SampleRatio  float64 `koanf:"sample_ratio" help:"share of own traces that are exported, 0 to 1"`
}

func defaults() *config {
	return &config{
		DataDir:    "data",
		Log:        logConfig{Level: "warn", Format: "text"},
		Kafka:      kafkaConfig{Partitions: 4, Replication: 1, Compression: "zstd"},
		ClickHouse: clickhouseConfig{Database: "custody"},
		Collector:  collectorConfig{Sources: "sources.yaml", HTTP: "127.0.0.1:4318", GRPC: "127.0.0.1:4317", Spool: spoolConfig{MaxBytes: 1 << 30, MinFreeBytes: 256 << 20}},
		Processor:  processorConfig{Group: "custody-processor", BlockRecords: 40_000, Blocks: 2, BlockWait: 500 * time.Millisecond, SessionTimeout: 10 * time.Second},
		Seal:       sealConfig{Interval: time.Second, WitnessInterval: 10 * time.Second},
		Witness:    witnessConfig{Address: "127.0.0.1:7380"},
		Retention:  retentionConfig{Interval: time.Hour},
		Reconcile:  reconcileConfig{Interval: time.Minute, RecordsPerSecond: 20_000, Grace: 10 * time.Minute},
		Detect:     detectConfig{Interval: 30 * time.Second},
		Notify:     notifyDefaults(),
		Serve:      serveDefaults(),
		Telemetry:  telemetryConfig{Address: "127.0.0.1:9464", SampleRatio: 1},
	}
}

// defaultFile is read when it is there; another file must be.
const defaultFile = "custody.yaml"

// loadConfig merges file, environment and flags. environ is as [os.Environ]'s.
func loadConfig(file string, environ []string, flags *pflag.FlagSet) (*config, error) {
	k := koanf.New(".")
	err := errors.Join(readFile(k, file), readEnvironment(k, environ), readFlags(k, flags))
	if err != nil {
		return nil, err
	}
	c := defaults()
	err = k.UnmarshalWithConf("", c, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		TagName: "koanf", WeaklyTypedInput: true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(mapstructure.StringToTimeDurationHookFunc(), mapstructure.StringToSliceHookFunc(",")),
	}})
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return c, c.validate()
}

func readFile(k *koanf.Koanf, file string) error {
	name := file
	if name == "" {
		name = defaultFile
	}
	b, err := os.ReadFile(name)
	if file == "" && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if err := k.Load(rawbytes.Provider(b), yaml.Parser()); err != nil {
		return fmt.Errorf("read configuration %s: %w", name, err)
	}
	var errs []error
	known := settings()
	for _, key := range k.Keys() {
		if !slices.ContainsFunc(known, func(s setting) bool { return s.Key == key }) {
			errs = append(errs, fmt.Errorf("configuration %s: unknown key %q; docs/reference/config.md lists all", name, key))
		}
	}
	return errors.Join(errs...)
}

// Variables with our prefix that are no settings: the file itself, a source's key, where the engine is
// (deploy/embedded: CUSTODY_ENGINE, _DIR, _CHILD) and Kafka's jars (deploy/kafka), and what tests read.
var otherVariables = []string{"CUSTODY_CONFIG", "CUSTODY_SOURCE_KEY", "CUSTODY_ENGINE", "CUSTODY_KAFKA_DIR", "CUSTODY_TEST_"}

func readEnvironment(k *koanf.Koanf, environ []string) error {
	var errs []error
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, "CUSTODY_") || slices.ContainsFunc(otherVariables, func(o string) bool { return strings.HasPrefix(name, o) }) {
			continue
		}
		key := ""
		for _, s := range settings() {
			if s.Env() == name {
				key = s.Key
			}
		}
		if key == "" {
			errs = append(errs, fmt.Errorf("environment: unknown variable %s; docs/reference/config.md lists all", name))
			continue
		}
		errs = append(errs, k.Set(key, value))
	}
	return errors.Join(errs...)
}

func readFlags(k *koanf.Koanf, flags *pflag.FlagSet) error {
	var errs []error
	for _, s := range settings() {
		f := flags.Lookup(s.Flag())
		if f == nil || !f.Changed {
			continue
		}
		var value any = f.Value.String()
		if list, ok := f.Value.(pflag.SliceValue); ok {
			value = list.GetSlice()
		}
		errs = append(errs, k.Set(s.Key, value))
	}
	return errors.Join(errs...)
}

// validate reports everything that is wrong at once.
func (c *config) validate() error {
	var errs []error
	want := func(ok bool, key, reason string, value any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %s, got %v", key, reason, value))
		}
	}
	want(slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level), "log.level", "want debug, info, warn or error", c.Log.Level)
	want(slices.Contains([]string{"text", "json"}, c.Log.Format), "log.format", "want text or json", c.Log.Format)
	want(c.Kafka.Partitions > 0, "kafka.partitions", "want at least 1", c.Kafka.Partitions)
	want(c.Kafka.Replication > 0, "kafka.replication", "want at least 1", c.Kafka.Replication)
	want((c.Collector.TLS.CertFile == "") == (c.Collector.TLS.KeyFile == ""), "collector.tls", "want cert_file and key_file both, or neither", c.Collector.TLS.CertFile)
	want(c.Collector.Spool.MaxBytes >= 0, "collector.spool.max_bytes", "want 0 or more", c.Collector.Spool.MaxBytes)
	want(c.Collector.Spool.MinFreeBytes > 0, "collector.spool.min_free_bytes", "want more than 0", c.Collector.Spool.MinFreeBytes)
	want(c.Processor.BlockRecords > 0, "processor.block_records", "want at least 1", c.Processor.BlockRecords)
	want(c.Processor.Blocks > 0, "processor.blocks", "want at least 1", c.Processor.Blocks)
	want(slices.Contains([]string{"", "lz4", "none"}, c.ClickHouse.Compression), "clickhouse.compression", "want lz4, none or nothing", c.ClickHouse.Compression)
	want(c.Processor.BlockWait > 0, "processor.block_wait", "want more than 0", c.Processor.BlockWait)
	want(c.Processor.SessionTimeout >= 6*time.Second, "processor.session_timeout", "want at least 6s, which is Kafka's own minimum", c.Processor.SessionTimeout)
	want(c.Seal.Interval >= 100*time.Millisecond, "seal.interval", "want at least 100ms", c.Seal.Interval)
	want(c.Seal.WitnessInterval >= time.Second, "seal.witness_interval", "want at least 1s", c.Seal.WitnessInterval)
	want(c.Retention.Interval >= time.Second, "retention.interval", "want at least 1s", c.Retention.Interval)
	want(c.Reconcile.Interval >= time.Second, "reconcile.interval", "want at least 1s", c.Reconcile.Interval)
	want(c.Reconcile.RecordsPerSecond > 0, "reconcile.records_per_second", "want at least 1", c.Reconcile.RecordsPerSecond)
	want(c.Reconcile.Grace >= time.Minute, "reconcile.grace", "want at least 1m", c.Reconcile.Grace)
	want(c.Detect.Interval >= time.Second, "detect.interval", "want at least 1s", c.Detect.Interval)
	want(c.Telemetry.SampleRatio >= 0 && c.Telemetry.SampleRatio <= 1, "telemetry.sample_ratio", "want 0 to 1", c.Telemetry.SampleRatio)
	want((c.Collector.Redact.KeyID == "") == (c.Collector.Redact.KeyFile == ""), "collector.redact", "want key_id and key_file both, or neither", c.Collector.Redact.KeyID)
	reach := c.Kafka.reach()
	return errors.Join(append(errs, c.Serve.validate(), c.API.validate(), c.Notify.validate(), reach.Validate(), dial.TLS(c.ClickHouse.TLS).Validate("clickhouse.tls"))...)
}
