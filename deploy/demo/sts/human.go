package sts

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Human holds the private key with which one user logs in.
type Human struct {
	id     string
	key    *ecdsa.PrivateKey
	signer jose.Signer
}

// NewHuman makes a key for the user.
func NewHuman(id string) (*Human, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("signer of %s: %w", id, err)
	}
	return &Human{id, key, signer}, nil
}

// Public is the key to register.
func (h *Human) Public() crypto.PublicKey { return h.key.Public() }

// Assertion signs a login for one task: a JWT bearer grant (RFC 7523) that is
// valid for a minute and starts the transaction.
func (h *Human) Assertion(issuer, transaction, task string) (string, error) {
	now := time.Now()
	assertion, err := jwt.Signed(h.signer).Claims(jwt.Claims{
		Issuer: h.id, Subject: h.id, Audience: jwt.Audience{issuer}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute)),
	}).Claims(map[string]any{claimTransaction: transaction, claimTask: task}).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign the login of %s: %w", h.id, err)
	}
	return assertion, nil
}
