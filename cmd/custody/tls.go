package main

import (
	"crypto/tls"
	"fmt"
	"strings"

	"github.com/custody-audit/custody/collector/registry"
)

// server returns the TLS of the collector's listeners; nil without one.
func (c *tlsConfig) server() (*tls.Config, error) {
	if c.CertFile == "" {
		return nil, nil
	}
	bundles := map[string]string{}
	for _, text := range c.SPIFFEBundles {
		domain, file, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("collector.tls.spiffe_bundles: want DOMAIN=FILE, got %q", text)
		}
		bundles[domain] = file
	}
	cfg, err := registry.TLS(registry.TLSConfig{CertFile: c.CertFile, KeyFile: c.KeyFile, ClientCAFile: c.ClientCAFile, SPIFFEBundles: bundles})
	if err != nil {
		return nil, fmt.Errorf("collector.tls: %w", err)
	}
	return cfg, nil
}
