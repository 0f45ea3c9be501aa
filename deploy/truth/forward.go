package truth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/schemas/event"
)

// Forward carries what sources reported from one topic to another, and not all
// of it as it came. The zero shares change nothing.
type Forward struct {
	Client   *kafka.Client
	From, To string
	Seed     uint64
	// Withhold, Delay and Reorder are shares of the events, 0 to 1: those that
	// never come, those that come after all others, and those of the rest that come
	// at another place.
	Withhold, Delay, Reorder float64
}

// Validate reports all problems at once.
func (f *Forward) Validate() error {
	var errs []error
	for name, share := range map[string]float64{"withhold": f.Withhold, "delay": f.Delay, "reorder": f.Reorder} {
		if share < 0 || share > 1 {
			errs = append(errs, fmt.Errorf("%s %g: want a share from 0 to 1", name, share))
		}
	}
	return errors.Join(errs...)
}

// Plan is what happens to the events of a topic.
type Plan struct {
	InTime, Late, Withheld []Record
	Reordered              int
}

// Record is one of Kafka's with the event in it.
type Record struct {
	partition int
	kafka.Record
	value []byte
	event *event.Event
}

// Plan reads the topic from its beginning to its present end and draws each
// event's lot. The same seed draws the same lots for the same happenings, whatever
// their times and tokens are this time.
func (f *Forward) Plan(ctx context.Context) (*Plan, error) {
	records, err := f.read(ctx)
	if err != nil {
		return nil, err
	}
	lots := slices.Clone(records)
	slices.SortStableFunc(lots, func(a, b Record) int { return cmp.Compare(happening(a.event), happening(b.event)) })
	rng := rand.New(rand.NewPCG(f.Seed, 1))
	p, place := &Plan{}, map[*event.Event]float64{}
	late, withheld := map[*event.Event]bool{}, map[*event.Event]bool{}
	for i := range lots {
		lot, moves, where := rng.Float64(), rng.Float64(), rng.Float64()
		switch e := lots[i].event; {
		case lot < f.Withhold:
			withheld[e] = true
		case lot < f.Withhold+f.Delay:
			late[e] = true
		case moves < f.Reorder:
			place[e] = where * float64(len(records))
			p.Reordered++
		}
	}
	for i, r := range records {
		if _, moved := place[r.event]; !moved {
			place[r.event] = float64(i)
		}
		switch {
		case withheld[r.event]:
			p.Withheld = append(p.Withheld, r)
		case late[r.event]:
			p.Late = append(p.Late, r)
		default:
			p.InTime = append(p.InTime, r)
		}
	}
	slices.SortStableFunc(p.InTime, func(a, b Record) int { return cmp.Compare(place[a.event], place[b.event]) })
	return p, nil
}

// happening names an event by what does not differ between two runs of a seed.
func happening(e *event.Event) string {
	c := e.Correlation
	return strings.Join([]string{c.TraceID, e.Source.ID, string(e.Kind), e.Type, e.Server.ID, e.Tool.Name, c.JSONRPCID, e.Actor.Sub, string(e.Outcome)}, "\x00")
}

func (f *Forward) read(ctx context.Context) ([]Record, error) {
	meta, err := f.Client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{f.From}})
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", f.From, err)
	}
	var out []Record
	for _, p := range meta.Topics[0].Partitions {
		if out, err = f.readPartition(ctx, p.ID, out); err != nil {
			return nil, fmt.Errorf("read partition %d of %s: %w", p.ID, f.From, err)
		}
	}
	slices.SortStableFunc(out, func(a, b Record) int { return a.Time.Compare(b.Time) })
	return out, nil
}

func (f *Forward) readPartition(ctx context.Context, partition int, out []Record) ([]Record, error) {
	ends, err := f.Client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{f.From: {kafka.LastOffsetOf(partition)}}})
	if err != nil {
		return nil, err
	}
	end := ends.Topics[f.From][0].LastOffset
	for offset := int64(0); offset < end; {
		res, err := f.Client.Fetch(ctx, &kafka.FetchRequest{Topic: f.From, Partition: partition, Offset: offset, MinBytes: 1, MaxBytes: 8 << 20, MaxWait: 500e6})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			return nil, err
		}
		for {
			r, err := res.Records.ReadRecord()
			if err != nil {
				break // the end of what was fetched; the loop asks for more
			}
			value, err := kafka.ReadAll(r.Value)
			if err != nil {
				return nil, err
			}
			key, err := kafka.ReadAll(r.Key)
			if err != nil {
				return nil, err
			}
			e, _, err := event.DecodeLenient(value)
			if err != nil {
				return nil, fmt.Errorf("offset %d: %w", r.Offset, err)
			}
			offset = r.Offset + 1
			r.Key = kafka.NewBytes(key)
			out = append(out, Record{partition, *r, value, e})
		}
	}
	return out, nil
}

// perRequest is how many records go to Kafka at a time: few, so that the order of
// the plan is the order of the log over all partitions.
const perRequest = 50

// Send publishes records in order.
func (f *Forward) Send(ctx context.Context, records []Record) error {
	for chunk := range slices.Chunk(records, perRequest) {
		byPartition := map[int][]kafka.Record{}
		for _, r := range chunk {
			byPartition[r.partition] = append(byPartition[r.partition], kafka.Record{Key: r.Key, Value: kafka.NewBytes(r.value), Headers: r.Headers})
		}
		for p, batch := range byPartition {
			res, err := f.Client.Produce(ctx, &kafka.ProduceRequest{Topic: f.To, Partition: p, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(batch...)})
			if err == nil {
				err = res.Error
			}
			if err != nil {
				return fmt.Errorf("publish to %s: %w", f.To, err)
			}
		}
	}
	return nil
}
