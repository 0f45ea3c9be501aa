package collector

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/custody-audit/custody/schemas/event"
)

// Registry knows the configured sources by their keys. It holds hashes only.
type Registry struct {
	byKey map[string]*Source // by hex SHA-256 of the key
}

// NewKey returns a fresh bearer key of 256 bits and the hash to configure.
func NewKey() (key, keySHA256 string) {
	var b [32]byte
	rand.Read(b[:])
	key = "cst_" + base64.RawURLEncoding.EncodeToString(b[:])
	return key, HashKey(key)
}

// HashKey returns the hex SHA-256 of a key. A plain hash is enough because keys
// are random; it is no protection for a guessable one.
func HashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// NewRegistry checks the sources and reports all problems at once.
func NewRegistry(sources []Source) (*Registry, error) {
	r := &Registry{byKey: make(map[string]*Source, len(sources))}
	ids := map[string]bool{}
	var errs []error
	for i := range sources {
		s := sources[i]
		if err := s.validate(); err != nil {
			errs = append(errs, fmt.Errorf("sources[%d] %q: %w", i, s.ID, err))
			continue
		}
		if ids[s.Tenant+"/"+s.ID] {
			errs = append(errs, fmt.Errorf("sources[%d] %q: id is given twice in tenant %q", i, s.ID, s.Tenant))
		}
		if other, ok := r.byKey[s.KeySHA256]; ok {
			errs = append(errs, fmt.Errorf("sources[%d] %q: has the key of %q", i, s.ID, other.ID))
		}
		ids[s.Tenant+"/"+s.ID] = true
		r.byKey[s.KeySHA256] = &s
	}
	return r, errors.Join(errs...)
}

var keyHashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Types are the source types that have an endpoint.
var Types = []string{"native", "opa", "otlp"}

func (s *Source) validate() error {
	var errs []error
	if !event.ValidTenant(s.ID) {
		errs = append(errs, errors.New("id: want lower-case letters, digits, - and _, at most 63"))
	}
	if !event.ValidTenant(s.Tenant) {
		errs = append(errs, fmt.Errorf("tenant %q: want lower-case letters, digits, - and _, at most 63", s.Tenant))
	}
	if s.Type != "" && !slices.Contains(Types, s.Type) {
		errs = append(errs, fmt.Errorf("type %q: want one of %v, or none for all", s.Type, Types))
	}
	if !keyHashPattern.MatchString(s.KeySHA256) {
		errs = append(errs, errors.New(`key_sha256: want 64 lower-case hex digits; "custody source add" makes a key and its hash`))
	}
	return errors.Join(errs...)
}

// Authenticate returns the source whose key it is.
func (r *Registry) Authenticate(key string) (*Source, bool) {
	s, ok := r.byKey[HashKey(key)]
	return s, ok
}

// Len returns the number of sources.
func (r *Registry) Len() int { return len(r.byKey) }
