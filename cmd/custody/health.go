package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newHealth(a *app) *cobra.Command {
	var alive bool
	c := takes(&cobra.Command{
		Use:   "health",
		Short: "Ask the service that runs beside it whether it is ready; exit 1 when it is not",
		Long: `Asks telemetry.address, which must be set as for the service, and prints what is not ready. It is the health check of the
image, which has no shell and no curl.`,
		Example: "  custody health\n  custody health --alive --telemetry-address 127.0.0.1:9464",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := "/readyz"
			if alive {
				path = "/healthz"
			}
			answer, err := askHealth(cmd.Context(), a.config.Telemetry.Address, path)
			if err == nil {
				_, err = io.WriteString(cmd.OutOrStdout(), answer)
			}
			return err
		},
	}, "telemetry.address")
	c.Flags().BoolVar(&alive, "alive", false, "ask only whether it runs, not whether Kafka and ClickHouse answer it")
	return c
}

// healthPatience is longer than /readyz waits for what it asks.
const healthPatience = 6 * time.Second

func askHealth(ctx context.Context, address, path string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("telemetry.address: %w; health asks the service there", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost" // it listens everywhere
	}
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("no service answers at telemetry.address: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return "", fmt.Errorf("read the service's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("not ready (%s): %s", resp.Status, strings.ReplaceAll(strings.TrimSpace(string(body)), "\n", "; "))
	}
	return string(body), nil
}
