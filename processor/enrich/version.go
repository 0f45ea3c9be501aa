package enrich

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// Version names the contents of a registry: 32 hex digits of a SHA-256 over its
// entries in order of their names, so the order in the files says nothing, and
// the registry read back from its tables has the version that it was stored with.
func (r *Registry) Version() string {
	h := sha256.New()
	e := json.NewEncoder(h) // a hash does not fail, and every type below has a JSON form
	for _, x := range sorted(r.Principals, func(a, b Principal) int { return cmp.Or(cmp.Compare(a.Iss, b.Iss), cmp.Compare(a.Sub, b.Sub)) }) {
		_ = e.Encode(x)
	}
	for _, x := range sorted(r.Servers, func(a, b Server) int { return cmp.Compare(a.ID, b.ID) }) {
		_ = e.Encode(x)
	}
	for _, x := range sorted(r.Tools, func(a, b Tool) int { return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Name, b.Name)) }) {
		_ = e.Encode(x)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func sorted[E any](list []E, compare func(a, b E) int) []E {
	list = slices.Clone(list)
	slices.SortFunc(list, compare)
	return list
}
