// Package fetch reads a partition's log as the processor needs it: the records
// of a response lie one after the other in one buffer that is used again, and
// none costs memory of its own.
//
// Connections are kafka-go's: its pool finds the partition's leader, dials,
// negotiates versions, authenticates, bounds a request by the deadline of its
// context, and writes the request. What comes back is read here: a response of
// Fetch 4 to 11, of it record batches of format 2 in any compression, each held
// against its CRC-32C. Nothing is left out or put in order: whether offsets
// follow one another is for the caller to see. Records of aborted transactions
// and the markers of transactions are given like others, because they have
// offsets, and a leaf each in the partition's tree.
package fetch

import (
	"context"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
)

// Reader reads one partition. It is not safe for concurrent use.
type Reader struct {
	// Transport is the pool of connections, Addr the brokers to ask first. Required.
	Transport kafka.RoundTripper
	Addr      net.Addr
	ClientID  string
	Topic     string
	Partition int
	// MaxBytes bounds a response, but for a first batch that is larger: what Kafka
	// takes from producers bounds that. Required.
	MaxBytes int
	// Wait is how long Kafka may wait for the first byte.
	Wait time.Duration

	raw      []byte // the last response
	throttle time.Duration
}

// patience is how long a response may take beyond what Kafka was told to wait.
const patience = 10 * time.Second

// Read fills c with records from offset on and before limit, as many as one
// response has; c stays empty when there are none yet. Kafka's own errors are
// those of kafka-go. What was read before an error is no error: it shows when
// it is asked for.
func (r *Reader) Read(ctx context.Context, c *Chunk, offset, limit int64) error {
	c.reset(decodedPerByte * r.MaxBytes)
	ctx, cancel := context.WithTimeout(ctx, r.Wait+patience+r.throttle)
	defer cancel()
	x := r.exchange(offset)
	if _, err := r.Transport.RoundTrip(ctx, r.Addr, x); err != nil {
		return err // x may still be read into: it is not ours any more
	}
	r.raw = x.raw
	if cap(r.raw) > 4*r.MaxBytes {
		r.raw = nil // a large batch passed
	}
	p, err := parseResponse(x.raw, x.version, r.Topic, r.Partition)
	r.throttle = p.throttle
	if err != nil {
		return err
	}
	c.High = p.high
	return c.decode(p.batches, offset, limit)
}
