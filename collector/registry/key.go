package registry

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

const keyPrefix = "cst_"

// NewKey returns a fresh bearer key of 256 bits and the hash to configure.
func NewKey() (key, keySHA256 string) {
	var b [32]byte
	rand.Read(b[:])
	key = keyPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	return key, HashKey(key)
}

// HashKey returns the hex SHA-256 of a key. A plain hash is enough because keys
// are random; it is no protection for a guessable one.
func HashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// isToken tells a JWT from a key.
func isToken(bearer string) bool {
	return !strings.HasPrefix(bearer, keyPrefix) && strings.Count(bearer, ".") == 2
}
