package toolserver

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"

	"github.com/custody-audit/custody/schemas/event"
)

// secretKeyID names the key under which static keys are referenced.
const secretKeyID = "demo-1"

// KeyRef is the reference by which events name a static key.
func KeyRef(secretKey []byte, key string) string {
	return event.SecretRef(secretKeyID, secretKey, key)
}

// verifyKey accepts a static API key, and reports it the first time it is seen.
func (s *Server) verifyKey(ctx context.Context, key string, _ *http.Request) (*auth.TokenInfo, error) {
	owner, ok := s.cfg.StaticKeys[key]
	if !ok {
		return nil, fmt.Errorf("%w: no such key", auth.ErrInvalidToken)
	}
	p := &presented{
		subject: event.Party{Sub: owner, Type: s.cfg.TypeOf(owner)}, identityLost: true,
		token: event.Token{Ref: KeyRef(s.cfg.SecretKey, key), TokenType: "api_key", Static: true, Verified: event.TokenUnverified},
	}
	if s.seen.first(p.token.Ref) {
		found := &event.Event{
			Kind: event.Credential, Type: event.TypeCredentialStatic, Time: event.TimeOf(time.Now()), Outcome: event.Success,
			Subject: p.subject, Token: p.token, Server: s.cfg.Server,
		}
		if err := s.cfg.Sink.Emit(ctx, found); err != nil {
			return nil, fmt.Errorf("report a static key: %w", err)
		}
	}
	return &auth.TokenInfo{UserID: owner, Extra: map[string]any{extraKey: p}}, nil
}

// keyring remembers which keys were reported.
type keyring struct {
	mu   sync.Mutex
	refs map[string]bool // guarded by mu
}

func (k *keyring) first(ref string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refs[ref] {
		return false
	}
	if k.refs == nil {
		k.refs = map[string]bool{}
	}
	k.refs[ref] = true
	return true
}
