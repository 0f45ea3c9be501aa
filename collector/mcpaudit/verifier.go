package mcpaudit

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/auth"

	"github.com/custody-audit/custody/collector/token"
	"github.com/custody-audit/custody/schemas/event"
)

// Check looks at a bearer token: the method Verify of token.Verifier or
// token.Keys. An error says that it could not be checked.
type Check func(ctx context.Context, raw string) (*token.Presented, error)

// presentedKey holds the presented credential in the SDK's TokenInfo.
const presentedKey = "custody.presented"

// Verifier makes a verifier for auth.RequireBearerToken. The first use of a
// static key is reported as an event of kind credential.
func (a *Audit) Verifier(check Check) auth.TokenVerifier {
	return func(ctx context.Context, raw string, _ *http.Request) (*auth.TokenInfo, error) {
		p, err := check(ctx, raw)
		if err != nil {
			return nil, err
		}
		if q, ok := ctx.Value(requestKey{}).(*request); ok {
			q.presented = p
		}
		if p.Refused() {
			return nil, fmt.Errorf("%w: %s", auth.ErrInvalidToken, p.Token.Verified[len(event.TokenFailed):])
		}
		if p.Token.Static {
			if err := a.reportKey(ctx, p); err != nil {
				return nil, err
			}
		}
		info := &auth.TokenInfo{Scopes: p.Token.Scope, UserID: p.Subject.Sub, Extra: map[string]any{presentedKey: p}}
		if p.Token.ExpiresAt != 0 {
			info.Expiration = p.Token.ExpiresAt.Go()
		}
		return info, nil
	}
}

func (a *Audit) reportKey(ctx context.Context, p *token.Presented) error {
	if !a.seen.first(p.Token.Ref) {
		return nil
	}
	e := &event.Event{
		Kind: event.Credential, Type: event.TypeCredentialStatic, Time: event.TimeOf(a.cfg.Now()), Outcome: event.Success,
		Subject: p.Subject, Token: p.Token, Server: a.cfg.Server,
	}
	if err := a.cfg.Emitter.Emit(ctx, e); err != nil {
		a.seen.forget(p.Token.Ref)
		return fmt.Errorf("report a static key: %w", err)
	}
	return nil
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

func (k *keyring) forget(ref string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.refs, ref)
}
