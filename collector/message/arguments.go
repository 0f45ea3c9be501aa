package message

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"

	"github.com/gowebpki/jcs"

	"github.com/custody-audit/custody/schemas/event"
)

// Bounds of what a caller can write into the event by naming arguments.
const (
	maxNames = 64
	maxName  = 128 // bytes
)

// HashArguments is the hash of the arguments' canonical bytes (RFC 8785), which is
// how events have it; an error when they have none.
func HashArguments(raw json.RawMessage) (string, error) {
	canonical, err := jcs.Transform(raw)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(canonical)
	return "sha256:" + base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// NoteArguments notes the names and the hash of the arguments, which tells a
// repeated call and can be checked by whoever has them (RFC 8785, then SHA-256).
func NoteArguments(t *event.Tool, raw json.RawMessage) {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return
	}
	hash, err := HashArguments(raw)
	if err != nil {
		return
	}
	t.ArgumentsHash = hash
	t.ArgumentNames = slices.Sorted(maps.Keys(members))
	t.ArgumentNames = t.ArgumentNames[:min(len(t.ArgumentNames), maxNames)]
	for i, name := range t.ArgumentNames {
		t.ArgumentNames[i] = name[:min(len(name), maxName)]
	}
}
