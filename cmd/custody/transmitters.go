package main

import (
	"bytes"
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"

	"github.com/custody-audit/custody/collector/ssf"
)

// readTransmitters reads the file of the transmitters of Shared Signals; none when
// no file is named.
func readTransmitters(file string) ([]ssf.Transmitter, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("collector.transmitters: %w", err)
	}
	var list struct {
		Transmitters []struct {
			Tenant   string `yaml:"tenant"`
			Source   string `yaml:"source"`
			Issuer   string `yaml:"issuer"`
			JWKSURL  string `yaml:"jwks_url"`
			Audience string `yaml:"audience"`
		} `yaml:"transmitters"`
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&list); err != nil {
		return nil, fmt.Errorf("collector.transmitters %s: %w", file, err)
	}
	var out []ssf.Transmitter
	for _, t := range list.Transmitters {
		out = append(out, ssf.Transmitter{Tenant: t.Tenant, Source: t.Source, Issuer: t.Issuer, JWKSURL: t.JWKSURL, Audience: t.Audience})
	}
	return out, nil
}
