// Package jwks holds the signing keys that an issuer publishes (RFC 7517), for
// every stage that checks its tokens.
//
// It guarantees that made-up key ids make it ask rarely, that who needs a key that
// is known never waits for a fetch, and that a key which the issuer withdrew goes
// within the hour. It does not look at what a key is for.
package jwks

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
	maxBytes = 1 << 20 // of what an issuer answers
	// refetch bounds how often made-up key ids can make us ask the issuer.
	refetch = 5 * time.Second
	// stale is when keys are fetched anew, so that one the issuer withdrew goes.
	stale = time.Hour
)

// Set is an issuer's keys; they are fetched when a key id is new. It is safe for
// concurrent use.
type Set struct {
	// URL of the keys, HTTP to fetch them with, Now the clock. Required.
	URL  string
	HTTP *http.Client
	Now  func() time.Time
	// Pause is how long an issuer that did not answer is left alone: until then
	// its last error stands. 0 asks it again each time.
	Pause time.Duration

	last     atomic.Pointer[snapshot]
	fetching sync.Mutex
	failed   error     // of the last fetch; guarded by fetching
	tried    time.Time // guarded by fetching
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

// Get returns the keys, with the one of this id if the issuer has it. The same
// keys are the same pointer.
func (s *Set) Get(ctx context.Context, id string) (*jose.JSONWebKeySet, error) {
	if have := s.last.Load(); have.serves(id, s.Now()) {
		return have.keys, nil
	}
	s.fetching.Lock()
	defer s.fetching.Unlock()
	if have := s.last.Load(); have.serves(id, s.Now()) {
		return have.keys, nil
	}
	if s.failed != nil && s.Now().Sub(s.tried) < s.Pause {
		return nil, s.failed
	}
	keys, err := s.fetch(ctx)
	if err != nil {
		s.failed, s.tried = fmt.Errorf("fetch the issuer's keys: %w", err), s.Now()
		return nil, s.failed
	}
	s.failed = nil
	s.last.Store(&snapshot{keys, s.Now()})
	return keys, nil
}

func (s *Set) fetch(ctx context.Context) (*jose.JSONWebKeySet, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		return nil, err
	}
	res, err := s.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, errors.New(res.Status)
	}
	var keys jose.JSONWebKeySet
	return &keys, json.NewDecoder(http.MaxBytesReader(nil, res.Body, maxBytes)).Decode(&keys)
}
