package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/keycloak"
)

func newPollKeycloak(a *app) *cobra.Command {
	var cfg keycloak.PollConfig
	var secretFile string
	var to collectorAddress
	c := takes(&cobra.Command{
		Use:   "poll-keycloak --base-url URL --realm REALM --client-id ID --secret-file FILE",
		Short: "Read the events of a Keycloak realm by its admin REST API and send them to a collector",
		Long: `Asks for user and admin events as a client whose service account has the role view-events, and sends them to a collector.
How far they were acknowledged stands in the checkpoint file. Prefer a listener or hook of Keycloak where you can install one
(docs/sources/keycloak.md): polling sees an event seconds later, and only while Keycloak keeps it.`,
		Example: "  custody poll-keycloak --base-url https://sso.example --realm acme --client-id custody --secret-file /etc/custody/keycloak --key-file /etc/custody/key",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tel, err := startTelemetry(cmd.Context(), &a.config.Telemetry, "poll-keycloak")
			if err != nil {
				return err
			}
			cfg.Secret = func() (string, error) {
				b, err := os.ReadFile(secretFile)
				return strings.TrimSpace(string(b)), err
			}
			cfg.Deliver = func(ctx context.Context, records [][]byte) error { return to.push(ctx, a, keycloak.Type, records) }
			cfg.Logger, cfg.Meter = a.logger, tel.meter("collector/keycloak")
			p, err := keycloak.NewPoller(cfg)
			if err == nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "reading events of realm %s for %s. Stop with Ctrl-C.\n", cfg.Realm, to.url)
				err = p.Run(cmd.Context())
			}
			return errors.Join(err, tel.close())
		},
	}, "telemetry")
	f := c.Flags()
	f.StringVar(&cfg.BaseURL, "base-url", "", "Keycloak's address, with its relative path where it has one")
	f.StringVar(&cfg.Realm, "realm", "", "realm whose events are read")
	f.StringVar(&cfg.Issuer, "issuer", "", "what the realm's tokens have in iss; empty: Keycloak is asked for it")
	f.StringVar(&cfg.TokenRealm, "token-realm", "", "realm that has the client; empty: the same")
	f.StringVar(&cfg.ClientID, "client-id", "", "confidential client with the role view-events of realm-management")
	f.StringVar(&secretFile, "secret-file", "", "file with the client's secret")
	f.StringVar(&cfg.Checkpoint, "checkpoint", "keycloak.checkpoint.json", "file that holds how far the events are delivered")
	f.DurationVar(&cfg.Every, "every", 10*time.Second, "time between looks")
	f.BoolVar(&cfg.ByDay, "by-day", false, "ask with dates, for a Keycloak that refuses milliseconds")
	to.add(c)
	for _, name := range []string{"base-url", "realm", "client-id", "secret-file"} {
		_ = c.MarkFlagRequired(name) // the flag exists
	}
	return c
}

// collectorAddress is where a verb that runs beside a source sends records.
type collectorAddress struct{ url, keyFile string }

func (c *collectorAddress) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.url, "collector-url", "http://127.0.0.1:4318", "address of the collector")
	cmd.Flags().StringVar(&c.keyFile, "key-file", "", "file with the source's key; empty: the environment variable "+keyVariable)
}

// push sends records once. Those that the collector refuses are logged and left
// behind: the next attempt would not be different.
func (c *collectorAddress) push(ctx context.Context, a *app, sourceType string, records [][]byte) error {
	if len(records) == 0 {
		return nil
	}
	answer, err := c.send(ctx, sourceType, records)
	if err != nil {
		return err
	}
	for _, r := range answer.Rejected[:min(len(answer.Rejected), 5)] {
		a.logger.Warn("the collector refuses a record", "type", sourceType, "record", r.Index, "problems", r.Problems.Error())
	}
	return nil
}

// send sends records once and returns the collector's answer.
func (c *collectorAddress) send(ctx context.Context, sourceType string, records [][]byte) (*collector.Result, error) {
	key, err := readKey(c.keyFile)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.url, "/")+"/v1/push/"+sourceType, bytes.NewReader(bytes.Join(records, []byte("\n"))))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/x-ndjson")
	res, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Accepted *int                  `json:"accepted"`
		Rejected []collector.Rejection `json:"rejected"`
	}
	if json.Unmarshal(text, &answer) != nil || answer.Accepted == nil {
		return nil, fmt.Errorf("the collector answers %s: %.200s", res.Status, bytes.TrimSpace(text))
	}
	return &collector.Result{Accepted: *answer.Accepted, Rejected: answer.Rejected}, nil
}
