package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxKeySet = 1 << 20 // bytes
	// refetch bounds how often made-up key ids can make us ask the issuer.
	refetch = 5 * time.Second
	// stale is when keys are fetched anew, so that one the issuer withdrew goes.
	stale = time.Hour
)

// keySet holds the issuer's keys and fetches them when a key id is new.
type keySet struct {
	url  string
	http *http.Client
	now  func() time.Time

	last     atomic.Pointer[snapshot]
	fetching sync.Mutex
}

// snapshot is what the issuer published at a time.
type snapshot struct {
	keys *jose.JSONWebKeySet
	at   time.Time
}

// serves tells whether there is no need to ask the issuer for this key now.
func (s *snapshot) serves(id string, now time.Time) bool {
	if s == nil {
		return false
	}
	age := now.Sub(s.at)
	return age < refetch || age < stale && len(s.keys.Key(id)) > 0
}

// get returns the keys, with the one of this id if the issuer has it. Keys that
// are known never wait for a fetch that another key needs.
func (k *keySet) get(ctx context.Context, id string) (*jose.JSONWebKeySet, error) {
	if s := k.last.Load(); s.serves(id, k.now()) {
		return s.keys, nil
	}
	k.fetching.Lock()
	defer k.fetching.Unlock()
	if s := k.last.Load(); s.serves(id, k.now()) {
		return s.keys, nil
	}
	keys, err := k.fetch(ctx)
	if err != nil {
		return nil, fmt.Errorf("fetch the issuer's keys: %w", err)
	}
	k.last.Store(&snapshot{keys, k.now()})
	return keys, nil
}

func (k *keySet) fetch(ctx context.Context) (*jose.JSONWebKeySet, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	res, err := k.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, errors.New(res.Status)
	}
	var keys jose.JSONWebKeySet
	return &keys, json.NewDecoder(http.MaxBytesReader(nil, res.Body, maxKeySet)).Decode(&keys)
}
