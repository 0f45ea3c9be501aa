package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/collector/registry"
	"github.com/custody-audit/custody/deploy/doctor"
	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/processor/witness"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// patient is a service, with the role of ClickHouse that it connects as; empty: it
// connects to none, or reads only.
type patient struct{ name, role string }

// patients are the services that doctor knows.
var patients = []patient{
	{"collect", ""}, {"process", "custody_writer"}, {"detect", "custody_detector"}, {"notify", "custody_detector"}, {"serve", ""}, {"witness", ""},
	{"retain", "custody_retainer"},
}

func serviceNames() (out []string) {
	for _, s := range patients {
		out = append(out, s.name)
	}
	return out
}

func newDoctor(a *app) *cobra.Command {
	var output *choice
	c := takes(&cobra.Command{
		Use:   "doctor [SERVICE]",
		Short: "Check every connection, version, topic, permission, clock, file and key, and say what to do",
		Long: `Looks at what the services need, with their settings and as their users, and changes nothing. Run it where a service runs, as the
user that it runs as, with its configuration. With a SERVICE (` + strings.Join(serviceNames(), ", ") + `) only at what that one needs, also
whether ClickHouse grants it enough. Exit 1 when something failed; a warning is right now and will not stay so.`,
		Example:   "  custody doctor --config /etc/custody/process.yaml process\n  custody doctor --output json | jq 'select(.state == \"failed\")'",
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: serviceNames(),
		RunE: func(cmd *cobra.Command, args []string) error {
			service := ""
			if len(args) > 0 {
				service = args[0]
			}
			if err := a.connectAs(service); err != nil {
				return err
			}
			checks, err := a.checks(service)
			if err != nil {
				return err
			}
			failures, t := 0, tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			lines := json.NewEncoder(cmd.OutOrStdout())
			doctor.Run(cmd.Context(), checks, func(f doctor.Finding) {
				if f.State == doctor.Failed {
					failures++
				}
				if output.value == "json" {
					_ = lines.Encode(f) // the terminal is gone; the exit code still tells
					return
				}
				fmt.Fprintf(t, "%s\t%s\t%s\n", f.State, f.Check, event.Visible(f.Detail, ""))
				if f.Next != "" {
					fmt.Fprintf(t, "\t\t-> %s\n", event.Visible(f.Next, ""))
				}
				t.Flush()
			})
			if failures > 0 {
				return exitCode(1)
			}
			return nil
		},
	}, "kafka", "clickhouse", "collector", "processor", "seal", "witness", "detect", "notify", "serve", "telemetry")
	output = outputFlag(c, "table", "json")
	return c
}

// connectAs finds the installation on this machine where none is configured. Collectors
// and witnesses ask no ClickHouse, and need none of it.
func (a *app) connectAs(service string) error {
	switch {
	case service == "witness", service == "collect" && len(a.config.Kafka.Brokers) > 0:
		return nil
	case service == "retain":
		return a.config.localAs(func(e *endpoint) (string, string) { return retainerUser, e.Retainer })
	}
	return a.config.local("")
}

