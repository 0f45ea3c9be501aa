package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// keyPrefix is that of the collector's keys too: what takes secrets out of events
// knows it.
const keyPrefix = "cst_"

// KeyIssuer is the issuer of those who are known by an API key, in events.
const KeyIssuer = "custody"

// NewKey returns a fresh API key of 256 bits and its hash. A plain SHA-256 is
// enough because keys are random.
func NewKey() (key, keySHA256 string) {
	var b [32]byte
	rand.Read(b[:])
	key = keyPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	return key, hashKey(key)
}

func hashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// KeysConfig configures Keys.
type KeysConfig struct {
	// File of the keys; "" is none. One that is missing is an error, unless
	// MayBeMissing is set: then it has no keys, and may come later.
	File         string
	MayBeMissing bool
	// Fixed are keys beside those of the file.
	Fixed []Key

	// Logger hears of changes. Required.
	Logger *slog.Logger
}

// Keys knows the API keys of a file, which is read again when it changes; a file
// with mistakes is reported, and the last good one stays in force. It is safe for
// concurrent use.
type Keys struct {
	cfg   KeysConfig
	text  []byte // of the file, as read last; owned by Run
	index atomic.Pointer[map[string]*Key]
}

// NewKeys reads the keys.
func NewKeys(cfg KeysConfig) (*Keys, error) {
	k := &Keys{cfg: cfg}
	if cfg.File == "" {
		return k, k.take(nil)
	}
	_, err := k.reload()
	return k, err
}

func (k *Keys) reload() (changed bool, err error) {
	text, err := os.ReadFile(k.cfg.File)
	if errors.Is(err, fs.ErrNotExist) && k.cfg.MayBeMissing {
		text, err = []byte{}, nil
	}
	if err != nil {
		return false, missingKeys(k.cfg.File, err)
	}
	if k.text != nil && bytes.Equal(text, k.text) {
		return false, nil
	}
	k.text = text // a bad one is reported once
	keys, err := parseKeys(text)
	if err == nil {
		err = k.take(keys)
	}
	if err != nil {
		return false, fmt.Errorf("API keys %s: %w", k.cfg.File, err)
	}
	return true, nil
}

// take puts keys in force, beside the fixed ones.
func (k *Keys) take(keys []Key) error {
	index, err := indexKeys(slices.Concat(k.cfg.Fixed, keys))
	if err == nil {
		k.index.Store(&index)
	}
	return err
}

const lookEvery = 2 * time.Second

// Run looks after the file until ctx is done. It looks at the contents: a link
// that is turned to another file tells nothing by its time.
func (k *Keys) Run(ctx context.Context) {
	if k.cfg.File == "" {
		return
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		changed, err := k.reload()
		switch {
		case err != nil && err.Error() != said:
			said = err.Error()
			k.cfg.Logger.Error("the API keys are not reloaded; those read before stay in force", "error", err)
		case changed:
			said = ""
			k.cfg.Logger.Info("API keys reloaded", "file", k.cfg.File)
		}
	}
}

// authenticate knows a caller by its key. Whether a key is unknown, expired or
// disabled is for its owner to find out elsewhere.
func (k *Keys) authenticate(key string, now time.Time) (*Caller, error) {
	return k.owner(hashKey(key), now)
}

// owner is the caller whose key has a hash: as the keys are now.
func (k *Keys) owner(hash string, now time.Time) (*Caller, error) {
	found := (*k.index.Load())[hash]
	if found == nil || found.Disabled || !found.Expires.IsZero() && !now.Before(found.Expires) {
		return nil, unauthorized("the API key is unknown, expired or disabled")
	}
	return &Caller{
		Party: event.Party{Iss: KeyIssuer, Sub: found.ID, Type: event.Service}, By: byKey, Roles: found.Roles, Tenants: found.Tenants,
		session: "key:" + found.ID, owner: found.Owner, key: hash,
	}, nil
}

// indexKeys finds keys by their hashes, and reports all problems at once.
func indexKeys(keys []Key) (map[string]*Key, error) {
	index, ids := map[string]*Key{}, map[string]bool{}
	var errs []error
	for i := range keys {
		k := &keys[i]
		if err := k.validate(); err != nil {
			errs = append(errs, fmt.Errorf("keys[%d] %q: %w", i, k.ID, err))
		}
		if ids[k.ID] {
			errs = append(errs, fmt.Errorf("keys[%d] %q: the id is given twice", i, k.ID))
		}
		ids[k.ID] = true
		for _, hash := range []string{k.KeySHA256, k.PreviousKeySHA256} {
			if hash == "" {
				continue
			}
			if other := index[hash]; other != nil {
				errs = append(errs, fmt.Errorf("keys[%d] %q: has the key of %q", i, k.ID, other.ID))
			}
			index[hash] = k
		}
	}
	return index, errors.Join(errs...)
}
