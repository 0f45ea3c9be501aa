// Package mcpproxy records the calls of an MCP server that cannot be changed, from
// outside: [Proxy] stands in front of a server on Streamable HTTP, [Tap] between a
// client and a server on stdio. Its events leave by package emitter.
//
// Recorded are tools/call, tools/list, resources/read and prompts/get, each with
// the caller's token as it was verified here, and requests that the server
// refused. Everything else passes as it is. It reads MCP 2026-07-28, whose
// requests carry "_meta", and the versions with sessions back to 2025-03-26, whose
// answers may come on another stream than their requests.
//
// It guarantees that a caller gets an answer only when its event was accepted by
// the emitter, unless FailOpen is set; then the next event says how many are
// missing. It does not decide: a token that does not verify is recorded as such
// and passed on, it is the server who refuses. It does not see what the server
// does with the token afterwards.
package mcpproxy

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/custody-audit/custody/collector/token"
	"github.com/custody-audit/custody/schemas/event"
)

// Emitter takes events. Emit returns nil once the event will be delivered; it
// owns the event from the call on, and is safe for concurrent use. Package
// emitter has one.
type Emitter interface {
	Emit(ctx context.Context, e *event.Event) error
}

// Check looks at a bearer token: the method Verify of token.Verifier or
// token.Keys. An error says that it could not be checked.
type Check func(ctx context.Context, raw string) (*token.Presented, error)

// Config configures a Proxy or a Tap.
type Config struct {
	// Server describes the server in its events; ID is required, and URI should
	// be its resource identifier, what the audience of tokens is held against.
	Server event.Server
	// Emitter takes the events. Required.
	Emitter Emitter
	// Check looks at the callers' tokens; nil records them unverified.
	Check Check
	// FailOpen passes answers whose event could not be recorded. The default
	// replaces them by the error "audit unavailable"; the server has done its
	// work by then.
	FailOpen bool
	// EmitTimeout is how long an answer waits for its event; 0 is 5 s.
	EmitTimeout time.Duration
	// AnswerTimeout is how long an answer is awaited on another stream after that
	// of its request has ended (sessions only); 0 is 5 min.
	AnswerTimeout time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	// Logger hears of what could not be recorded. Required.
	Logger *slog.Logger
	Meter  metric.Meter // nil counts nothing
}

func (c *Config) setDefaults() error {
	if c.Server.ID == "" {
		return errors.New("mcpproxy: want a Server with an ID")
	}
	if c.Emitter == nil || c.Logger == nil {
		return errors.New("mcpproxy: want an Emitter and a Logger")
	}
	if c.EmitTimeout == 0 {
		c.EmitTimeout = 5 * time.Second
	}
	if c.AnswerTimeout == 0 {
		c.AnswerTimeout = 5 * time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

// Bounds of one message, in bytes. A request that is longer is refused with 413,
// an answer that is longer is passed on unread.
const (
	MaxRequest  = 4 << 20
	MaxResponse = 16 << 20
)