// checks are what a service needs; all of them for none.
func (a *app) checks(service string) ([]doctor.Check, error) {
	c := a.config
	of := func(names ...string) bool { return service == "" || slices.Contains(names, service) }
	var out []doctor.Check
	add := func(checks ...doctor.Check) { out = append(out, checks...) }
	if of("collect", "process", "detect", "notify", "serve", "retain") {
		group := ""
		if of("process") {
			group = c.Processor.Group
		}
		add(doctor.Secret("kafka.sasl.password_file", c.Kafka.SASL.PasswordFile), doctor.Certificate("kafka.tls.cert_file", c.Kafka.TLS.CertFile, c.Kafka.TLS.KeyFile, time.Now()),
			doctor.Kafka(c.Kafka.reach(), c.Kafka.layout(), group))
	}
	if of("process", "detect", "notify", "serve", "retain") {
		add(doctor.Secret("clickhouse.password_file", c.ClickHouse.PasswordFile), doctor.Certificate("clickhouse.tls.cert_file", c.ClickHouse.TLS.CertFile, c.ClickHouse.TLS.KeyFile, time.Now()))
		options, err := c.ClickHouse.options(c.ClickHouse.Database)
		if err != nil {
			return nil, err
		}
		grants := []string{"SELECT ON DATABASE.events"}
		if i := slices.IndexFunc(patients, func(p patient) bool { return p.name == service && p.role != "" }); i >= 0 {
			grants = table.Grants(patients[i].role)
		}
		add(doctor.ClickHouse(options, grants))
	}
	if service == "" { // a default that is not there is not used
		for path, usual := range map[*string]string{&c.Collector.Sources: defaults().Collector.Sources, &c.Serve.Keys: defaults().Serve.Keys} {
			if _, err := os.Stat(*path); *path == usual && err != nil {
				*path = ""
			}
		}
	}
	if of("collect") {
		add(a.collectorChecks()...)
	}
	if of("process", "retain") {
		add(a.sealChecks()...)
	}
	if service == "retain" && c.Seal.of(c.DataDir).KeyFile == "" {
		add(doctor.Missing("seal.key_file", "deletions are signed with the log's key", "give its file, the same as the processors'"))
	}
	if of("process") {
		add(a.processorChecks()...)
	}
	if of("detect") {
		add(doctor.File("detect.rules", c.Detect.Rules, func() (string, error) {
			set, err := detect.ReadSet(c.Detect.Rules)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%d rules are active", len(set.Active())), nil
		}))
	}
	if of("serve") {
		add(a.serveChecks()...)
	}
	if of("witness") {
		add(doctor.Secret("witness.key_file", c.Witness.KeyFile), doctor.Folder("witness.dir", c.Witness.Dir, 1<<20),
			doctor.File("witness.logs", c.Witness.Logs, func() (string, error) { _, err := witness.ReadPolicy(c.Witness.Logs); return c.Witness.Logs, err }))
	}
	add(doctor.Reaches("telemetry.otlp_endpoint", c.Telemetry.OTLPEndpoint))
	if service != "" {
		add(doctor.Free("telemetry.address", c.Telemetry.Address))
	}
	return out, nil
}

func (a *app) collectorChecks() []doctor.Check {
	c := a.config.Collector
	sources := a.config.Collector.Sources
	return []doctor.Check{
		doctor.File("collector.sources", sources, func() (string, error) {
			list, err := registry.ReadSources(sources)
			return fmt.Sprintf("%d sources in %s", len(list), sources), err
		}),
		doctor.Certificate("collector.tls.cert_file", c.TLS.CertFile, c.TLS.KeyFile, time.Now()),
		doctor.Secret("collector.redact.key_file", c.Redact.KeyFile),
		doctor.Folder("collector.spool.dir", c.Spool.Dir, c.Spool.MaxBytes+c.Spool.MinFreeBytes),
	}
}

// sealChecks are of who signs with the log's key.
func (a *app) sealChecks() []doctor.Check {
	s := a.config.Seal.of(a.config.DataDir)
	return []doctor.Check{
		doctor.Secret("seal.key_file", s.KeyFile),
		doctor.File("seal.key_file", s.KeyFile, func() (string, error) {
			k, err := seal.ReadKey(s.KeyFile)
			if err != nil {
				return "", err
			}
			return "signs for the log " + k.Name(), nil
		}),
		doctor.Folder("seal.dir", s.Dir, 64<<20),
	}
}

func (a *app) processorChecks() []doctor.Check {
	c := a.config
	s := c.Seal.of(c.DataDir)
	return []doctor.Check{
		doctor.File("seal.witnesses", s.Witnesses, func() (string, error) {
			list, err := s.witnesses()
			return fmt.Sprintf("%d witnesses in %s", len(list), s.Witnesses), err
		}),
		doctor.File("processor.registry", c.Processor.Registry, func() (string, error) {
			byTenant, err := enrich.Read(c.Processor.Registry)
			return fmt.Sprintf("registries of %d tenants", len(byTenant)), err
		}),
	}
}

func (a *app) serveChecks() []doctor.Check {
	c := a.config.Serve
	return []doctor.Check{
		doctor.File("serve.keys", c.Keys, func() (string, error) {
			keys, err := api.ReadKeys(c.Keys)
			return fmt.Sprintf("%d API keys in %s", len(keys), c.Keys), err
		}),
		doctor.Certificate("serve.tls.cert_file", c.TLS.CertFile, c.TLS.KeyFile, time.Now()),
		doctor.Secret("serve.handler_password_file", c.HandlerPasswordFile),
		doctor.Secret("serve.oidc.client_secret_file", c.OIDC.ClientSecretFile),
		doctor.Issuer("serve.oidc.issuer", c.OIDC.Issuer),
	}
}
