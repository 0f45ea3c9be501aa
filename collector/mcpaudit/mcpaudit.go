// Package mcpaudit records what an MCP server on the official Go SDK does: which
// tool was called, with which token, for whom, and how it ended. It stands inside
// the server; its events leave by package emitter.
//
// One line records every tool call, over any transport:
//
//	server.AddReceivingMiddleware(audit.Middleware)
//
// Over HTTP two more make the record whole. [Audit.Handler] goes around the
// endpoint: it tells the JSON-RPC id, the caller's address, and which requests
// were refused before a tool heard of them. [Audit.Verifier] makes a verifier for
// the SDK's auth.RequireBearerToken whose findings become part of the events.
// [Audit.RecordDecision] and [Audit.RecordExchange] add what only the server
// knows: what it asked a policy engine, and which token it got for going on.
//
// It guarantees that a caller hears the result of a call only when the call's
// event is accepted by the emitter, unless FailOpen is set; and that neither
// tokens nor arguments get into an event, only references, hashes and names.
package mcpaudit

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/custody-audit/custody/collector/token"
	"github.com/custody-audit/custody/schemas/event"
)

// Emitter takes events. Emit returns nil once the event will be delivered; it
// owns the event from the call on, and is safe for concurrent use. Package
// emitter has one.
type Emitter interface {
	Emit(ctx context.Context, e *event.Event) error
}

// Config configures an Audit.
type Config struct {
	// Server describes the server in its events; ID is required, and URI should
	// be its resource identifier, what the audience of tokens is held against.
	Server event.Server
	// Emitter takes the events. Required.
	Emitter Emitter
	// FailOpen answers calls whose event could not be recorded. The default
	// refuses with "audit unavailable"; the tool has run by then.
	FailOpen bool
	// TypeOf says what principals are, for tokens that package token did not
	// verify; nil leaves it open.
	TypeOf token.TypeOf
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	// Logger hears of what could not be recorded. Required.
	Logger *slog.Logger
}

// Audit records for one server. It is safe for concurrent use.
type Audit struct {
	cfg  Config
	seen keyring
}

// New returns an Audit.
func New(cfg Config) (*Audit, error) {
	if cfg.Server.ID == "" {
		return nil, errors.New("mcpaudit: want a Server with an ID")
	}
	if cfg.Emitter == nil || cfg.Logger == nil {
		return nil, errors.New("mcpaudit: want an Emitter and a Logger")
	}
	if cfg.TypeOf == nil {
		cfg.TypeOf = func(string, string) event.PartyType { return "" }
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Audit{cfg: cfg}, nil
}
