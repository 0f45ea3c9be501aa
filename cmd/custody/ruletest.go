package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ClickHouse/ch-go"
	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

func newRuleTest(a *app) *cobra.Command {
	var file string
	var output *choice
	c := takes(&cobra.Command{
		Use:   "test RULE",
		Short: "Show what a rule finds in a file of events",
		Long: `Stores events in a ClickHouse of its own, which ends with it, judges them by one rule as it is in force, also a disabled one,
and shows what it finds. Events are one JSON object on each line, as "custody export --output ndjson" and "custody source test
--output json" write them; - is stdin. With processor.registry they are judged by that registry.`,
		Example: "  custody export 'tenant:acme last:24h' --file day.ndjson\n  custody rule test deny_burst --events day.ndjson --detect-rules rules/",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, _, err := a.rule(args[0]); err != nil {
				return err
			}
			if file == "" {
				return errors.New("want --events FILE")
			}
			text, err := readArgument(cmd, file)
			if err != nil {
				return err
			}
			records, err := a.records(file, text)
			if err != nil {
				return err
			}
			list, err := a.judgeApart(cmd.Context(), args[0], records)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(append([]*detect.Finding{}, list...))
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%d events, %d findings\n", len(records), len(list))
			return writeFindings(cmd.OutOrStdout(), list)
		},
	}, "detect.rules", "processor.registry")
	c.Flags().StringVar(&file, "events", "", "file of events; - is stdin; required")
	output = outputFlag(c, "table", "json")
	return c
}

// records makes of events what a processor stores, with the facts of the registry.
func (a *app) records(file string, text []byte) ([]*table.Record, error) {
	var registry *enrich.Snapshot
	if path := a.config.Processor.Registry; path != "" {
		registries, err := enrich.Read(path)
		if err != nil {
			return nil, fmt.Errorf("processor.registry: %w", err)
		}
		registry = enrich.NewSnapshot(registries)
	}
	var out []*table.Record
	seen := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 2*event.MaxBytes)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		e, _, err := event.DecodeLenient(line)
		if err == nil {
			err = e.Validate()
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		r := &table.Record{
			Position: table.Position{Topic: "custody.events", Epoch: "test", Offset: int64(len(out))}, LogTime: e.ObservedTime.Go(),
			State: table.Stored, Raw: e.Canonical(), ContentHash: e.ContentHash(), Event: e, Facts: &table.Facts{},
		}
		if seen[e.ID] {
			r.State = table.Duplicate
		}
		seen[e.ID] = true
		registry.Facts(e, r.Facts)
		out = append(out, r)
	}
	return out, lines.Err()
}

// judgeApart judges records in an engine of their own.
func (a *app) judgeApart(ctx context.Context, rule string, records []*table.Record) (_ []*detect.Finding, err error) {
	dir, err := os.MkdirTemp("", "custody-rule-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary, err := embedded.EnsureEngine(ctx)
	if err != nil {
		return nil, err
	}
	c := *a.config
	l := &local{app: &app{&c, a.logger}}
	if l.engine, err = embedded.StartEngine(ctx, embedded.EngineConfig{Dir: filepath.Join(dir, "clickhouse"), Binary: binary, Logger: a.logger}); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.engine.Close()) }()
	l.as(embedded.Admin)
	if err := createDatabase(ctx, &l.app.config.ClickHouse); err != nil {
		return nil, err
	}
	conn, err := l.app.config.ClickHouse.connect("custody")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := table.Migrate(ctx, conn); err != nil {
		return nil, err
	}
	if err := insertRecords(ctx, &l.app.config.ClickHouse, records); err != nil {
		return nil, err
	}
	return l.app.judgeOnce(ctx, rule)
}

// judgeOnce runs one rule, with the facts that come later, over all that is stored.
func (a *app) judgeOnce(ctx context.Context, rule string) ([]*detect.Finding, error) {
	conn, err := a.config.ClickHouse.asker(a.config.ClickHouse.Database)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	passes, err := newPasses(a, conn, nil)
	if err != nil {
		return nil, err
	}
	if err := passes.Once(ctx); err != nil {
		return nil, err
	}
	engine, err := a.trial(rule, conn)
	if err != nil {
		return nil, err
	}
	if _, err := engine.Once(ctx); err != nil {
		return nil, err
	}
	return detect.List(ctx, conn, detect.Filter{Limit: 10_000})
}

func insertRecords(ctx context.Context, c *clickhouseConfig, records []*table.Record) error {
	if len(records) == 0 {
		return nil
	}
	dial, err := c.dialer(c.Database)
	if err != nil {
		return err
	}
	client, err := dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	block := table.NewBlock()
	for _, r := range records {
		block.Add(r)
	}
	statement, columns := block.Insert("records")
	if err := client.Do(ctx, ch.Query{Body: statement, Input: columns}); err != nil {
		return fmt.Errorf("store events: %w", err)
	}
	return nil
}
