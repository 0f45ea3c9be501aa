package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/mcpconfig"
	"github.com/custody-audit/custody/collector/native"
	"github.com/custody-audit/custody/collector/otlp"
	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/collector/ssf"
	"github.com/custody-audit/custody/schemas/event"
)

func newSourceTest(a *app) *cobra.Command {
	var output *choice
	var tenant string
	c := takes(&cobra.Command{
		Use:   "test TYPE FILE",
		Short: "Show what a file of a source's own records becomes",
		Long: `Reads records of a source (one JSON object, an array, or one on each line; - is stdin) and shows the events that a
collector would make of them, with what their source could not tell. Nothing is sent. Exit 1 when a record is refused.

With --output json each event is a line, and so is each refused record: {"index": N, "error": "..."}, N from 0.`,
		Example: "  custody source test opa decisions.json\n  kubectl logs gateway | custody source test agentgateway -",
		Args:    cobra.ExactArgs(2),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return types(), cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := newTrial(args[0], tenant, &a.config.Collector, cmd.OutOrStdout(), output.value == "json")
			if err != nil {
				return err
			}
			body, err := readArgument(cmd, args[1])
			if err != nil {
				return err
			}
			return t.run(cmd.Context(), body)
		},
	}, "collector.redact")
	c.Flags().StringVar(&tenant, "tenant", "test", "tenant of the events")
	output = outputFlag(c, "text", "json")
	return c
}

func readArgument(cmd *cobra.Command, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(cmd.InOrStdin())
	}
	return os.ReadFile(name)
}

// trial takes records the way a collector does, up to where Kafka would be.
type trial struct {
	source  *collector.Source
	kind    string
	parse   func(record []byte) []collector.Item
	gateway *collector.Gateway
	json    bool
	w       io.Writer
	index   int // of the record under way

	events, refused, ignored int
}

func newTrial(kind, tenant string, c *collectorConfig, w io.Writer, asJSON bool) (*trial, error) {
	t := &trial{source: &collector.Source{ID: "source-test", Tenant: tenant}, kind: kind, w: w, json: asJSON}
	redactor, err := newRedactor(c)
	if err != nil {
		return nil, err
	}
	t.gateway, err = collector.NewGateway(collector.GatewayConfig{Publisher: t, Redactor: redactor, Logger: discard})
	if err != nil {
		return nil, err
	}
	if t.parse, err = itemsOf(kind, c, redactor); err != nil {
		return nil, err
	}
	return t, nil
}

// itemsOf returns how the records of a type are read.
func itemsOf(kind string, c *collectorConfig, redactor *redact.Redactor) (func([]byte) []collector.Item, error) {
	parse, ok := parsers[kind]
	if kind == mcpconfig.Type {
		key, err := c.redactKey()
		if err != nil {
			return nil, err
		}
		parse = mcpconfig.New(c.Redact.KeyID, key)
	}
	if kind == ssf.Type { // payloads of tokens whose signature somebody has verified
		parse, ok = ssf.Parse, true
	}
	switch {
	case ok:
		return func(record []byte) []collector.Item {
			clean, found := redactor.Bytes(record)
			return []collector.Item{collector.NewItem(parse(clean)).Warn(found)}
		}, nil
	case kind == native.Type:
		return func(record []byte) []collector.Item {
			return []collector.Item{collector.NewItem(collector.One(event.Decode(record)))}
		}, nil
	case kind == otlp.Type:
		return func(record []byte) []collector.Item {
			b, err := otlp.ParseJSON(record)
			if err != nil {
				return []collector.Item{collector.NewItem(nil, err)}
			}
			return b.Items
		}, nil
	}
	return nil, fmt.Errorf("type %q: want one of %s", kind, strings.Join(types(), ", "))
}

func (t *trial) run(ctx context.Context, body []byte) error {
	records, err := collector.Split(body)
	if err != nil {
		return err
	}
	for i, record := range records {
		t.index = i
		before := t.events
		result, err := collector.AcceptBatch(ctx, t.gateway, t.source, t.kind, t.parse(record))
		if err != nil {
			return err
		}
		for _, r := range result.Rejected {
			t.refuse(r.Problems)
		}
		if t.events == before && len(result.Rejected) == 0 {
			t.ignored++
		}
	}
	if !t.json {
		fmt.Fprintf(t.w, "%d records: %d events, %d ignored, %d refused\n", len(records), t.events, t.ignored, t.refused)
	}
	if t.refused > 0 {
		return fmt.Errorf("%d of %d records refused", t.refused, len(records))
	}
	return nil
}

func (t *trial) refuse(problems event.Problems) {
	t.refused++
	if t.json {
		line, _ := json.Marshal(map[string]any{"index": t.index, "error": problems.Error()}) // texts and a number
		fmt.Fprintf(t.w, "%s\n", line)
		return
	}
	fmt.Fprintf(t.w, "record %d refused: %s\n", t.index, problems.Error())
}

// Publish implements [collector.Publisher]: it shows the events.
func (t *trial) Publish(_ context.Context, events []collector.Canonical) error {
	for _, c := range events {
		t.events++
		if t.json {
			fmt.Fprintf(t.w, "%s\n", c.Bytes)
			continue
		}
		if err := t.show(c); err != nil {
			return err
		}
	}
	return nil
}

// show writes the fields that the source knew, a line each, and its warnings.
func (t *trial) show(c collector.Canonical) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(c.Bytes, &fields); err != nil {
		return err
	}
	fmt.Fprintf(t.w, "record %d: %s %s %s at %s\n", t.index, c.Event.Kind, c.Event.Type, c.Event.Outcome, c.Event.Time.Go().Format("2006-01-02T15:04:05.000Z"))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains([]string{"id", "schema_version", "kind", "type", "time", "observed_time", "tenant", "outcome", "salt", "warnings"}, name) {
			fmt.Fprintf(t.w, "    %-12s %s\n", name, bytes.Trim(fields[name], `"`))
		}
	}
	for _, w := range c.Event.Warnings {
		fmt.Fprintf(t.w, "    warning      %s\n", w)
	}
	return nil
}
