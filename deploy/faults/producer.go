package faults

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/workload"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/topic"
)

// producer sends events through the breakable link and remembers what the broker
// acknowledged. It sends again until it is acknowledged, as the collector does.
type producer struct {
	client     *kafka.Client
	transport  *kafka.Transport
	partitions int
	rate       int
	w          workload.Workload
	rng        *rand.Rand
	made       uint64
	earlier    []*event.Event // some that were sent, to be sent again or forged
	total      atomic.Int64

	mu           sync.Mutex
	acknowledged []acknowledgement // guarded by mu
}

// acknowledgement says that the broker has a record.
type acknowledgement struct {
	partition int
	offset    int64
	sum       [32]byte // SHA-256 of the value
}

func newProducer(e *estate, cfg *Config) *producer {
	transport := &kafka.Transport{ClientID: "custody-faults", DialTimeout: 2 * time.Second}
	return &producer{
		client: &kafka.Client{Addr: kafka.TCP(e.kafka.addr()), Timeout: 3 * time.Second, Transport: transport}, transport: transport,
		partitions: cfg.Partitions, rate: cfg.Rate, rng: rand.New(rand.NewPCG(cfg.Seed, 2)),
		w: workload.Workload{Seed: cfg.Seed, Base: time.Now(), Step: time.Second / time.Duration(cfg.Rate)},
	}
}

// count is how many records are acknowledged.
func (p *producer) count() int { return int(p.total.Load()) }

// maxBatch is how many events are sent at a time, at most.
const maxBatch = 4000

// run sends batches of random size at the mean rate until ctx is done; what it
// has begun to send is acknowledged then.
func (p *producer) run(ctx context.Context) error {
	began := time.Now()
	for ctx.Err() == nil {
		due := uint64(time.Since(began).Seconds() * float64(p.rate))
		n := uint64(1+p.rng.IntN(min(2*p.rate, maxBatch)/workload.PerTask)) * workload.PerTask
		if due < p.made+n {
			if !wait(ctx, time.Duration(p.made+n-due)*time.Second/time.Duration(p.rate)) {
				return nil
			}
		}
		if err := p.send(p.batch(n)); err != nil {
			return err
		}
	}
	return nil
}

// batch makes the next n events, and adds a few that a collector would not send:
// earlier ones again, earlier ones with other content, and what is no event.
func (p *producer) batch(n uint64) []kafka.Message {
	events := p.w.Batch(nil, p.made, p.made+n)
	p.made += n
	messages := make([]kafka.Message, 0, len(events)+8)
	for _, e := range events {
		messages = append(messages, topic.Message(eventsTopic, e, e.Canonical(), ""))
	}
	for range len(p.earlier) / 100 {
		e := *p.earlier[p.rng.IntN(len(p.earlier))]
		switch p.rng.IntN(8) {
		case 0:
			e.Outcome = event.Error
		case 1:
			messages = append(messages, kafka.Message{Topic: eventsTopic, Key: topic.Key(&e), Value: fmt.Appendf(nil, `{"kind":"nonsense","number":%d}`, p.made)})
			continue
		case 2:
			e.Salt = event.NewSalt() // as a collector that takes it once more
		}
		messages = append(messages, topic.Message(eventsTopic, &e, e.Canonical(), ""))
	}
	p.remember(events)
	return messages
}

// remember keeps a thousand of all events that were sent.
func (p *producer) remember(events []*event.Event) {
	const kept = 1000
	for _, e := range events {
		if p.rng.IntN(20) != 0 {
			continue
		}
		if len(p.earlier) < kept {
			p.earlier = append(p.earlier, e)
		} else {
			p.earlier[p.rng.IntN(kept)] = e
		}
	}
}

// send returns when every message is acknowledged.
func (p *producer) send(messages []kafka.Message) error {
	balancer := kafka.Murmur2Balancer{Consistent: true}
	numbers := make([]int, p.partitions)
	for i := range numbers {
		numbers[i] = i
	}
	of := make([][]kafka.Message, p.partitions)
	for _, m := range messages {
		i := balancer.Balance(m, numbers...)
		of[i] = append(of[i], m)
	}
	var all sync.WaitGroup
	errs := make([]error, p.partitions)
	for i, messages := range of {
		all.Go(func() {
			for len(messages) > 0 && errs[i] == nil {
				n := min(len(messages), 500)
				errs[i] = p.persist(i, messages[:n])
				messages = messages[n:]
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// persist sends until it is acknowledged: what was without an answer may be in
// the log already, and is then there twice.
func (p *producer) persist(partition int, messages []kafka.Message) error {
	until := time.Now().Add(patience)
	for {
		records := make([]kafka.Record, len(messages))
		for i, m := range messages {
			records[i] = kafka.Record{Key: kafka.NewBytes(m.Key), Value: kafka.NewBytes(m.Value), Headers: m.Headers}
		}
		res, err := p.client.Produce(context.Background(), &kafka.ProduceRequest{Topic: eventsTopic, Partition: partition,
			RequiredAcks: kafka.RequireAll, Compression: kafka.Lz4, Records: kafka.NewRecordReader(records...)})
		if err == nil {
			err = res.Error
		}
		if err == nil {
			p.note(partition, res.BaseOffset, messages)
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("the broker acknowledged nothing for %s: %w", patience, err)
		}
		p.transport.CloseIdleConnections()
		time.Sleep(50 * time.Millisecond)
	}
}

func (p *producer) note(partition int, base int64, messages []kafka.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, m := range messages {
		p.acknowledged = append(p.acknowledged, acknowledgement{partition, base + int64(i), sha256.Sum256(m.Value)})
	}
	p.total.Add(int64(len(messages)))
}
