// Package topic defines the Kafka topics of the pipeline: names, settings, the
// record key and the record headers.
//
// It guarantees that events of one delegation share a partition, so that their
// order is the order of the log, and that a re-delivered event goes where the
// first one went. It does not keep that promise across a change of the
// partition count: see docs/adr/0004-kafka-key.md.
package topic

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/schemas/event"
)

// The topics.
const (
	Events     = "custody.events"     // the record: canonical events
	DeadLetter = "custody.deadletter" // what no event could be made of: original bytes, reason in the headers
	Findings   = "custody.findings"   // OCSF JSON for a SIEM
)

// Header names of a record. All values are text.
const (
	HeaderContentType   = "content-type"   // "application/json"
	HeaderSchemaVersion = "schema-version" // event.SchemaVersion
	HeaderTenant        = "tenant"
	HeaderSource        = "source"      // source.id
	HeaderKind          = "kind"        // event.Kind
	HeaderTraceparent   = "traceparent" // W3C Trace Context: the event's own trace where it has one

	// Of dead letters only: where the bytes were and why they were refused.
	HeaderReason    = "reason"
	HeaderTopic     = "origin-topic"
	HeaderPartition = "origin-partition"
	HeaderOffset    = "origin-offset"

	// HeaderMessageID is of a message about a finding: the same when it comes again.
	HeaderMessageID = "message-id"

	// HeaderReplayed is of a record that was a dead letter: where it was before, as
	// "custody.events/3/41".
	HeaderReplayed = "replayed-from"
)

// Name returns the topic's name under a prefix, by which several installations
// share one Kafka cluster; "" for none.
func Name(prefix, topic string) string { return prefix + topic }

// Key returns the record key: the tenant and the widest thing the event says it
// belongs to, so that a delegation stays together. Every part of it comes from
// the source, so a re-delivery has the same key.
func Key(e *event.Event) []byte {
	c := &e.Correlation
	group := e.ID
	for _, s := range []string{c.TransactionID, c.TaskID, c.TraceID, c.SessionID, e.Token.Ref, e.Exchange.SubjectTokenRef} {
		if s != "" {
			group = s
			break
		}
	}
	return []byte(e.Tenant + "/" + group)
}

// Message returns the Kafka message of an event, its value being the canonical
// bytes given. spanContext is the collector's own traceparent, used when the
// event has no trace.
func Message(topic string, e *event.Event, canonical []byte, spanContext string) kafka.Message {
	return kafka.Message{
		Topic: topic,
		Key:   Key(e),
		Value: canonical,
		Headers: []kafka.Header{
			{Key: HeaderContentType, Value: []byte("application/json")},
			{Key: HeaderSchemaVersion, Value: []byte(e.SchemaVersion)},
			{Key: HeaderTenant, Value: []byte(e.Tenant)},
			{Key: HeaderSource, Value: []byte(e.Source.ID)},
			{Key: HeaderKind, Value: []byte(e.Kind)},
			{Key: HeaderTraceparent, Value: []byte(Traceparent(e, spanContext))},
		},
	}
}

// Traceparent returns the W3C trace context that travels with the event.
func Traceparent(e *event.Event, otherwise string) string {
	if e.Correlation.TraceID == "" || e.Correlation.SpanID == "" {
		return otherwise
	}
	return "00-" + e.Correlation.TraceID + "-" + e.Correlation.SpanID + "-01"
}

// DeadLetterMessage returns the message that keeps a record no event could be
// made of: its own key, value and headers, and where it was and why.
func DeadLetterMessage(topic string, m *kafka.Message, reason string) kafka.Message {
	headers := append([]kafka.Header(nil), m.Headers...)
	for _, h := range [][2]string{
		{HeaderReason, strings.ToValidUTF8(reason, "\ufffd")},
		{HeaderTopic, m.Topic},
		{HeaderPartition, strconv.Itoa(m.Partition)},
		{HeaderOffset, strconv.FormatInt(m.Offset, 10)},
	} {
		headers = append(headers, kafka.Header{Key: h[0], Value: []byte(h[1])})
	}
	return kafka.Message{Topic: topic, Key: m.Key, Value: m.Value, Headers: headers}
}

// Origin is where the record of a dead letter was, and why it was refused.
type Origin struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Offset    int64  `json:"offset"`
	Reason    string `json:"-"`
}

// String writes the position as HeaderReplayed has it.
func (o Origin) String() string { return fmt.Sprintf("%s/%d/%d", o.Topic, o.Partition, o.Offset) }

// Buried takes apart the headers of a dead letter: what [DeadLetterMessage] said,
// and what the record itself had.
func Buried(headers []kafka.Header) (Origin, []kafka.Header, error) {
	const added = 4
	n := len(headers) - added
	if n < 0 || headers[n].Key != HeaderReason || headers[n+1].Key != HeaderTopic || headers[n+2].Key != HeaderPartition || headers[n+3].Key != HeaderOffset {
		return Origin{}, headers, errors.New("the headers do not end with " + strings.Join([]string{HeaderReason, HeaderTopic, HeaderPartition, HeaderOffset}, ", "))
	}
	partition, err1 := strconv.Atoi(string(headers[n+2].Value))
	offset, err2 := strconv.ParseInt(string(headers[n+3].Value), 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return Origin{}, headers, fmt.Errorf("the headers have no position: %w", err)
	}
	return Origin{string(headers[n+1].Value), partition, offset, string(headers[n].Value)}, headers[:n:n], nil
}

// Header returns the last value of a header, as Kafka clients do; "" for none.
func Header(headers []kafka.Header, name string) string {
	for i := len(headers) - 1; i >= 0; i-- {
		if headers[i].Key == name {
			return string(headers[i].Value)
		}
	}
	return ""
}
