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

// Rejection is one event of a batch that was not accepted.
type Rejection struct {
	// Index in the batch, from 0.
	Index int `json:"index"`
	// Problems say why, field by field.
	Problems event.Problems `json:"problems"`
	// Claim says that the event claimed to be of another source, tenant or server.
	Claim bool `json:"-"`
}

// Reasons of rejections, as metrics have them.
const (
	ReasonMalformed = "malformed" // could not be read
	ReasonInvalid   = "invalid"   // is no valid event
	ReasonClaim     = "claim"     // claims to be of another source, tenant or server
)

// ErrUnavailable says that nothing of the batch is durable and the source
// should send it again later: 503 with Retry-After, or gRPC UNAVAILABLE.
var ErrUnavailable = errors.New("events cannot be made durable now")

// ErrQuota says that the source has sent more than its quota; nothing of the
// batch is durable: 429 with Retry-After, or gRPC RESOURCE_EXHAUSTED.
var ErrQuota = errors.New("the source is over its quota of events per second")

// Intake takes batches of parsed events. There is one per process; it is safe
// for concurrent use.
type Intake interface {
	// Accept stamps tenant, source, id, observed time and salt, redacts,
	// validates and publishes. A nil error means that every event not among the
	// rejections is durable. sourceType names the folder of the calling source. It
	// owns the events from the call on and keeps them only until it returns.
	Accept(ctx context.Context, src *Source, sourceType string, events []*event.Event) ([]Rejection, error)
	// Clean returns what a source sent without secrets of known forms, and the names
	// of the forms found. It returns the same slice when there are none.
	Clean(src *Source, text []byte) (clean []byte, found []string)
	// Rejected counts records that were refused before they became events.
	Rejected(ctx context.Context, src *Source, reason string, n int)
}
