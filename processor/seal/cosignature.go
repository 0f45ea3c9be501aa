package seal

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// cosignatureType is that of timestamped Ed25519 cosignatures
// (c2sp.org/signed-note), whose keys are apart from those of logs.
const cosignatureType = 4

// cosigner verifies the cosignatures of a witness (c2sp.org/tlog-cosignature).
type cosigner struct {
	name   string
	public ed25519.PublicKey
}

// CosignerKey is the public half of a witness's key as text, for who verifies.
func (k *Key) CosignerKey() string {
	c := cosigner{k.name, k.public}
	return fmt.Sprintf("%s+%08x+%s", c.name, c.KeyHash(), base64.StdEncoding.EncodeToString(c.material()))
}

// ParseCosigner reads the verifier key of a witness.
func ParseCosigner(text string) (note.Verifier, error) {
	parts := strings.SplitN(strings.TrimSpace(text), "+", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("witness key %q: want name+hash+key", text)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != cosignatureType || !ValidName(parts[0]) {
		return nil, fmt.Errorf("witness key %q: want an Ed25519 key for cosignatures (type 4 of c2sp.org/signed-note)", text)
	}
	c := &cosigner{parts[0], ed25519.PublicKey(raw[1:])}
	if parts[1] != fmt.Sprintf("%08x", c.KeyHash()) {
		return nil, fmt.Errorf("witness key %q: the hash in it is not that of the key", text)
	}
	return c, nil
}

func (c *cosigner) material() []byte { return append([]byte{cosignatureType}, c.public...) }

// Name implements note.Verifier.
func (c *cosigner) Name() string { return c.name }

// KeyHash implements note.Verifier.
func (c *cosigner) KeyHash() uint32 {
	sum := sha256.Sum256(append([]byte(c.name+"\n"), c.material()...))
	return binary.BigEndian.Uint32(sum[:])
}

// Verify implements note.Verifier.
func (c *cosigner) Verify(text, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(sig)
	if _, err := ParseCheckpoint(string(text)); err != nil || at > math.MaxInt64 {
		return false
	}
	return ed25519.Verify(c.public, cosigned(at, text), sig[8:])
}

// cosigned is what a cosignature signs.
func cosigned(at uint64, text []byte) []byte {
	return append([]byte("cosignature/v1\ntime "+strconv.FormatUint(at, 10)+"\n"), text...)
}

// timestamper signs as a witness, at a time.
type timestamper struct {
	cosigner
	key crypto.Signer
	at  time.Time
}

// Sign implements note.Signer.
func (s *timestamper) Sign(text []byte) ([]byte, error) {
	at := uint64(s.at.Unix())
	sig, err := s.key.Sign(rand.Reader, cosigned(at, text), crypto.Hash(0))
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint64(nil, at), sig...), nil
}

// Cosign adds the key's cosignature to a checkpoint whose other signatures were
// verified. Whether the tree only grew is the caller's to know.
func (k *Key) Cosign(n *note.Note, at time.Time) ([]byte, error) {
	if _, err := ParseCheckpoint(n.Text); err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: n.Text, Sigs: n.Sigs}, &timestamper{cosigner{k.name, k.public}, k.signer, at})
}

// CosignatureTime is when a witness says that it signed.
func CosignatureTime(s note.Signature) (time.Time, error) {
	raw, err := base64.StdEncoding.DecodeString(s.Base64)
	if err != nil || len(raw) != 4+8+ed25519.SignatureSize {
		return time.Time{}, errors.New("it is no cosignature")
	}
	return time.Unix(int64(binary.BigEndian.Uint64(raw[4:])), 0).UTC(), nil
}
