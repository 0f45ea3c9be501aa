package ssf

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxKeySet = 1 << 20 // bytes
	// refetch bounds how often made-up key ids, or a transmitter that is away, can
	// make us ask.
	refetch = 5 * time.Second
	// stale is when keys are fetched anew, so that one the transmitter withdrew goes.
	stale = time.Hour
)

// keySet holds a transmitter's keys and fetches them when a key id is new.
type keySet struct {
	url  string
	http *http.Client
	now  func() time.Time

	mu     sync.Mutex
	keys   *jose.JSONWebKeySet // guarded by mu; nil before the first fetch
	at     time.Time           // of keys; guarded by mu
	asked  time.Time           // of the last fetch; guarded by mu
	failed error               // of the last fetch; guarded by mu
}

// get returns the keys, with the one of this id if the transmitter has it. While
// one request asks the transmitter, others wait.
func (k *keySet) get(ctx context.Context, id string) (*jose.JSONWebKeySet, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	fresh := k.keys != nil && now.Sub(k.at) < stale
	if fresh && (id == "" || len(k.keys.Key(id)) > 0) {
		return k.keys, nil
	}
	if now.Sub(k.asked) < refetch {
		if fresh {
			return k.keys, nil
		}
		return nil, errors.Join(errors.New("the transmitter was asked a moment ago"), k.failed)
	}
	k.asked = now
	keys, err := k.fetch(context.WithoutCancel(ctx))
	if k.failed = err; err != nil {
		return nil, err // not the keys we have: the SET may be signed with a newer one
	}
	k.keys, k.at = keys, now
	return keys, nil
}

func (k *keySet) fetch(ctx context.Context) (*jose.JSONWebKeySet, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
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
	if err := json.NewDecoder(http.MaxBytesReader(nil, res.Body, maxKeySet)).Decode(&keys); err != nil {
		return nil, err
	}
	return &keys, nil
}

// noRedirect returns a client that stays at the address it is given.
func noRedirect(c *http.Client) *http.Client {
	out := *c
	out.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &out
}
