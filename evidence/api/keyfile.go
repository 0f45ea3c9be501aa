package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/google/renameio/v2"
	"go.yaml.in/yaml/v3"

	"github.com/custody-audit/custody/schemas/event"
)

// Key is an API key: who has it, and what it may.
type Key struct {
	// ID names its owner in the record of reads: lower-case letters, digits, '-' and '_'.
	ID string `yaml:"id" json:"id"`
	// Roles it has, and Tenants whose evidence it may read; "*" is everybody's.
	Roles   []Role   `yaml:"roles" json:"roles"`
	Tenants []string `yaml:"tenants" json:"tenants"`
	// Owner is who has it by the name that owners have in the registry: in reviews it
	// decides about what that one owns. Empty: about nothing.
	Owner string `yaml:"owner,omitempty" json:"owner,omitempty"`
	// Expires is when it ends; zero is never.
	Expires time.Time `yaml:"expires,omitempty" json:"expires,omitzero"`
	// Disabled refuses it, and keeps its id from being used again.
	Disabled bool `yaml:"disabled,omitempty" json:"disabled,omitempty"`
	// KeySHA256 is the hex SHA-256 of the key, which itself is nowhere stored;
	// PreviousKeySHA256 that of one which is being replaced and still good.
	KeySHA256         string `yaml:"key_sha256" json:"-"`
	PreviousKeySHA256 string `yaml:"previous_key_sha256,omitempty" json:"-"`
}

// Rotating tells whether two keys are good.
func (k *Key) Rotating() bool { return k.PreviousKeySHA256 != "" }

var hashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (k *Key) validate() error {
	var errs []error
	if !event.ValidTenant(k.ID) {
		errs = append(errs, errors.New("id: want lower-case letters, digits, - and _, at most 63"))
	}
	errs = append(errs, validRoles(k.Roles), validTenants(k.Tenants))
	if !hashPattern.MatchString(k.KeySHA256) {
		errs = append(errs, errors.New(`key_sha256: want 64 lower-case hex digits; "custody apikey add" makes a key and its hash`))
	}
	if k.PreviousKeySHA256 != "" && !hashPattern.MatchString(k.PreviousKeySHA256) {
		errs = append(errs, errors.New("previous_key_sha256: want 64 lower-case hex digits"))
	}
	return errors.Join(errs...)
}

func validTenants(tenants []string) error {
	if len(tenants) == 0 {
		return errors.New(`tenants: want some, or "*" for all`)
	}
	if slices.Contains(tenants, AllTenants) && len(tenants) > 1 {
		return errors.New(`tenants: "*" is all, want nothing beside it`)
	}
	for _, t := range tenants {
		if t != AllTenants && !event.ValidTenant(t) {
			return fmt.Errorf("tenant %q: want lower-case letters, digits, - and _, at most 63", t)
		}
	}
	return nil
}

type keyFile struct {
	Keys []Key `yaml:"keys"`
}

// ReadKeys reads a file of API keys. An unknown name in it is an error.
func ReadKeys(file string) ([]Key, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, missingKeys(file, err)
	}
	keys, err := parseKeys(b)
	if err != nil {
		return nil, fmt.Errorf("read API keys %s: %w", file, err)
	}
	return keys, nil
}

func missingKeys(file string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no file of API keys %s: \"custody apikey add\" makes it: %w", file, err)
	}
	return fmt.Errorf("read API keys: %w", err)
}

func parseKeys(text []byte) ([]Key, error) {
	var f keyFile
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return f.Keys, nil
}

// AddKey adds a key to a file, which it makes when it is missing.
func AddKey(file string, key Key) error {
	keys, err := ReadKeys(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return writeKeys(file, append(keys, key))
}

// EditKey changes the key with an id.
func EditKey(file, id string, change func(*Key) error) error {
	keys, err := ReadKeys(file)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(keys, func(k Key) bool { return k.ID == id })
	if at < 0 {
		return fmt.Errorf("there is no API key %q; \"custody apikey list\" shows all", id)
	}
	if err := change(&keys[at]); err != nil {
		return err
	}
	return writeKeys(file, keys)
}

const keyFileHead = "# API keys of \"custody serve\", written by \"custody apikey\": the keys themselves are nowhere stored.\n"

// writeKeys replaces the file as a whole, so that a reader sees it before or after.
func writeKeys(file string, keys []Key) error {
	if _, err := indexKeys(slices.Clone(keys)); err != nil {
		return err
	}
	text, err := yaml.Marshal(keyFile{keys})
	if err != nil {
		return fmt.Errorf("write API keys: %w", err)
	}
	if err := renameio.WriteFile(file, append([]byte(keyFileHead), text...), 0o600, renameio.WithTempDir(filepath.Dir(file))); err != nil {
		return fmt.Errorf("write API keys: %w", err)
	}
	return nil
}
