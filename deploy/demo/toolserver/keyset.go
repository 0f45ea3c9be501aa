package toolserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// keySet holds the issuer's keys and fetches them when a key id is new.
type keySet struct {
	url  string
	http *http.Client

	mu   sync.Mutex
	keys jose.JSONWebKeySet // guarded by mu
}

func (k *keySet) get(ctx context.Context, id string) (*jose.JSONWebKeySet, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.keys.Key(id)) == 0 {
		if err := k.fetch(ctx); err != nil {
			return nil, fmt.Errorf("fetch the issuer's keys: %w", err)
		}
	}
	keys := k.keys
	return &keys, nil
}

func (k *keySet) fetch(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return err
	}
	res, err := k.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return json.NewDecoder(http.MaxBytesReader(nil, res.Body, maxRequest)).Decode(&k.keys)
}
