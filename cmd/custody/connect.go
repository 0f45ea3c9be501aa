package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/table"
	"github.com/custody-audit/custody/schemas/topic"
)

// connect returns a connection pool to the configured ClickHouse; nothing is
// dialled yet.
func (c *clickhouseConfig) connect(database string) (driver.Conn, error) {
	o, err := c.options(database)
	if err != nil {
		return nil, err
	}
	return clickhouse.Open(o)
}

// asker is a pool of connections, and one of sessions of the same user.
type asker struct {
	driver.Conn
	sessions *sql.DB
}

func (a *asker) Close() error { return errors.Join(a.sessions.Close(), a.Conn.Close()) }

// asker is for what asks questions of several parts, see processor/parts.
func (c *clickhouseConfig) asker(database string) (*asker, error) {
	o, err := c.options(database)
	if err != nil {
		return nil, err
	}
	conn, err := clickhouse.Open(o)
	if err != nil {
		return nil, err
	}
	return &asker{conn, clickhouse.OpenDB(o)}, nil
}

func (c *clickhouseConfig) options(database string) (*clickhouse.Options, error) {
	password, err := c.secret()
	if err != nil {
		return nil, err
	}
	reach := dial.TLS(c.TLS).Dialer("clickhouse.tls")
	var settings clickhouse.Settings
	if c.Cluster != "" {
		settings = table.ClusterSettings()
	}
	return &clickhouse.Options{
		Settings: settings, Addr: c.Addresses, Auth: clickhouse.Auth{Username: c.User, Password: password, Database: database},
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4}, DialTimeout: 5 * time.Second,
		DialContext: func(ctx context.Context, addr string) (net.Conn, error) { return reach(ctx, "tcp", addr) },
	}, nil
}

// shards returns what finds a connection to each shard of the cluster among all of
// clickhouse.addresses; nil where there is no cluster. The connections live as long
// as the process.
func (c *clickhouseConfig) shards() (func(context.Context) ([]driver.Conn, error), error) {
	if c.Cluster == "" {
		return nil, nil
	}
	var conns []driver.Conn
	for _, address := range c.Addresses {
		one := *c
		one.Addresses = []string{address}
		conn, err := one.connect(c.Database)
		if err != nil {
			return nil, err
		}
		conns = append(conns, conn)
	}
	cluster := &table.Cluster{Name: c.Cluster}
	return func(ctx context.Context) ([]driver.Conn, error) { return cluster.Shards(ctx, conns) }, nil
}

// dialer returns what opens single connections, on which columns are inserted:
// to the first address that answers. What c is now counts, since "custody run"
// goes on as another user.
func (c *clickhouseConfig) dialer(database string) (func(context.Context) (*ch.Client, error), error) {
	password, err := c.secret()
	if err != nil {
		return nil, err
	}
	now := *c
	c = &now
	reach := dialFunc(dial.TLS(c.TLS).Dialer("clickhouse.tls"))
	var settings []ch.Setting
	if c.Cluster != "" {
		for key, value := range table.ClusterSettings() {
			settings = append(settings, ch.Setting{Key: key, Value: fmt.Sprint(value), Important: true})
		}
	}
	return func(ctx context.Context) (*ch.Client, error) {
		var errs []error
		for _, address := range c.Addresses {
			client, err := ch.Dial(ctx, ch.Options{
				Address: address, User: c.User, Password: password, Database: database,
				Compression: c.compression(address), DialTimeout: 5 * time.Second, ClientName: "custody", Dialer: reach,
				Settings: settings,
			})
			if err == nil {
				return client, nil
			}
			errs = append(errs, fmt.Errorf("%s: %w", address, err))
		}
		return nil, errors.Join(errs...)
	}, nil
}

func (c *clickhouseConfig) compression(address string) ch.Compression {
	host, _, _ := net.SplitHostPort(address)
	local := host == "localhost" || net.ParseIP(host).IsLoopback()
	if c.Compression == "none" || c.Compression == "" && local {
		return ch.CompressionDisabled
	}
	return ch.CompressionLZ4
}

func (c *clickhouseConfig) secret() (string, error) {
	if len(c.Addresses) == 0 {
		return "", errors.New(`clickhouse.addresses is not set; "custody run" brings an engine of its own`)
	}
	if c.PasswordFile == "" {
		return c.password, nil
	}
	return dial.Secret("clickhouse.password_file", c.PasswordFile)
}

// dialFunc is an interface of ch-go's as a function.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

func (f dialFunc) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return f(ctx, network, address)
}

// reach is how every client of Kafka gets there.
func (c *kafkaConfig) reach() dial.Kafka {
	return dial.Kafka{Brokers: c.Brokers, TLS: dial.TLS(c.TLS), SASL: dial.SASL(c.SASL), Compression: c.Compression}
}

// check asks Kafka who we are to it. What it refuses is an error, as what is
// wrong in the configuration is; that it cannot be reached is none.
func (c *kafkaConfig) check(ctx context.Context) error {
	if len(c.Brokers) == 0 {
		return errors.New(`kafka.brokers is not set; "custody run" brings a broker of its own`)
	}
	reach := c.reach()
	if err := reach.Check(ctx, "custody"); errors.Is(err, dial.ErrRefused) {
		return err
	}
	return nil
}

// client returns a client of Kafka that answers.
func (c *kafkaConfig) client(ctx context.Context) (*kafka.Client, error) {
	if err := c.check(ctx); err != nil {
		return nil, err
	}
	reach := c.reach()
	return reach.Client("custody"), nil
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
	// Registrar is the password of the user who imports registries.
	Registrar string `json:"registrar"`
	// Detector is the password of the user who writes what detections find and who is told.
	Detector string `json:"detector"`
	// Handler is the password of the user who writes down what is done about findings.
	Handler string `json:"handler"`
	// Retainer is the password of the user who deletes what is not to be kept any longer.
	Retainer string `json:"retainer"`
	// Auditors are the passwords of the users who see one tenant, by tenant.
	Auditors map[string]string `json:"auditors,omitempty"`
	// API is the address of the HTTP API, and APIKey one that is good until this
	// installation stops and may ask everything.
	API    string `json:"api,omitempty"`
	APIKey string `json:"api_key,omitempty"`
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
	return c.localAs(func(e *endpoint) (user, password string) {
		if password := e.Auditors[tenant]; password != "" {
			return table.Auditor(tenant), password
		}
		return e.User, e.Password
	})
}

// localAs does so as a user of the caller's choice.
func (c *config) localAs(who func(*endpoint) (user, password string)) error {
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
	user, password := who(&e)
	c.ClickHouse = clickhouseConfig{Addresses: []string{e.ClickHouse}, Database: "custody", User: user, password: password}
	c.Kafka.Brokers, c.Kafka.TLS, c.Kafka.SASL = []string{e.Kafka}, clientTLSConfig{}, saslConfig{}
	return nil
}
