package witness_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"testing"
)

func sha(s string) [32]byte { return sha256.Sum256([]byte(s)) }

func signer(t *testing.T) crypto.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return private
}
