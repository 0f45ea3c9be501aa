package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor/deadletter"
	"github.com/custody-audit/custody/schemas/topic"
)

func newDeadLetterReplay(a *app) *cobra.Command {
	var publish bool
	var output *choice
	c := takes(&cobra.Command{
		Use:   "replay [POSITION...]",
		Short: "Put back into custody.events what this version can read",
		Long: `Looks at the letters at the positions, or at all that the flags select, and with --publish puts those that this version
can make an event of back into custody.events: the bytes, the key and the headers they had, and a header that says where
they were. Without --publish it only counts.

A letter that is still no event stays where it is; it would be malformed again. So replace the processors first: replay is for
records that an older one could not read. It may be repeated, and stopped at any time: a record keeps its event id, and what is
stored already is marked as a duplicate and shows once. The malformed row in records stays too; both have the same leaf hash.`,
		Example: "  custody deadletter replay --since 48h --reason schema_version\n  custody deadletter replay --since 48h --reason schema_version --publish\n  custody deadletter replay 0/41 0/42 --publish",
	}, "kafka")
	filter := letterFlags(c, "168h")
	c.Flags().BoolVar(&publish, "publish", false, "really put them back")
	output = outputFlag(c, "table", "json")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		f, err := filter()
		if err != nil {
			return err
		}
		for _, text := range args {
			at, err := deadletter.ParsePosition(text)
			if err != nil {
				return err
			}
			f.At = append(f.At, at)
		}
		if len(args) > 0 && !cmd.Flags().Changed("since") {
			f.Since = time.Time{}
		}
		result, err := a.replay(cmd.Context(), f, publish)
		if err != nil {
			return err
		}
		if output.value == "json" {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(result)
		}
		did := "would be put back; --publish does it"
		if publish {
			did = "put back into custody.events"
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d letters read, %d still no events, %d %s\n", result.Read, result.Unreadable, result.Replayed, did)
		return err
	}
	return c
}

func (a *app) replay(ctx context.Context, f deadletter.Filter, publish bool) (deadletter.Result, error) {
	r, client, err := a.letters(ctx)
	if err != nil || !publish {
		if err != nil {
			return deadletter.Result{}, err
		}
		return r.Replay(ctx, f, nil)
	}
	reach := a.config.Kafka.reach()
	w := &kafka.Writer{
		Addr: client.Addr, Topic: topic.Name(a.config.Kafka.TopicPrefix, topic.Events), Balancer: &kafka.Murmur2Balancer{Consistent: true}, // as the collector
		RequiredAcks: kafka.RequireAll, BatchTimeout: 5 * time.Millisecond, BatchBytes: 900 << 10, Compression: reach.Codec(), Transport: client.Transport,
	}
	result, err := r.Replay(ctx, f, func(ctx context.Context, batch []kafka.Message) error { return w.WriteMessages(ctx, batch...) })
	return result, errors.Join(err, w.Close())
}
