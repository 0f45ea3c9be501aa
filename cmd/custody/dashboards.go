package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/dashboards"
	"github.com/custody-audit/custody/dashboards/alert"
	"github.com/custody-audit/custody/dashboards/installer"
)

func newDashboards(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "dashboards",
		Short: "Write the Grafana dashboards and alert rules, install them, or show their rows",
	}
	c.AddCommand(newDashboardsList(), newDashboardsGenerate(), newDashboardsPush(a), newDashboardsShow(a))
	return c
}

func newDashboardsGenerate() *cobra.Command {
	var provisioning string
	c := &cobra.Command{
		Use:   "generate [DIR]",
		Short: "Write the dashboards as JSON, one file each, for Grafana's provisioning",
		Long: `Writes the dashboards as JSON into DIR, by default dashboards/grafana, and with --provisioning the files that Grafana's
provisioning wants beside them: data sources, where the dashboards are, and the alert rules. The same release always writes
the same bytes. Files that are there already are overwritten, others stay.`,
		Example: "  custody dashboards generate /var/lib/grafana/dashboards/custody --provisioning /etc/grafana/provisioning",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := filepath.Join("dashboards", "grafana")
			if len(args) == 1 {
				dir = args[0]
			}
			if err := generateDashboards(dir); err != nil || provisioning == "" {
				return err
			}
			return generateProvisioning(provisioning)
		},
	}
	c.Flags().StringVar(&provisioning, "provisioning", "", "folder for the files of Grafana's provisioning; empty: they are not written")
	return c
}

func generateProvisioning(dir string) error {
	files, err := dashboards.Provisioning()
	if err != nil {
		return err
	}
	for _, f := range files {
		name := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, f.Text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func generateDashboards(dir string) error {
	built, err := dashboards.Build()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, d := range built {
		if err := os.WriteFile(filepath.Join(dir, d.Name+".json"), d.JSON, 0o644); err != nil {
			return err
		}
	}
	return nil
}

const pushTimeout = 2 * time.Minute

func newDashboardsPush(a *app) *cobra.Command {
	var cfg installer.Config
	var tokenFile string
	sources, alerts := dashboards.Provisioned, true
	var output *choice
	c := &cobra.Command{
		Use:   "push",
		Short: "Install the dashboards and alert rules in a Grafana",
		Long: `Installs the dashboards and the alert rules through Grafana's HTTP API, into a folder that is created if need be. It may be
repeated: what is as it should be stays untouched, and what people changed is overwritten, but that a rule is paused. The
token is a service account's with the role Editor. Data sources are not created: each dashboard lets one choose, and alert
rules ask those whose UIDs are given.`,
		Example: "  custody dashboards push --url https://grafana.example --token /run/secrets/grafana",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), pushTimeout)
			defer cancel()
			var err error
			if cfg.Token, err = readToken(cmd.InOrStdin(), tokenFile); err != nil {
				return err
			}
			cfg.Logger = a.logger
			done, err := pushDashboards(ctx, cfg)
			if err == nil && alerts {
				var r installer.Result
				if r, err = pushAlerts(ctx, cfg, sources); err == nil {
					done = append(done, r)
				}
			}
			return errors.Join(writeInstalled(cmd.OutOrStdout(), done, output), err)
		},
	}
	c.Flags().StringVar(&cfg.URL, "url", "", "address of Grafana, as https://grafana.example")
	c.Flags().StringVar(&tokenFile, "token", "", `file with the token of a service account; "-" is standard input`)
	c.Flags().StringVar(&cfg.FolderUID, "folder", dashboards.FolderUID, "uid of the folder")
	c.Flags().BoolVar(&alerts, "alerts", alerts, "install the alert rules too")
	c.Flags().StringVar(&sources.ClickHouse, "clickhouse-datasource", sources.ClickHouse, "uid of the data source that alert rules ask about what is stored")
	c.Flags().StringVar(&sources.Prometheus, "prometheus-datasource", sources.Prometheus, "uid of the one that they ask about the services' own figures")
	c.MarkFlagRequired("url")
	c.MarkFlagRequired("token")
	output = outputFlag(c, "table", "json")
	return c
}

// readToken reads a secret from a file: a command line is no place for it.
func readToken(stdin io.Reader, file string) (string, error) {
	var b []byte
	var err error
	if file == "-" {
		b, err = io.ReadAll(io.LimitReader(stdin, 64<<10))
	} else {
		b, err = os.ReadFile(file)
	}
	if err != nil {
		return "", fmt.Errorf("read the token: --token names a file: %w", withoutPath(err))
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", errors.New("the file of --token is empty")
	}
	return token, nil
}

// withoutPath leaves the name out of the error: somebody may have put the token
// itself where the file's name belongs.
func withoutPath(err error) error {
	var named *os.PathError
	if errors.As(err, &named) {
		return named.Err
	}
	return err
}

func pushDashboards(ctx context.Context, cfg installer.Config) ([]installer.Result, error) {
	built, err := dashboards.Build()
	if err != nil {
		return nil, err
	}
	i, err := installer.New(cfg)
	if err != nil {
		return nil, err
	}
	var texts [][]byte
	for _, d := range built {
		texts = append(texts, d.JSON)
	}
	return i.Install(ctx, texts...)
}

func pushAlerts(ctx context.Context, cfg installer.Config, sources alert.Sources) (installer.Result, error) {
	group, err := dashboards.BuildAlerts(sources, cfg.FolderUID)
	if err != nil {
		return installer.Result{}, err
	}
	i, err := installer.New(cfg)
	if err != nil {
		return installer.Result{}, err
	}
	return i.InstallAlerts(ctx, group)
}

func writeInstalled(w io.Writer, done []installer.Result, output *choice) error {
	if output.value == "json" {
		return json.NewEncoder(w).Encode(done)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "INSTALLED\tUID\tCHANGE")
	for _, r := range done {
		fmt.Fprintf(t, "%s\t%s\t%s\n", r.Title, r.UID, r.Change)
	}
	return t.Flush()
}
