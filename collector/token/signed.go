package token

import (
	"slices"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// maxSigned bounds the tokens remembered; beyond it all are forgotten.
const maxSigned = 4096

// signed remembers by reference the claims whose signature was good, since an
// agent presents one token many times. A signature depends on the token and the
// keys alone, so what is remembered holds while the very same key set does: a key
// that the issuer withdraws is noticed as late as without, at the next fetch.
// Time and audience are checked every time.
type signed struct {
	mu     sync.Mutex
	tokens map[string]signature // guarded by mu
}

type signature struct {
	keyID  string
	keys   *jose.JSONWebKeySet
	claims claims
}

func (s *signed) get(ref string) (signature, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.tokens[ref]
	found.claims.Audience = slices.Clone(found.claims.Audience) // events are changed in place
	return found, ok
}

func (s *signed) add(ref string, good signature) {
	good.claims.Audience = slices.Clone(good.claims.Audience)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens == nil || len(s.tokens) >= maxSigned {
		s.tokens = make(map[string]signature)
	}
	s.tokens[ref] = good
}
