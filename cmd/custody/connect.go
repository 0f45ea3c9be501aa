package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/schemas/table"
	"github.com/custody-audit/custody/schemas/topic"
)

// connect returns a connection pool to the configured ClickHouse; nothing is
// dialled yet.
func (c *clickhouseConfig) connect(database string) (driver.Conn, error) {
	if len(c.Addresses) == 0 {
		return nil, errors.New(`clickhouse.addresses is not set; "custody run" brings an engine of its own`)
	}
	password := c.password
	if c.PasswordFile != "" {
		b, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("clickhouse.password_file: %w", err)
		}
		password = strings.TrimRight(string(b), "\r\n") // which editors leave
	}
	return clickhouse.Open(&clickhouse.Options{
		Addr: c.Addresses, Auth: clickhouse.Auth{Username: c.User, Password: password, Database: database},
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4}, DialTimeout: 5 * time.Second,
	})
}

func (c *kafkaConfig) client() (*kafka.Client, error) {
	if len(c.Brokers) == 0 {
		return nil, errors.New(`kafka.brokers is not set; "custody run" brings a broker of its own`)
	}
	return &kafka.Client{Addr: kafka.TCP(c.Brokers...), Timeout: 10 * time.Second}, nil
}

func (c *kafkaConfig) layout() topic.Layout {
	return topic.Layout{Prefix: c.TopicPrefix, Partitions: c.Partitions, Replication: c.Replication}
}

// endpoint is how other verbs reach a running local installation. It lies in
// the data folder, readable by the owner only.
type endpoint struct {
	ClickHouse string `json:"clickhouse"`
	User       string `json:"user"`
	Password   string `json:"password"`
	Kafka      string `json:"kafka"`
	Collector  string `json:"collector"`
	// Auditors are the passwords of the users who see one tenant, by tenant.
	Auditors map[string]string `json:"auditors,omitempty"`
}

func endpointFile(dataDir string) string { return filepath.Join(dataDir, "endpoint.json") }

func (e *endpoint) write(dataDir string) error {
	b, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(endpointFile(dataDir), append(b, '\n'), 0o600)
}

// local points at the installation of the data folder when no ClickHouse is
// configured: as the auditor of the tenant, whom ClickHouse itself shows nothing
// else, or as the analyst when there is none or the tenant is new.
func (c *config) local(tenant string) error {
	if len(c.ClickHouse.Addresses) > 0 {
		return nil
	}
	name := endpointFile(c.DataDir)
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf(`no installation in %s: start "custody run" or "custody demo" with the same --data-dir, or set clickhouse.addresses`, c.DataDir)
	}
	var e endpoint
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	c.ClickHouse = clickhouseConfig{Addresses: []string{e.ClickHouse}, Database: "custody", User: e.User, password: e.Password}
	if password := e.Auditors[tenant]; password != "" {
		c.ClickHouse.User, c.ClickHouse.password = table.Auditor(tenant), password
	}
	c.Kafka.Brokers = []string{e.Kafka}
	return nil
}
