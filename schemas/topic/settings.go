package topic

import (
	"context"
	"fmt"
	"strings"

	"github.com/segmentio/kafka-go"
)

// Settings compares the settings of the topics with those that [Migrate] gives
// them. It needs the permission to describe configurations. More replicas in sync
// and longer retention than asked for are no problem.
func Settings(ctx context.Context, client *kafka.Client, l Layout) ([]Status, error) {
	want := l.topics()
	req := &kafka.DescribeConfigsRequest{}
	for _, t := range want {
		req.Resources = append(req.Resources, kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: t.Topic})
	}
	res, err := client.DescribeConfigs(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("ask for settings of topics: %w", err)
	}
	got := map[string]map[string]string{}
	for _, r := range res.Resources {
		if r.Error != nil {
			return nil, fmt.Errorf("ask for settings of %s: %w", r.ResourceName, r.Error)
		}
		got[r.ResourceName] = map[string]string{}
		for _, e := range r.ConfigEntries {
			got[r.ResourceName][e.ConfigName] = e.ConfigValue
		}
	}
	var out []Status
	for _, t := range want {
		var wrong []string
		for _, e := range t.ConfigEntries {
			if is := got[t.Topic][e.ConfigName]; !suffices(e.ConfigName, is, e.ConfigValue) {
				wrong = append(wrong, fmt.Sprintf("%s is %s, want %s", e.ConfigName, is, e.ConfigValue))
			}
		}
		out = append(out, Status{Topic: t.Topic, Partitions: t.NumPartitions, Problem: strings.Join(wrong, "; ")})
	}
	return out, nil
}

func suffices(name, is, want string) bool {
	switch name {
	case "retention.ms", "max.message.bytes", "min.insync.replicas":
		var have, least int64
		_, err1 := fmt.Sscan(is, &have)
		_, err2 := fmt.Sscan(want, &least)
		return err1 == nil && err2 == nil && (have >= least || have == -1)
	}
	return is == want
}
