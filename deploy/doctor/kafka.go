package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/topic"
)

// Kafka looks at the brokers, and at the topics if one answers. group is the
// consumer group that shall be asked about; empty is none.
func Kafka(reach dial.Kafka, layout topic.Layout, group string) Check {
	return func(ctx context.Context) []Finding {
		if len(reach.Brokers) == 0 {
			return []Finding{failed("kafka.broker", "kafka.brokers is not set", "name the bootstrap addresses, host:port")}
		}
		var out []Finding
		answers := false
		for _, broker := range reach.Brokers {
			one := reach
			one.Brokers = []string{broker}
			if err := one.Check(ctx, "custody-doctor"); err != nil {
				out = append(out, failed("kafka.broker", err.Error(), kafkaNext(err, broker)))
				continue
			}
			answers = true
			out = append(out, ok("kafka.broker", broker+" answers"))
		}
		if !answers {
			return append(out, skipped("kafka.topics", "no broker answers", "mend kafka.broker first"))
		}
		client := reach.Client("custody-doctor")
		out = append(out, apis(ctx, client))
		out = append(out, topics(ctx, client, layout)...)
		if group != "" {
			out = append(out, consumer(ctx, client, layout, group)...)
		}
		return out
	}
}

func kafkaNext(err error, broker string) string {
	if errors.Is(err, dial.ErrRefused) {
		return "set it right in the configuration; the broker was reached"
	}
	return fmt.Sprintf("start the broker, or correct kafka.brokers; nothing else may stand between here and %s", broker)
}

// wanted are the versions that the services cannot do without: transactions aside,
// those of Kafka 2.1 on.
var wanted = map[string]int{"Fetch": 10, "Produce": 7, "OffsetCommit": 2, "ListOffsets": 1}

func apis(ctx context.Context, client *kafka.Client) Finding {
	res, err := client.ApiVersions(ctx, &kafka.ApiVersionsRequest{})
	if err != nil {
		return failed("kafka.version", err.Error(), "see the broker's log")
	}
	var old []string
	for _, k := range res.ApiKeys {
		if least, named := wanted[k.ApiName]; named && k.MaxVersion < least {
			old = append(old, fmt.Sprintf("%s up to %d, want %d", k.ApiName, k.MaxVersion, least))
		}
	}
	if len(old) > 0 {
		return failed("kafka.version", "the broker is too old: "+strings.Join(old, ", "), "use Kafka 2.1 or newer; 4.x is tested")
	}
	return ok("kafka.version", fmt.Sprintf("speaks the %d requests that are needed", len(wanted)))
}

func topics(ctx context.Context, client *kafka.Client, layout topic.Layout) []Finding {
	status, err := topic.Check(ctx, client, layout)
	if err != nil {
		return []Finding{failed("kafka.topics", err.Error(), "see the broker's log")}
	}
	var out []Finding
	for _, s := range status {
		switch {
		case s.Partitions > 0 && s.Problem != "":
			out = append(out, failed("kafka.topics", s.Topic+": "+s.Problem, "set kafka.partitions to what the topic has"))
		case s.Problem != "":
			out = append(out, failed("kafka.topics", s.Topic+" is "+s.Problem, "custody schema migrate"))
		}
	}
	if len(out) > 0 {
		return out
	}
	out = append(out, ok("kafka.topics", fmt.Sprintf("%d topics, %s with %d partitions", len(status), status[0].Topic, status[0].Partitions)))
	settings, err := topic.Settings(ctx, client, layout)
	if err != nil {
		return append(out, skipped("kafka.settings", err.Error(), "allow this user to describe the topics' configurations, or look as another"))
	}
	wrong := 0
	for _, s := range settings {
		if s.Problem != "" {
			wrong++
			out = append(out, failed("kafka.settings", s.Topic+": "+s.Problem, "kafka-configs.sh --alter --entity-type topics --entity-name "+s.Topic+" --add-config NAME=VALUE"))
		}
	}
	if wrong == 0 {
		out = append(out, ok("kafka.settings", "retention, sizes, clock and replicas in sync are as wanted"))
	}
	return out
}

// consumer tells how far a group is behind, which also asks whether we may.
func consumer(ctx context.Context, client *kafka.Client, layout topic.Layout, group string) []Finding {
	name := topic.Name(layout.Prefix, topic.Events)
	partitions, ends := []int{}, []kafka.OffsetRequest{}
	for p := range layout.Partitions {
		partitions, ends = append(partitions, p), append(ends, kafka.LastOffsetOf(p))
	}
	committed, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{name: partitions}})
	if err == nil {
		err = committed.Error
	}
	if errors.Is(err, kafka.GroupIdNotFound) {
		return []Finding{ok("kafka.group", fmt.Sprintf("group %s has stored nothing yet", group))}
	}
	if err != nil {
		return []Finding{failed("kafka.group", fmt.Sprintf("group %s: %v", group, err), "allow this user to read the group (READ on GROUP "+group+") and the topic")}
	}
	last, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{name: ends}})
	if err != nil {
		return []Finding{failed("kafka.group", err.Error(), "allow this user to read "+name)}
	}
	end := map[int]int64{}
	for _, p := range last.Topics[name] {
		end[p.Partition] = p.LastOffset
	}
	var behind int64
	for _, p := range committed.Topics[name] {
		behind += end[p.Partition] - max(p.CommittedOffset, 0)
	}
	return []Finding{ok("kafka.group", fmt.Sprintf("group %s is %d records behind", group, behind))}
}
