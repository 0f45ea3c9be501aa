package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// load reads a configuration as a verb that takes every section does.
func load(t *testing.T, file string, environ, args []string) (*config, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "custody.yaml")
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	verb := takes(&cobra.Command{}, "data_dir", "log", "kafka", "clickhouse", "collector", "processor", "telemetry")
	if err := verb.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return loadConfig(name, environ, verb.Flags())
}

func TestFlagBeatsEnvironmentBeatsFile(t *testing.T) {
	c, err := load(t, `
kafka: {brokers: [file-1:9092, file-2:9092], partitions: 8, replication: 3}
processor: {block_wait: 2s, block_records: 5}
telemetry: {sample_ratio: 0.25}`,
		[]string{"CUSTODY_KAFKA_PARTITIONS=16", "CUSTODY_CLICKHOUSE_ADDRESSES=env-1:9000,env-2:9000", "CUSTODY_PROCESSOR_BLOCK_RECORDS=6", "HOME=/"},
		[]string{"--kafka-replication", "5", "--processor-block-records=7", "--collector-http", "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Kafka.Brokers, want.Kafka.Partitions, want.Kafka.Replication = []string{"file-1:9092", "file-2:9092"}, 16, 5
	want.ClickHouse.Addresses = []string{"env-1:9000", "env-2:9000"}
	want.Processor.BlockWait, want.Processor.BlockRecords = 2*time.Second, 7
	want.Collector.HTTP, want.Telemetry.SampleRatio = "127.0.0.1:1", 0.25
	if diff := cmp.Diff(want, c, cmp.AllowUnexported(clickhouseConfig{})); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func TestWrongConfigurationNamesEverything(t *testing.T) {
	for name, c := range map[string]struct {
		file    string
		environ []string
		want    []string
	}{
		"unknown key":      {file: "kafka: {broker: x}\nlogs: debug", want: []string{`unknown key "kafka.broker"`, `unknown key "logs"`}},
		"unknown variable": {environ: []string{"CUSTODY_KAFKA_BROKER=x"}, want: []string{"CUSTODY_KAFKA_BROKER"}},
		"not YAML":         {file: "kafka: [", want: []string{"custody.yaml"}},
		"wrong type":       {file: "kafka: {partitions: many}", want: []string{"kafka.partitions"}},
		"out of range": {file: "log: {level: loud}\nkafka: {partitions: 0}\nprocessor: {session_timeout: 1s}\ncollector: {redact: {key_id: k}}",
			want: []string{"log.level", "kafka.partitions", "processor.session_timeout", "collector.redact"}},
		"who we are": {file: "kafka: {tls: {ca_file: ca.pem}, sasl: {mechanism: GSSAPI, username: u}, compression: gzip}\nclickhouse: {tls: {enabled: true, key_file: key.pem}}",
			want: []string{"kafka.tls.enabled", `kafka.sasl.mechanism: want PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, got "GSSAPI"`, "kafka.sasl.password_file", "kafka.compression", "clickhouse.tls: want cert_file and key_file"}},
		"a password in the open": {environ: []string{"CUSTODY_KAFKA_SASL_MECHANISM=PLAIN", "CUSTODY_KAFKA_SASL_USERNAME=u", "CUSTODY_KAFKA_SASL_PASSWORD_FILE=f"}, want: []string{"kafka.sasl.mechanism", "kafka.tls.enabled"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.file, c.environ, nil)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not name %s", err, w)
				}
			}
		})
	}
}

// Those who say where the engine is are no settings, and no typing errors either.
func TestOtherVariables(t *testing.T) {
	for _, v := range []string{"CUSTODY_ENGINE=/usr/bin/clickhouse", "CUSTODY_ENGINE_DIR=/opt/engine", "CUSTODY_KAFKA_DIR=/opt/kafka", "CUSTODY_TEST_PROGRAMS=/opt/programs"} {
		if _, err := load(t, "", []string{v}, nil); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
}

func TestMissingFile(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := loadConfig("", nil, (&cobra.Command{}).Flags()); err != nil {
		t.Errorf("no file at all: %v", err)
	}
	if _, err := loadConfig("elsewhere.yaml", nil, (&cobra.Command{}).Flags()); err == nil {
		t.Error("the file that was asked for is missing, and nothing is said")
	}
}

// Two settings must not share a variable or a flag, and each says what it is for.
func TestSettings(t *testing.T) {
	seen := map[string]string{}
	for _, s := range settings() {
		if s.Help == "" {
			t.Errorf("%s has no help", s.Key)
		}
		for _, name := range []string{s.Env(), s.Flag()} {
			if other, ok := seen[name]; ok {
				t.Errorf("%s and %s are both %s", other, s.Key, name)
			}
			seen[name] = s.Key
		}
	}
}
