package seal

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Key signs for a log. Its name is the log's: the first part of the origins of
// its trees. Ed25519 signatures cost 20 microseconds and checkpoints come once a
// second, so the key may as well lie in another process or device.
type Key struct {
	name   string
	public ed25519.PublicKey
	signer crypto.Signer
}

// NewKey is a key whose private half only s has; its public half is Ed25519.
func NewKey(name string, s crypto.Signer) (*Key, error) {
	public, ok := s.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("key of log %q: want Ed25519, got %T", name, s.Public())
	}
	if !ValidName(name) {
		return nil, fmt.Errorf("key: name %q: want a URL without scheme, such as example.com/audit", name)
	}
	return &Key{name, public, s}, nil
}

// ParseKey reads a private key in the form of golang.org/x/mod/sumdb/note,
// PRIVATE+KEY+name+hash+base64. An error does not quote it.
func ParseKey(text string) (*Key, error) {
	text = strings.TrimSpace(text)
	if _, err := note.NewSigner(text); err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	parts := strings.SplitN(text, "+", 5) // NewSigner saw them all; base64 may have plus signs
	raw, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return nil, errors.New("private key: want an Ed25519 seed")
	}
	return NewKey(parts[2], ed25519.NewKeyFromSeed(raw[1:]))
}

// ReadKey reads the private key of a file.
func ReadKey(file string) (*Key, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	k, err := ParseKey(string(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return k, nil
}

// CreateKey makes a key and writes it to a file that must not exist, readable by
// its owner only.
func CreateKey(file, name string) (*Key, error) {
	if !ValidName(name) {
		return nil, fmt.Errorf("name %q: want a URL without scheme, such as example.com/audit", name)
	}
	text, _, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, fmt.Errorf("write key: %w", err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write key: %w", err)
	}
	_, err = f.WriteString(text + "\n")
	if err = errors.Join(err, f.Sync(), f.Close(), syncDir(filepath.Dir(file))); err != nil {
		return nil, fmt.Errorf("write key: %w", err)
	}
	return ParseKey(text)
}

// Name is the name of the key's log.
func (k *Key) Name() string { return k.name }

// Public is the public half.
func (k *Key) Public() ed25519.PublicKey { return k.public }

// Verifier is the public half as text, "name+hash+base64", for who verifies.
func (k *Key) Verifier() string { return VerifierKey(k.name, k.public) }

// VerifierKey is a public key under a name, in the form of c2sp.org/signed-note.
func VerifierKey(name string, public ed25519.PublicKey) string {
	text, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		panic(err) // of the key's length, which its type promises
	}
	return text
}

// verifier verifies what the key signed under a name.
func verifier(name string, public ed25519.PublicKey) (note.Verifier, error) {
	return note.NewVerifier(VerifierKey(name, public))
}

// ParseVerifier reads a verifier key of type Ed25519.
func ParseVerifier(text string) (name string, public ed25519.PublicKey, err error) {
	text = strings.TrimSpace(text)
	if _, err := note.NewVerifier(text); err != nil {
		return "", nil, fmt.Errorf("verifier key %q: %w", text, err)
	}
	parts := strings.SplitN(text, "+", 3)
	raw, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || !ValidName(parts[0]) {
		return "", nil, fmt.Errorf("verifier key %q: want the Ed25519 key of a log", text)
	}
	return parts[0], ed25519.PublicKey(raw[1:]), nil
}

// Sign signs a checkpoint under its origin, which the specification asks for,
// and any other text under the log's own name.
func (k *Key) sign(name, text string) ([]byte, error) {
	v, err := verifier(name, k.public)
	if err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: text}, &noteSigner{v, k.signer})
}

// Sign returns the signed note of a text of the log itself. Its first line must
// say what it is, so that no text of one kind passes for another.
func (k *Key) Sign(text string) ([]byte, error) { return k.sign(k.name, text) }

// SignCheckpoint returns the signed note of a checkpoint of this log.
func (k *Key) SignCheckpoint(c Checkpoint) ([]byte, error) {
	if log, _, err := ParseOrigin(c.Origin); err != nil || log != k.name {
		return nil, fmt.Errorf("sign checkpoint of %q: it is no tree of log %q", c.Origin, k.name)
	}
	return k.sign(c.Origin, c.Text())
}

// noteSigner is a key under a name.
type noteSigner struct {
	note.Verifier
	key crypto.Signer
}

func (s *noteSigner) Sign(text []byte) ([]byte, error) {
	return s.key.Sign(rand.Reader, text, crypto.Hash(0)) // Ed25519 signs the text itself
}
