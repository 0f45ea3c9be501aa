package processor_test

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/topic"
)

// sealed gives the pipeline a sealer, which runs until the test ends.
func (p *pipeline) sealed() {
	p.Helper()
	key, err := seal.NewKey("test.example/log", ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		p.Fatal(err)
	}
	s, err := seal.New(seal.Config{ClickHouse: p.admin, Key: key, Interval: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		p.Fatal(err)
	}
	p.sealer = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	p.Cleanup(func() { cancel(); <-done })
}

// ends returns the log's end in each partition.
func (p *pipeline) ends() (ends [partitions]int64) {
	p.Helper()
	for i := range partitions {
		r, err := p.client.ListOffsets(p.Context(), &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{p.Kafka.Topic(topic.Events): {kafka.LastOffsetOf(i)}}})
		if err != nil {
			p.Fatal(err)
		}
		ends[i] = r.Topics[p.Kafka.Topic(topic.Events)][0].LastOffset
	}
	return ends
}

// run lets a processor work until everything is stored.
func (p *pipeline) run() {
	p.Helper()
	stop := p.start()
	p.drain()
	stop()
}

// lostRecords is what log_gaps says of a reason: gaps and records.
func (p *pipeline) lostRecords(reason seal.Reason) (gaps, records int) {
	p.Helper()
	return p.count("SELECT count() FROM log_gaps FINAL WHERE reason = '" + string(reason) + "'"),
		p.count("SELECT sum(lost_to - lost_from) FROM log_gaps FINAL WHERE reason = '" + string(reason) + "'")
}

// Retention that passes the processor is a signed gap with the offsets that are gone.
func TestRetentionOverrun(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	p.sealed()
	s := newSender(p)
	s.send(100)
	p.run()
	stored, read := p.records(), p.ends()
	s.send(400)
	ends := p.ends()

	raw, err := kgo.NewClient(kgo.SeedBrokers(p.Kafka.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	lost, left := 0, 0
	request := kmsg.NewPtrDeleteRecordsRequest()
	request.TimeoutMillis = 10_000
	of := kmsg.NewDeleteRecordsRequestTopic()
	of.Topic = p.Kafka.Topic(topic.Events)
	for i := range partitions {
		part := kmsg.NewDeleteRecordsRequestTopicPartition()
		part.Partition, part.Offset = int32(i), ends[i]-20
		of.Partitions = append(of.Partitions, part)
		lost, left = lost+int(ends[i]-20-read[i]), left+20
	}
	request.Topics = append(request.Topics, of)
	res, err := request.RequestWith(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range res.Topics[0].Partitions {
		if part.ErrorCode != 0 {
			t.Fatalf("delete records: error %d", part.ErrorCode)
		}
	}

	p.run()
	if n := p.records() - stored; n != left {
		t.Errorf("%d records stored after the gap, the log had %d", n, left)
	}
	if gaps, records := p.lostRecords(seal.Overrun); gaps != partitions || records != lost {
		t.Errorf("%d gaps with %d lost records, want %d with %d", gaps, records, partitions, lost)
	}
}

// A topic that was made anew is noticed also when it has grown past the offset
// that was committed; what it holds is stored, in an epoch of its own.
func TestTopicRecreated(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	p.sealed()
	s := newSender(p)
	s.send(100)
	p.run()
	stored := p.records()
	embeddedtest.Eventually(t, time.Minute, "a checkpoint of both partitions", func(context.Context) error {
		if p.count("SELECT uniqExact(partition) FROM checkpoints") < partitions {
			return errBehind
		}
		return nil
	})

	name := p.Kafka.Topic(topic.Events)
	if res, err := p.client.DeleteTopics(t.Context(), &kafka.DeleteTopicsRequest{Topics: []string{name}}); err != nil || res.Errors[name] != nil {
		t.Fatal(err, res)
	}
	embeddedtest.Eventually(t, time.Minute, "the topic is there again", func(ctx context.Context) error {
		_, err := topic.Migrate(ctx, p.client, topic.Layout{Prefix: p.Kafka.Prefix, Partitions: partitions, Replication: 1})
		return err
	})
	newSender(p).send(400)
	p.run()
	if n := p.records() - stored; n != 400 {
		t.Errorf("%d records stored of the new topic's 400", n)
	}
	found := map[seal.Reason]int{}
	for _, r := range []seal.Reason{seal.Changed, seal.Recreated, seal.Unknown, seal.Overrun} {
		found[r], _ = p.lostRecords(r)
	}
	if found[seal.Changed]+found[seal.Unknown] != partitions || found[seal.Overrun]+found[seal.Recreated] != 0 {
		t.Errorf("gaps by reason: %s", cmp.Diff(nil, found))
	}
	if n := p.count("SELECT count() - uniqExact(epoch, partition, offset) FROM records"); n != 0 {
		t.Errorf("%d records twice", n)
	}
}
