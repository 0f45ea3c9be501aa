package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/process"
	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/table"
	"github.com/custody-audit/custody/schemas/topic"
)

// processConfig is what a platform engineer writes for "custody process"; all
// else is as the program has it.
const processConfig = `kafka: {brokers: ["%s"], topic_prefix: "%s"}
clickhouse: {addresses: ["%s"], user: %s, password_file: "%s"}
processor: {group: "%s", registry: "%s"}
seal: {key_file: "%s", dir: "%s"}
telemetry: {address: "%s", profile: %t}
`

// custody is "custody process" on the topic of a prefix.
func (r *runner) custody(prefix string) *contender {
	var address string
	c := &contender{name: "custody", database: "custody", table: "records", exact: true}
	c.prepare = func(ctx context.Context) error {
		return r.migrate(ctx, c.database)
	}
	c.command = func(run int) (process.Command, error) {
		password, err := r.password(embedded.Writer)
		if err != nil {
			return process.Command{}, err
		}
		if address, err = freeAddress(); err != nil {
			return process.Command{}, err
		}
		key, err := r.sealKey()
		if err != nil {
			return process.Command{}, err
		}
		registry := filepath.Join(r.dir, "registry.yaml")
		if err := os.WriteFile(registry, []byte(registryText()), 0o600); err != nil {
			return process.Command{}, err
		}
		config := filepath.Join(r.dir, "process.yaml")
		group := fmt.Sprintf("%sprocessor-%d", prefix, run) // which has committed nothing
		checkpoints := filepath.Join(r.dir, fmt.Sprintf("checkpoints-%d", run))
		text := fmt.Sprintf(processConfig, r.kafkaAddr(), prefix, r.engine.Addr(), embedded.Writer, password, group, registry, key, checkpoints, address, r.cfg.ProfileDir != "")
		return process.Command{Path: r.cfg.Self, Args: []string{"process", "--config", config}}, os.WriteFile(config, []byte(text), 0o600)
	}
	profiled := make(chan error, 1)
	if r.cfg.ProfileDir != "" {
		c.storing = func(ctx context.Context) { go func() { profiled <- r.profile(ctx, address) }() }
	}
	c.observe = func(ctx context.Context, s *sample) error {
		var err error
		if s.intent, err = meanOf(ctx, address, "custody_processor_intent_duration_seconds"); err != nil {
			return err
		}
		if c.storing != nil {
			err = <-profiled
		}
		return err
	}
	return c
}

// profileSeconds is how long a profile is taken from the first rows on.
const profileSeconds = 3

// profile writes a CPU profile of the processor to the folder.
func (r *runner) profile(ctx context.Context, address string) error {
	body, err := get(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", address, profileSeconds))
	if err != nil {
		return fmt.Errorf("profile the processor: %w", err)
	}
	defer body.Close()
	f, err := os.Create(filepath.Join(r.cfg.ProfileDir, fmt.Sprintf("processor-%d.pprof", r.run)))
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return errors.Join(err, f.Close())
}

func get(ctx context.Context, url string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return nil, fmt.Errorf("%s: status %s", url, res.Status)
	}
	return res.Body, nil
}

// sealKey is the file of the key that signs checkpoints, made when it is first asked for.
func (r *runner) sealKey() (string, error) {
	name := filepath.Join(r.dir, "seal.key")
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	_, err := seal.CreateKey(name, "custody.bench/log")
	return name, err
}

func (s *estate) migrate(ctx context.Context, database string) error {
	conn, err := s.open(database)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = table.Migrate(ctx, conn)
	return err
}

// custodyTopic is the events' topic of a prefix.
func custodyTopic(prefix string) string { return topic.Name(prefix, topic.Events) }

// freeAddress is an address that nobody listens on at the moment.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// meanOf reads a histogram from /metrics and returns the mean of all its values.
func meanOf(ctx context.Context, address, name string) (time.Duration, error) {
	body, err := get(ctx, "http://"+address+"/metrics")
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	defer body.Close()
	var sum, count float64
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		line := lines.Text()
		value, _ := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		switch {
		case strings.HasPrefix(line, name+"_sum"):
			sum += value
		case strings.HasPrefix(line, name+"_count"):
			count += value
		}
	}
	if count == 0 {
		return 0, fmt.Errorf("the processor has no metric %s", name)
	}
	return time.Duration(sum / count * float64(time.Second)), lines.Err()
}
