package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/url"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/deepscan"
	"github.com/custody-audit/custody/collector/mcpconfig"
	"github.com/custody-audit/custody/schemas/event"
)

func newScan(a *app) *cobra.Command {
	c := &cobra.Command{Use: "scan", Short: "Look for what no source reports by itself"}
	c.AddCommand(newScanMCPConfig(a))
	return c
}

func newScanMCPConfig(a *app) *cobra.Command {
	cfg := mcpconfig.ScanConfig{Find: deepscan.Find}
	s := &configScan{app: a}
	var output *choice
	c := takes(&cobra.Command{
		Use:   "mcp-config [PATH...]",
		Short: "Find credentials written into the configuration files of MCP clients",
		Long: `Reads the files in which Claude Desktop, Claude Code, Cursor, VS Code, Windsurf, Zed, Gemini CLI, Copilot CLI, Cline and others
keep their MCP servers, and sends each credential in them to a collector as an event: its kind and place, and a reference. A PATH
is a file, which is read whatever its name, or a folder, which is searched. Without one, the files of your own home are read.

Nothing of a file is sent but its credentials. They go to the collector, which makes references of them under its redaction key
and keeps no value; with that key here (--collector-redact-key-file) the references are made here and no value leaves the host.

A file that cannot be read is named on stderr, the rest goes on, and the exit code is 1.`,
		Example: `  custody scan mcp-config --dry-run
  custody scan mcp-config --collector-url https://custody.example:4318 --key-file /etc/custody/key
  custody scan mcp-config --home /home/alice --home /home/bob /srv/projects --output json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg.Paths = args
			if len(args) == 0 && len(cfg.Homes) == 0 {
				home, err := os.UserHomeDir()
				if err != nil {
					return fmt.Errorf("%w: name it with --home, or name files", err)
				}
				cfg.Homes = []string{home}
			}
			if err := s.prepare(); err != nil {
				return err
			}
			records, result, err := s.find(cfg)
			if err != nil {
				return err
			}
			if !s.dryRun {
				err = s.send(cmd.Context(), records, result)
			}
			if left := result.write(cmd, output.value); err == nil {
				err = left
			}
			return err
		},
	}, "collector.redact.key_id", "collector.redact.key_file")
	f := c.Flags()
	f.StringArrayVar(&cfg.Homes, "home", nil, "home folder whose files are read; its name is the user")
	f.StringVar(&s.host, "host", "", "name of the host in the events; empty: this host's")
	f.StringVar(&s.user, "user", "", "whose the files outside of homes are; empty: not told")
	f.Int64Var(&cfg.MaxFileBytes, "max-file-bytes", 16<<20, "largest file that is read")
	f.IntVar(&cfg.MaxFiles, "max-files", 1000, "most files that are read")
	f.IntVar(&cfg.MaxDepth, "max-depth", 8, "how deep folders are searched")
	f.BoolVar(&s.dryRun, "dry-run", false, "show what is found and send nothing")
	s.to.add(c)
	output = outputFlag(c, "table", "json")
	return c
}

// configScan scans files and sends what it finds.
type configScan struct {
	app        *app
	to         collectorAddress
	host, user string
	dryRun     bool
}

// configCredential is one that was found, as it is shown.
type configCredential struct {
	Path   string `json:"path"`
	Client string `json:"client,omitempty"`
	User   string `json:"user,omitempty"`
	Server string `json:"server"`
	URI    string `json:"uri,omitempty"`
	Place  string `json:"place"`
	Kind   string `json:"kind"`
	Ref    string `json:"ref,omitempty"` // where it is known here
}

// foundRecord is a record with the number of credentials in it.
type foundRecord struct {
	raw         []byte
	credentials int
}

// scanResult is what a scan found and what became of it.
type scanResult struct {
	Files       int                 `json:"files"`
	Credentials []configCredential  `json:"credentials"`
	Problems    []mcpconfig.Problem `json:"problems"`
	TooDeep     int                 `json:"folders_too_deep,omitempty"`
	Accepted    int                 `json:"accepted"` // credentials, as the next
	Rejected    int                 `json:"rejected"`
	DryRun      bool                `json:"dry_run,omitempty"`
}

// send sends the records and counts what became of them.
func (s *configScan) send(ctx context.Context, records []foundRecord, result *scanResult) error {
	for batch := range batches(records) {
		var raw [][]byte
		sent := 0
		for _, r := range batch {
			raw, sent = append(raw, r.raw), sent+r.credentials
		}
		answer, err := s.to.send(ctx, mcpconfig.Type, raw)
		if err != nil {
			return fmt.Errorf("send what was found: %w; scan again when the collector is back", err)
		}
		result.Accepted += sent
		for _, r := range answer.Rejected {
			if r.Index >= 0 && r.Index < len(batch) {
				n := batch[r.Index].credentials
				result.Accepted, result.Rejected = result.Accepted-n, result.Rejected+n
			}
			s.app.logger.Warn("the collector refuses a record", "type", mcpconfig.Type, "problems", r.Problems.Error())
		}
	}
	return nil
}

// prepare makes sure that what is found can be sent, before a file is read.
func (s *configScan) prepare() (err error) {
	if s.host == "" {
		if s.host, err = os.Hostname(); err != nil {
			return fmt.Errorf("%w: name the host with --host", err)
		}
	}
	if s.dryRun {
		return nil
	}
	if s.to.keyFile == "" && os.Getenv(keyVariable) == "" {
		return errors.New("want the source's key: --key-file FILE or the environment variable " + keyVariable + "; --dry-run sends nothing")
	}
	if s.app.config.Collector.Redact.KeyFile == "" && !private(s.to.url) {
		return fmt.Errorf("--collector-url %s: credentials would cross the network in the clear: want https, or the redaction key here (--collector-redact-key-file)", s.to.url)
	}
	return nil
}

// private tells whether nobody on the network can read what is sent to a URL.
func private(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// find scans, and reads the records as the collector will, to show them.
func (s *configScan) find(cfg mcpconfig.ScanConfig) (records []foundRecord, result *scanResult, err error) {
	key, err := s.app.config.Collector.redactKey()
	if err != nil {
		return nil, nil, err
	}
	now := event.TimeOf(time.Now())
	report := mcpconfig.Scan(cfg)
	result = &scanResult{
		Files: len(report.Files), Credentials: []configCredential{}, Problems: append([]mcpconfig.Problem{}, report.Problems...), TooDeep: report.TooDeep, DryRun: s.dryRun,
	}
	for _, file := range report.Files {
		made, err := file.Records(s.host, s.user, now, s.app.config.Collector.Redact.KeyID, key)
		if err != nil {
			return nil, nil, err
		}
		for _, record := range made {
			events, err := mcpconfig.Parse(record)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", file.Path, err)
			}
			for _, e := range events {
				result.Credentials = append(result.Credentials, shown(file, e))
			}
			records = append(records, foundRecord{record, len(events)})
		}
	}
	return records, result, nil
}

func shown(f *mcpconfig.File, e *event.Event) configCredential {
	return configCredential{
		Path: f.Path, Client: e.Client.Name, User: e.Subject.Sub, Server: e.Server.ID, URI: e.Server.URI,
		Place: e.Attributes["mcp.config.place"], Kind: e.Token.TokenType, Ref: e.Token.Ref,
	}
}

// batches are parts of the records that one request holds.
func batches(records []foundRecord) iter.Seq[[]foundRecord] {
	const most = 1 << 20 // bytes; a collector takes 4 MiB
	return func(yield func([]foundRecord) bool) {
		for len(records) > 0 {
			n, size := 0, 0
			for n < len(records) && n < collector.MaxRecords && (n == 0 || size+len(records[n].raw) < most) {
				size += len(records[n].raw)
				n++
			}
			if !yield(records[:n]) {
				return
			}
			records = records[n:]
		}
	}
}

// write shows the result, and is an error when something was left out.
func (r *scanResult) write(cmd *cobra.Command, format string) error {
	if format == "json" {
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(r); err != nil {
			return err
		}
		fmt.Fprint(cmd.OutOrStdout(), text.String())
	} else if err := r.table(cmd.OutOrStdout()); err != nil {
		return err
	}
	for _, p := range r.Problems {
		fmt.Fprintf(cmd.ErrOrStderr(), "not read: %s: %s\n", event.Visible(p.Path, ""), event.Visible(p.Reason, ""))
	}
	done := fmt.Sprintf("%d accepted by the collector", r.Accepted)
	if r.DryRun {
		done = "nothing was sent"
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%d files read, %d credentials found, %s\n", r.Files, len(r.Credentials), done)
	if r.TooDeep > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d folders are deeper than --max-depth and were not searched\n", r.TooDeep)
	}
	switch {
	case r.Rejected > 0:
		return fmt.Errorf("the collector refuses %d credentials; the log says why", r.Rejected)
	case len(r.Problems) > 0:
		return fmt.Errorf("%d files or folders could not be read", len(r.Problems))
	}
	return nil
}

func (r *scanResult) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KIND\tSERVER\tPLACE\tCLIENT\tFILE\tREFERENCE")
	for _, c := range r.Credentials {
		fmt.Fprintln(t, cells(c.Kind, c.Server, c.Place, c.Client, c.Path, c.Ref))
	}
	return t.Flush()
}
