package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/custody-audit/custody/evidence/notify"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/topic"
)

type notifyConfig struct {
	Name     string        `koanf:"name" help:"under which it is remembered what was told; another one begins anew, for a second \"custody notify\" that tells others"`
	Interval time.Duration `koanf:"interval" help:"time between two looks for findings that changed"`
	Tenants  []string      `koanf:"tenants" help:"only findings of these tenants; empty: of all"`
	Severity string        `koanf:"severity" help:"only findings at least this severe: info, low, medium, high, critical"`
	Kafka    struct {
		Enabled bool `koanf:"enabled" help:"write findings and their changes to the topic custody.findings, in OCSF"`
	} `koanf:"kafka"`
	Webhook notifyWebhookConfig `koanf:"webhook"`
	Syslog  notifySyslogConfig  `koanf:"syslog"`
}

type notifyWebhookConfig struct {
	URL        string        `koanf:"url" help:"address that findings and their changes are posted to, in OCSF, signed as Standard Webhooks says; beyond this machine https; empty: none"`
	SecretFile string        `koanf:"secret_file" help:"file with the secret that signs, whsec_ and base64 of 24 to 64 bytes; with two, each message has both signatures"`
	CAFile     string        `koanf:"ca_file" help:"authorities of the receiver's certificate, PEM; empty: those of the system"`
	Timeout    time.Duration `koanf:"timeout" help:"how long the receiver may take to answer"`
	Attempts   int           `koanf:"attempts" help:"how often a message is tried before it is a dead letter (\"custody notify undelivered\"); the pauses double from 1 s to 5 min"`
}

type notifySyslogConfig struct {
	Address  string `koanf:"address" help:"host:port of a receiver of syslog (RFC 5424, octet counts) for findings in CEF; empty: none"`
	Facility int    `koanf:"facility" help:"facility of the messages, 0 to 23; 13 is the log audit"`
	Hostname string `koanf:"hostname" help:"host name in the messages; empty: this machine's"`
	PlainTCP bool   `koanf:"plain_tcp" help:"send beyond this machine without TLS"`

	TLS clientTLSConfig `koanf:"tls"`
}

func notifyDefaults() (c notifyConfig) {
	c.Interval, c.Severity, c.Kafka.Enabled = 2*time.Second, string(detect.Severities[0]), true
	c.Webhook.Timeout, c.Webhook.Attempts, c.Syslog.Facility = 15*time.Second, 12, 13
	return c
}

func (c *notifyConfig) validate() error {
	var errs []error
	want := func(ok bool, key, reason string, value any) {
		if !ok {
			errs = append(errs, fmt.Errorf("notify.%s: %s, got %v", key, reason, value))
		}
	}
	want(c.Interval >= 100*time.Millisecond, "interval", "want at least 100ms", c.Interval)
	want(slices.Contains(detect.Severities, detect.Severity(c.Severity)), "severity", "want one of "+joinWords(detect.Severities), c.Severity)
	want(!slices.ContainsFunc(c.Tenants, func(t string) bool { return !event.ValidTenant(t) }), "tenants", "want names of tenants", c.Tenants)
	want(c.Webhook.Timeout >= time.Second && c.Webhook.Timeout <= time.Minute, "webhook.timeout", "want 1s to 1m", c.Webhook.Timeout)
	want(c.Webhook.Attempts > 0, "webhook.attempts", "want at least 1", c.Webhook.Attempts)
	want((c.Webhook.URL == "") == (c.Webhook.SecretFile == ""), "webhook", "want url and secret_file both, or neither", c.Webhook.SecretFile)
	if u, err := url.Parse(c.Webhook.URL); c.Webhook.URL != "" {
		want(err == nil && (u.Scheme == "https" || u.Scheme == "http" && near(u.Hostname())), "webhook.url", "want https, or http to this machine", "another")
	}
	want(c.Syslog.Facility >= 0 && c.Syslog.Facility <= 23, "syslog.facility", "want 0 to 23", c.Syslog.Facility)
	if host, _, err := net.SplitHostPort(c.Syslog.Address); c.Syslog.Address != "" {
		want(err == nil, "syslog.address", "want host:port", c.Syslog.Address)
		want(c.Syslog.TLS.Enabled || c.Syslog.PlainTCP || near(host), "syslog.address", "is beyond this machine: want notify.syslog.tls.enabled, or notify.syslog.plain_tcp", c.Syslog.Address)
	}
	return errors.Join(append(errs, dial.TLS(c.Syslog.TLS).Validate("notify.syslog.tls"))...)
}

// lease is what notifiers that tell the same share one by.
func (c *notifyConfig) lease() string {
	if c.Name == "" {
		return "notify"
	}
	return "notify-" + c.Name
}

func near(host string) bool { return loopback(net.JoinHostPort(host, "0")) }

// outlets are those that are configured.
func (c *notifyConfig) outlets(kafka *kafkaConfig) (out []notify.Outlet, err error) {
	add := func(name string, sink notify.Sink, attempts int) {
		if c.Name != "" {
			name = c.Name + "-" + name
		}
		out = append(out, notify.Outlet{Name: name, Sink: sink, Attempts: attempts})
	}
	if c.Webhook.URL != "" {
		secrets, err := dial.Secret("notify.webhook.secret_file", c.Webhook.SecretFile)
		if err != nil {
			return nil, err
		}
		w, err := notify.NewWebhook(notify.WebhookConfig{URL: c.Webhook.URL, Secrets: strings.Fields(secrets), CAFile: c.Webhook.CAFile, Timeout: c.Webhook.Timeout})
		if err != nil {
			return nil, fmt.Errorf("notify.webhook: %w", err)
		}
		add("webhook", w, c.Webhook.Attempts)
	}
	if c.Syslog.Address != "" {
		s, err := notify.NewSyslog(notify.SyslogConfig{Address: c.Syslog.Address, TLS: dial.TLS(c.Syslog.TLS), Facility: c.Syslog.Facility, Hostname: c.Syslog.Hostname})
		if err != nil {
			return nil, fmt.Errorf("notify.syslog: %w", err)
		}
		add("syslog", s, 0)
	}
	if c.Kafka.Enabled {
		add("kafka", notify.NewKafka(kafka.reach(), topic.Name(kafka.TopicPrefix, topic.Findings)), 0)
	}
	return out, nil
}
