package fetch

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go/protocol"
	api "github.com/segmentio/kafka-go/protocol/fetch"
)

// exchange is a request that is sent and whose response is read by itself.
type exchange struct {
	api.Request
	clientID string
	version  int16
	raw      []byte // the response without size and correlation id
}

var _ protocol.RawExchanger = (*exchange)(nil)

// Required implements [protocol.RawExchanger].
func (x *exchange) Required(versions map[protocol.ApiKey]int16) bool {
	x.version = versions[protocol.Fetch]
	return true
}

// minVersion and maxVersion are those of Fetch that parseResponse reads. kafka-go's
// pool chooses the newest of its own, which ends at 11, that the broker has.
const minVersion, maxVersion = 4, 11

// maxResponse is more than any broker takes from a producer at once.
const maxResponse = 128 << 20

// RawExchange implements [protocol.RawExchanger]: it writes the request and reads
// the response. The pool has set the deadline, and closes the connection after
// an error.
func (x *exchange) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if x.version < minVersion || x.version > maxVersion {
		return nil, fmt.Errorf("fetch version %d is not spoken here: want a broker of Kafka 0.11 or newer", x.version)
	}
	const id = 1 // a connection carries one request at a time
	if err := protocol.WriteRequest(rw, x.version, id, x.clientID, &x.Request); err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	var head [8]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return nil, fmt.Errorf("read the response: %w", err)
	}
	size, got := int32(binary.BigEndian.Uint32(head[:])), binary.BigEndian.Uint32(head[4:])
	if size < 4 || size > maxResponse || got != id {
		return nil, fmt.Errorf("the response is no answer: it has %d bytes and number %d", size, got)
	}
	n := int(size) - 4
	if cap(x.raw) < n {
		x.raw = make([]byte, n+n/8)
	}
	x.raw = x.raw[:n]
	if _, err := io.ReadFull(rw, x.raw); err != nil {
		return nil, fmt.Errorf("read the response: %w", err)
	}
	return x, nil
}

func (r *Reader) exchange(offset int64) *exchange {
	return &exchange{clientID: r.ClientID, raw: r.raw[:0], Request: api.Request{
		ReplicaID: -1, MaxWaitTime: int32(r.Wait.Milliseconds()), MinBytes: 1, MaxBytes: int32(r.MaxBytes),
		SessionID: -1, SessionEpoch: -1, // each request says all
		Topics: []api.RequestTopic{{Topic: r.Topic, Partitions: []api.RequestPartition{{
			Partition: int32(r.Partition), CurrentLeaderEpoch: -1, FetchOffset: offset, LogStartOffset: -1, PartitionMaxBytes: int32(r.MaxBytes),
		}}}},
	}}
}
