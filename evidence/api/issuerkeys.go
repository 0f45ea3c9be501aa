package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

const (
	// refetch bounds how often made-up key ids can make us ask the issuer.
	refetch = 5 * time.Second
	// stale is when keys are fetched anew, so that one the issuer withdrew goes.
	stale = time.Hour
	// maxKeys bounds what is read of an issuer's keys, in bytes.
	maxKeys = 1 << 20
)

// issuerKeys are an issuer's signing keys. The library's own set asks for every
// signature that is not good, and keeps a key for good.
type issuerKeys struct {
	url        string
	http       *http.Client
	now        func() time.Time
	algorithms []jose.SignatureAlgorithm

	last     atomic.Pointer[fetchedKeys]
	fetching sync.Mutex
	failed   error     // of the last fetch; guarded by fetching
	tried    time.Time // guarded by fetching
}

var _ oidc.KeySet = (*issuerKeys)(nil)

type fetchedKeys struct {
	set jose.JSONWebKeySet
	at  time.Time
}

// serves tells whether there is no need to ask the issuer for this key now.
func (f *fetchedKeys) serves(id string, now time.Time) bool {
	if f == nil {
		return false
	}
	age := now.Sub(f.at)
	return age < refetch || age < stale && len(f.set.Key(id)) > 0
}

func (k *issuerKeys) get(ctx context.Context, id string) (*fetchedKeys, error) {
	if f := k.last.Load(); f.serves(id, k.now()) {
		return f, nil
	}
	k.fetching.Lock()
	defer k.fetching.Unlock()
	if f := k.last.Load(); f.serves(id, k.now()) {
		return f, nil
	}
	if k.failed == nil || k.now().Sub(k.tried) >= askAgain {
		f, err := k.fetch(ctx)
		k.failed, k.tried = err, k.now()
		if err == nil {
			k.last.Store(f)
			return f, nil
		}
	}
	return nil, &unavailable{k.failed}
}

func (k *issuerKeys) fetch(ctx context.Context) (*fetchedKeys, error) {
	req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	res, err := k.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("keys of the issuer: %s", res.Status)
	}
	f := &fetchedKeys{at: k.now()}
	return f, json.NewDecoder(http.MaxBytesReader(nil, res.Body, maxKeys)).Decode(&f.set)
}

// faultKey holds a place for why a signature could not be checked, which the
// library does not pass on.
type faultKey struct{}

// VerifySignature implements [oidc.KeySet].
func (k *issuerKeys) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(raw, k.algorithms)
	if err != nil {
		return nil, fmt.Errorf("parse token: %w", err)
	}
	id := signed.Signatures[0].Header.KeyID
	f, err := k.get(ctx, id)
	if err != nil {
		if place, ok := ctx.Value(faultKey{}).(*error); ok {
			*place = err
		}
		return nil, err
	}
	for _, key := range f.set.Key(id) {
		if payload, err := signed.Verify(key.Key); err == nil && key.Use != "enc" {
			return payload, nil
		}
	}
	return nil, errors.New("the signature is not good")
}

// verify checks a token of the issuer. An error is what the caller is told.
func (o *OIDC) verify(ctx context.Context, v *oidc.IDTokenVerifier, raw string) (*oidc.IDToken, error) {
	var fault error
	t, err := v.Verify(context.WithValue(ctx, faultKey{}, &fault), raw)
	switch {
	case fault != nil:
		return nil, fault
	case err != nil:
		return nil, unauthorized("the token is refused: %s", whyRefused(err))
	}
	return t, nil
}
