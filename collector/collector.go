// Package collector is the way in: it authenticates a source, and takes its
// events through stamping, redaction, validation and publishing before the
// source hears "accepted".
//
// Each source is one sub-package: a parser, which is a plain function from
// bytes to events, and a thin transport that calls [Intake.Accept]. The ack law
// holds for all of them: a source acknowledges only after Accept returned nil,
// and Accept returns nil only when every event that it did not reject is
// durable. It does not guarantee that an event arrives once: a source that
// repeats a request after a lost answer sends the events again, with the same
// ids where it gives its own event ids.
package collector

import (
	"context"
	"errors"

	"github.com/custody-audit/custody/schemas/event"
)

// Source is a configured origin of events, as the collector authenticated it.
// What it says stands above everything in the payload.
type Source struct {
	// ID names the source in events, metrics and files: lower-case letters, digits, '-' and '_'.
	ID string `yaml:"id" json:"id"`
	// Tenant that all its events belong to.
	Tenant string `yaml:"tenant" json:"tenant"`
	// Type of the source: the folder under collector, for example "native". It
	// decides which endpoints the key opens. Empty opens every one.
	Type string `yaml:"type,omitempty" json:"type,omitempty"`
	// Servers are the server ids it may report for; empty for any. An event for
	// another server is rejected.
	Servers []string `yaml:"servers,omitempty" json:"servers,omitempty"`
	// KeySHA256 is the hex SHA-256 of its bearer key. The key itself is nowhere stored.
	KeySHA256 string `yaml:"key_sha256" json:"-"`
}

// Rejection is one event of a batch that was not accepted.
type Rejection struct {
	// Index in the batch, from 0.
	Index int `json:"index"`
	// Problems say why, field by field.
	Problems event.Problems `json:"problems"`
}

// ErrUnavailable says that nothing of the batch is durable and the source
// should send it again later: 503 with Retry-After, or gRPC UNAVAILABLE.
var ErrUnavailable = errors.New("events cannot be made durable now")

// Intake takes batches of parsed events. There is one per process; it is safe
// for concurrent use.
type Intake interface {
	// Accept stamps tenant, source, id, observed time and salt, redacts,
	// validates and publishes. A nil error means that every event not among the
	// rejections is durable. sourceType names the folder of the calling source. It
	// owns the events from the call on and keeps them only until it returns.
	Accept(ctx context.Context, src *Source, sourceType string, events []*event.Event) ([]Rejection, error)
	// Clean returns text without secrets of known forms, and the names of the
	// forms found. It returns the same slice when there are none.
	Clean(text []byte) (clean []byte, found []string)
}
