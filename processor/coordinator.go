package processor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/offsetcommit"
)

// coordinator is the broker that keeps the group's offsets. kafka-go asks who
// that is before each commit, which doubles what a commit waits for; it changes
// rarely, and a broker that is not it any more says so.
type coordinator struct {
	client *kafka.Client
	known  atomic.Int32 // the broker's id plus one; 0: not known
}

// commit writes the offset of one partition. It has no deadline of its own: what was given
// up might be written later, over what was committed after it.
func (c *coordinator) commit(ctx context.Context, r offsetcommit.Request) error {
	broker, err := c.find(ctx, r.GroupID)
	if err != nil {
		return err
	}
	res, err := c.client.Transport.RoundTrip(ctx, c.client.Addr, &commitRequest{Request: r, broker: broker})
	if err == nil {
		err = refusal(res.(*offsetcommit.Response))
	}
	if err != nil {
		c.known.Store(0) // whatever it was: to ask once more costs nothing then
	}
	return err
}

func (c *coordinator) find(ctx context.Context, group string) (int32, error) {
	if known := c.known.Load(); known > 0 {
		return known - 1, nil
	}
	res, err := c.client.FindCoordinator(ctx, &kafka.FindCoordinatorRequest{Key: group, KeyType: kafka.CoordinatorKeyTypeConsumer})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return 0, fmt.Errorf("find the group's coordinator: %w", err)
	}
	broker := int32(res.Coordinator.NodeID)
	c.known.Store(broker + 1)
	return broker, nil
}

func refusal(r *offsetcommit.Response) error {
	if len(r.Topics) == 0 || len(r.Topics[0].Partitions) == 0 {
		return errors.New("kafka left out the partition")
	}
	if code := r.Topics[0].Partitions[0].ErrorCode; code != 0 {
		return kafka.Error(code)
	}
	return nil
}

// commitRequest is a commit that goes to a broker of which it is known that it
// is the coordinator.
type commitRequest struct {
	offsetcommit.Request
	broker  int32
	version int16
}

// Broker implements [protocol.BrokerMessage], which kafka-go looks at before it looks for a group.
func (r *commitRequest) Broker(c protocol.Cluster) (protocol.Broker, error) {
	b, found := c.Brokers[r.broker]
	if !found {
		return b, kafka.GroupCoordinatorNotAvailable
	}
	return b, nil
}

// Required implements [protocol.RawExchanger].
func (r *commitRequest) Required(versions map[protocol.ApiKey]int16) bool {
	r.version = versions[protocol.OffsetCommit]
	return true
}

// RawExchange implements [protocol.RawExchanger]: kafka-go's encoding takes only its own type.
func (r *commitRequest) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	return protocol.RoundTrip(rw, r.version, 1, clientID, &r.Request)
}
