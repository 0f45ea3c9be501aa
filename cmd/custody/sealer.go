package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/processor/witness"
)

// of fills in where a local installation has its key and its checkpoints.
func (c sealConfig) of(dataDir string) sealConfig {
	key, dir := filepath.Join(dataDir, "seal", "key"), filepath.Join(dataDir, "seal", "checkpoints")
	if _, err := os.Stat(key); err == nil && c.KeyFile == "" {
		c.KeyFile = key
	}
	if _, err := os.Stat(dir); err == nil && c.Dir == "" {
		c.Dir = dir
	}
	return c
}

// local makes key and folder of a local installation where they are not
// configured. The log's name is made up: that of a log that others check is to
// be chosen, with "custody seal keygen".
func (c *sealConfig) local(dataDir string) error {
	root := filepath.Join(dataDir, "seal")
	if c.Dir == "" {
		c.Dir = filepath.Join(root, "checkpoints")
	}
	if c.KeyFile != "" {
		return nil
	}
	c.KeyFile = filepath.Join(root, "key")
	_, err := os.Stat(c.KeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = seal.CreateKey(c.KeyFile, "custody.local/"+newLogName())
	}
	return err
}

// trusted opens the folder of checkpoints and whom to believe about it: the key
// of seal.trust, else the public half of the signing key.
func (c sealConfig) trusted() (*seal.Folder, *seal.Keyring, error) {
	if c.Dir == "" {
		return nil, nil, errors.New("seal.dir is not set: name the folder of checkpoints with --seal-dir")
	}
	if _, err := os.Stat(c.Dir); err != nil { // or it would be made
		return nil, nil, fmt.Errorf("seal.dir: %w", err)
	}
	folder, err := seal.OpenFolder(c.Dir)
	if err != nil {
		return nil, nil, err
	}
	text := c.Trust
	if text == "" && c.KeyFile != "" {
		k, err := seal.ReadKey(c.KeyFile)
		if err != nil {
			return nil, nil, err
		}
		text = k.Verifier()
	}
	if text == "" {
		return nil, nil, errors.New("seal.trust is not set: give the log's verifier key with --seal-trust")
	}
	log, public, err := seal.ParseVerifier(text)
	if err != nil {
		return nil, nil, fmt.Errorf("seal.trust: %w", err)
	}
	ring, err := folder.Keyring(log, public)
	return folder, ring, err
}

// newSealer returns the sealer of a processor, nil when no key is configured.
func newSealer(a *app, conn driver.Conn, tel *telemetry) (*seal.Sealer, error) {
	c := a.config.Seal
	if c.KeyFile == "" {
		return nil, nil
	}
	key, err := seal.ReadKey(c.KeyFile)
	if err != nil {
		return nil, err
	}
	cfg := seal.Config{ClickHouse: conn, Key: key, Interval: c.Interval, WitnessInterval: c.WitnessInterval, Logger: a.logger, Meter: tel.meter("seal")}
	if c.Dir != "" {
		if cfg.Folder, err = seal.OpenFolder(c.Dir); err != nil {
			return nil, err
		}
	}
	witnesses, err := c.witnesses()
	if err != nil {
		return nil, err
	}
	for _, w := range witnesses {
		cfg.Witnesses = append(cfg.Witnesses, w)
	}
	return seal.New(cfg)
}

// witnesses are those of the file, none without one.
func (c sealConfig) witnesses() ([]*witness.Client, error) {
	if c.Witnesses == "" {
		return nil, nil
	}
	policy, err := witness.ReadPolicy(c.Witnesses)
	if err != nil {
		return nil, err
	}
	return policy.Witnesses, nil
}

// runSealer signs until ctx is done, and then what is left.
func runSealer(ctx context.Context, s *seal.Sealer) error {
	if s == nil {
		return nil
	}
	return s.Run(ctx)
}

// newLogName is a name that nobody else has.
func newLogName() string { return strings.ToLower(rand.Text())[:12] }
