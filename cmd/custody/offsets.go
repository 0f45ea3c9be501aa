package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/segmentio/kafka-go"
	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/schemas/topic"
)

// savedOffsets is how far processors have come, as Kafka keeps it. What they write
// beside an offset says in which tree and at which edge of it they go on: Kafka's own
// tools set an offset without, and then a new epoch begins.
type savedOffsets struct {
	Group      string           `json:"group"`
	Topic      string           `json:"topic"`
	Partitions []savedPartition `json:"partitions"`
}

type savedPartition struct {
	Partition int    `json:"partition"`
	Offset    int64  `json:"offset"`
	Metadata  string `json:"metadata"`
}

func newOffsets(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "offsets",
		Short: "Save and restore how far processors have come in Kafka, beside a backup of ClickHouse",
		Args:  cobra.NoArgs,
	}
	c.AddCommand(newOffsetsSave(a), newOffsetsRestore(a))
	return c
}

func newOffsetsSave(a *app) *cobra.Command {
	return takes(&cobra.Command{
		Use:   "save FILE",
		Short: "Write the offsets of the processors' group to a file",
		Long: `Writes what the processors' group has committed to a file, which belongs to a backup of ClickHouse that is made before they start
again (docs/operate.md). It fails while a processor runs: what it stores meanwhile would be in one and not in the other.`,
		Example: "  custody offsets save --config process.yaml offsets.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			saved := &savedOffsets{Group: a.config.Processor.Group, Topic: topic.Name(a.config.Kafka.TopicPrefix, topic.Events)}
			client, err := a.idleGroup(cmd.Context(), saved.Group)
			if err != nil {
				return err
			}
			if err := saved.fetch(cmd.Context(), client); err != nil {
				return err
			}
			b, err := json.MarshalIndent(saved, "", "  ")
			if err != nil {
				return err
			}
			if err := os.WriteFile(args[0], append(b, '\n'), 0o600); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "group %s has come to %d offsets, now in %s\n", saved.Group, len(saved.Partitions), args[0])
			return err
		},
	}, "kafka", "processor.group")
}

func newOffsetsRestore(a *app) *cobra.Command {
	return takes(&cobra.Command{
		Use:   "restore FILE",
		Short: "Let the processors go on where they were when a backup was made",
		Long: `Commits the offsets of a file of "custody offsets save" for the processors' group. Do it when the backup of ClickHouse that was made
beside it is restored, and before a processor starts: they read again from Kafka what came since, into the same trees. What Kafka
does not have any more is lost. It fails while a processor runs.`,
		Example: "  custody offsets restore --config process.yaml offsets.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := os.ReadFile(filepath.Clean(args[0]))
			if err != nil {
				return err
			}
			saved := &savedOffsets{}
			if err := json.Unmarshal(b, saved); err != nil {
				return fmt.Errorf("read %s: %w", args[0], err)
			}
			if name := topic.Name(a.config.Kafka.TopicPrefix, topic.Events); saved.Topic != name || saved.Group != a.config.Processor.Group || len(saved.Partitions) == 0 {
				return fmt.Errorf("%s has %d offsets of group %q in topic %q, configured are group %q and topic %q", args[0], len(saved.Partitions), saved.Group, saved.Topic, a.config.Processor.Group, name)
			}
			if err := saved.check(); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			client, err := a.idleGroup(cmd.Context(), saved.Group)
			if err != nil {
				return err
			}
			if err := saved.commit(cmd.Context(), client); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "group %s goes on at %d offsets of %s\n", saved.Group, len(saved.Partitions), args[0])
			return err
		},
	}, "kafka", "processor.group")
}

// idleGroup connects to Kafka, where nobody is in the group.
func (a *app) idleGroup(ctx context.Context, group string) (*kafka.Client, error) {
	client, err := a.config.Kafka.client(ctx)
	if err != nil {
		return nil, err
	}
	res, err := client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return nil, fmt.Errorf("describe group %s: %w", group, err)
	}
	for _, g := range res.Groups {
		if g.Error != nil && !errors.Is(g.Error, kafka.GroupIdNotFound) {
			return nil, fmt.Errorf("describe group %s: %w", group, g.Error)
		}
		if len(g.Members) > 0 {
			return nil, fmt.Errorf("%d processors are in group %s: stop them first", len(g.Members), group)
		}
	}
	return client, nil
}

// fetch reads the offsets of all partitions that have one.
func (s *savedOffsets) fetch(ctx context.Context, client *kafka.Client) error {
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{s.Topic}})
	if err != nil {
		return fmt.Errorf("look for topic %s: %w", s.Topic, err)
	}
	var partitions []int
	for _, t := range meta.Topics {
		for _, p := range t.Partitions {
			partitions = append(partitions, p.ID)
		}
	}
	res, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: s.Group, Topics: map[string][]int{s.Topic: partitions}})
	if err == nil {
		err = res.Error
	}
	if err != nil && !errors.Is(err, kafka.GroupIdNotFound) {
		return fmt.Errorf("fetch the offsets of group %s: %w", s.Group, err)
	}
	for _, p := range res.Topics[s.Topic] {
		if p.Error != nil && !errors.Is(p.Error, kafka.GroupIdNotFound) {
			return fmt.Errorf("fetch the offset of partition %d: %w", p.Partition, p.Error)
		}
		if p.CommittedOffset >= 0 {
			s.Partitions = append(s.Partitions, savedPartition{p.Partition, p.CommittedOffset, p.Metadata})
		}
	}
	if len(s.Partitions) == 0 {
		return fmt.Errorf("group %s has committed nothing in %s: there is nothing to save", s.Group, s.Topic)
	}
	return nil
}

// check finds what "custody offsets save" did not write: a file that somebody changed.
func (s *savedOffsets) check() error {
	seen := map[int]bool{}
	for i, p := range s.Partitions {
		switch {
		case p.Partition < 0 || seen[p.Partition]:
			return fmt.Errorf("partitions[%d].partition: %d is negative or there twice", i, p.Partition)
		case p.Offset < 0:
			return fmt.Errorf("partitions[%d].offset: %d is negative", i, p.Offset)
		}
		seen[p.Partition] = true
	}
	return nil
}

// commit commits them as nobody's member, which Kafka takes of an empty group only.
func (s *savedOffsets) commit(ctx context.Context, client *kafka.Client) error {
	var commits []kafka.OffsetCommit
	for _, p := range s.Partitions {
		commits = append(commits, kafka.OffsetCommit{Partition: p.Partition, Offset: p.Offset, Metadata: p.Metadata})
	}
	res, err := client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{GroupID: s.Group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{s.Topic: commits}})
	if err != nil {
		return fmt.Errorf("commit the offsets of group %s: %w", s.Group, err)
	}
	var errs []error
	for _, p := range res.Topics[s.Topic] {
		if p.Error != nil {
			errs = append(errs, fmt.Errorf("commit the offset of partition %d: %w", p.Partition, p.Error))
		}
	}
	return errors.Join(errs...)
}
