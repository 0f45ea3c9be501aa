package ssf

import (
	"crypto/sha256"
	"sync"
)

// maxRemembered bounds one generation of remembered SETs, of which there are two.
const maxRemembered = 50_000

// replay remembers SETs that are durable. It saves work and finds ids used
// twice; it is not what keeps a repeated SET from being stored twice: that is the
// event's id, which is made from the SET's.
type replay struct {
	mu     sync.Mutex
	recent map[string][sha256.Size]byte // by jti; guarded by mu
	older  map[string][sha256.Size]byte // guarded by mu
}

// before tells whether the SET came before, and refuses another one with its id.
func (r *replay) before(id string, hash [sha256.Size]byte) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.recent[id]
	if !ok {
		known, ok = r.older[id]
	}
	if ok && known != hash {
		return false, malformed("jti: was used for another SET")
	}
	return ok, nil
}

// remember notes a SET whose events are durable.
func (r *replay) remember(id string, hash [sha256.Size]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.recent == nil || len(r.recent) >= maxRemembered {
		r.older, r.recent = r.recent, map[string][sha256.Size]byte{}
	}
	r.recent[id] = hash
}
