package event

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// NewID returns the id of an event that happened at t. With the source's own
// event id it is derived, so that a re-delivery gets the same id (UUID version
// 8); without one the rest is random (UUID version 7).
func NewID(tenant, source, eventID string, t Time) string {
	var u uuid.UUID
	if eventID != "" {
		h := sha256.New()
		for _, s := range []string{tenant, source, eventID} {
			var n [4]byte
			binary.BigEndian.PutUint32(n[:], uint32(len(s)))
			h.Write(n[:])
			h.Write([]byte(s))
		}
		copy(u[:], h.Sum(nil))
		u[6] = u[6]&0x0f | 0x80
	} else {
		rand.Read(u[:])
		u[6] = u[6]&0x0f | 0x70
	}
	u[8] = u[8]&0x3f | 0x80
	ms := uint64(t) / 1000
	u[0], u[1], u[2], u[3], u[4], u[5] = byte(ms>>40), byte(ms>>32), byte(ms>>24), byte(ms>>16), byte(ms>>8), byte(ms)
	return u.String()
}

// ParseID reads an id as Validate wants it, a UUID in lower case; false for another.
func ParseID(id string) (u uuid.UUID, ok bool) {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return u, false
	}
	bad := byte(0)
	for i, at := range idDigits {
		high, low := digitOf[id[at]], digitOf[id[at+1]]
		u[i] = high<<4 | low
		bad |= high | low
	}
	return u, bad <= 0xf
}

// idDigits are where the two digits of each byte of an id are.
var idDigits = [16]uint8{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

// digitOf has the values of lower-case hex digits, 0xff for all else.
var digitOf = func() (t [256]byte) {
	for i := range t {
		t[i] = hexValue(byte(i))
	}
	return t
}()

// timeOf is the time inside an id.
func timeOf(u uuid.UUID) Time {
	ms := uint64(u[0])<<40 | uint64(u[1])<<32 | uint64(u[2])<<24 | uint64(u[3])<<16 | uint64(u[4])<<8 | uint64(u[5])
	return Time(ms * 1000)
}

// IDTime returns the time inside an id, to the millisecond.
func IDTime(id string) (Time, error) {
	u, err := uuid.Parse(id)
	if err != nil || len(id) != 36 {
		return 0, fmt.Errorf("%q is not a UUID", id)
	}
	return timeOf(u), nil
}

// NewSalt returns 16 random bytes, base64url.
func NewSalt() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// TokenRef returns the reference of a high-entropy token: the hash that DPoP
// calls ath (RFC 9449 section 4.2), so parties that never met compute the same.
func TokenRef(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "sha256:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// HashRef writes the SHA-256 of a token, in hex or base64, as [TokenRef] does; empty
// when it is none. A reference stays as it is.
func HashRef(hash string) string {
	if ValidRef(hash) {
		return hash
	}
	hash = strings.TrimPrefix(hash, "sha256:")
	raw, err := hex.DecodeString(hash)
	if err != nil {
		raw, err = base64.RawURLEncoding.DecodeString(strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(hash))
	}
	if err != nil || len(raw) != sha256.Size {
		return ""
	}
	return "sha256:" + base64.RawURLEncoding.EncodeToString(raw)
}

// SecretRef returns the reference of a low-entropy secret (API key, password)
// under a tenant's key, so that a leaked store is no oracle for guesses.
func SecretRef(keyID string, key []byte, secret string) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(secret))
	return "hmac:" + keyID + ":" + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}
