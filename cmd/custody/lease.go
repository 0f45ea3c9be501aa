package main

import (
	"context"
	"fmt"
	"time"

	"github.com/custody-audit/custody/processor/lease"
	"github.com/custody-audit/custody/schemas/topic"
)

// lease is shared by the processes of this installation that do the same; nil
// without Kafka: then each of them works.
func (a *app) lease(ctx context.Context, what string, tel *telemetry) (*lease.Lease, error) {
	c := &a.config.Kafka
	if len(c.Brokers) == 0 {
		return nil, nil
	}
	client, err := c.client(ctx)
	if err != nil {
		return nil, err
	}
	findings := topic.Name(c.TopicPrefix, topic.Findings)
	asking, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	status, err := topic.Check(asking, client, c.layout())
	for _, s := range status { // none while Kafka is away, which the lease waits for
		if s.Topic == findings && s.Partitions == 0 {
			return nil, fmt.Errorf("topic %s keeps the lease of those who %s: %s", findings, what, s.Problem)
		}
	}
	if err != nil {
		a.logger.Warn("kafka does not answer yet", "error", err)
	}
	return lease.New(lease.Config{
		Kafka: c.reach(), Topic: findings, Group: topic.Name(c.TopicPrefix, "custody-"+what), Logger: a.logger, Meter: tel.meter("lease"),
	})
}
