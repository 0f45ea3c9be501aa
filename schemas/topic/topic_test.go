package topic_test

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/topic"
)

// Events of one delegation share a key, whoever reports them, and a delivery again
// has the key of the first; tenants never share one.
func TestKey(t *testing.T) {
	byTrace := map[string]map[string]bool{}
	for _, e := range story.Events() {
		key := string(topic.Key(e))
		if !strings.HasPrefix(key, e.Tenant+"/") {
			t.Errorf("%s: key %q is not of tenant %s", e.Source.EventID, key, e.Tenant)
		}
		if again := string(topic.Key(e)); again != key {
			t.Errorf("%s: key %q, then %q", e.Source.EventID, key, again)
		}
		if c := &e.Correlation; c.TraceID != "" && c.TransactionID == "" && c.TaskID == "" {
			if byTrace[c.TraceID] == nil {
				byTrace[c.TraceID] = map[string]bool{}
			}
			byTrace[c.TraceID][key] = true
		}
	}
	for trace, keys := range byTrace {
		if len(keys) != 1 {
			t.Errorf("trace %s has keys %v", trace, slices.Collect(maps.Keys(keys)))
		}
	}
	e := &event.Event{Tenant: "acme", ID: "id"}
	// From the narrowest to the widest: each set field takes the key over.
	for _, step := range []struct {
		set  func()
		want string
	}{
		{func() {}, "acme/id"},
		{func() { e.Exchange.SubjectTokenRef = "subject" }, "acme/subject"},
		{func() { e.Token.Ref = "token" }, "acme/token"},
		{func() { e.Correlation.SessionID = "session" }, "acme/session"},
		{func() { e.Correlation.TraceID = "trace" }, "acme/trace"},
		{func() { e.Correlation.TaskID = "task" }, "acme/task"},
		{func() { e.Correlation.TransactionID = "transaction" }, "acme/transaction"},
	} {
		step.set()
		if got := string(topic.Key(e)); got != step.want {
			t.Errorf("key %q, want %q", got, step.want)
		}
	}
}

func TestMessage(t *testing.T) {
	e := story.Named("deploy-call")
	raw := e.Canonical()
	m := topic.Message("p.custody.events", e, raw, "")
	if m.Topic != "p.custody.events" || !bytes.Equal(m.Value, raw) || !bytes.Equal(m.Key, topic.Key(e)) {
		t.Errorf("message %+v", m)
	}
	want := map[string]string{
		topic.HeaderContentType: "application/json", topic.HeaderSchemaVersion: e.SchemaVersion, topic.HeaderTenant: e.Tenant, topic.HeaderSource: e.Source.ID,
		topic.HeaderKind: string(e.Kind), topic.HeaderTraceparent: "00-" + e.Correlation.TraceID + "-" + e.Correlation.SpanID + "-01",
	}
	if diff := cmp.Diff(want, headers(&m)); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	e.Correlation.SpanID = ""
	if got := topic.Traceparent(e, "00-collector"); got != "00-collector" {
		t.Errorf("traceparent %q of an event without a span", got)
	}
}

func headers(m *kafka.Message) map[string]string {
	out := map[string]string{}
	for _, h := range m.Headers {
		out[h.Key] = string(h.Value)
	}
	return out
}

// A dead letter keeps all that came, and says where it was and why.
func TestDeadLetterMessage(t *testing.T) {
	came := kafka.Message{
		Topic: "custody.events", Partition: 3, Offset: 41, Key: []byte{0xff}, Value: []byte("{\x00\xfe"),
		Headers: []kafka.Header{{Key: "tenant", Value: []byte("acme")}, {Key: topic.HeaderReason, Value: []byte("a lie of the sender")}},
	}
	m := topic.DeadLetterMessage("custody.deadletter", &came, "bad \xff byte")
	if m.Topic != "custody.deadletter" || !bytes.Equal(m.Key, came.Key) || !bytes.Equal(m.Value, came.Value) || len(came.Headers) != 2 {
		t.Errorf("message %+v", m)
	}
	for name, want := range map[string]string{
		"tenant": "acme", topic.HeaderReason: "bad \ufffd byte", topic.HeaderTopic: "custody.events", topic.HeaderPartition: "3", topic.HeaderOffset: "41", "none": "",
	} {
		if got := topic.Header(m.Headers, name); got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
	origin, headers, err := topic.Buried(m.Headers)
	if err != nil || origin.String() != "custody.events/3/41" || origin.Reason != "bad \ufffd byte" || !cmp.Equal(headers, came.Headers) {
		t.Errorf("taken apart: %+v, %v, %v", origin, headers, err)
	}
	for what, headers := range map[string][]kafka.Header{"none": nil, "of the sender only": came.Headers, "one is missing": m.Headers[:5], "another order": append(m.Headers[3:6:6], m.Headers[2])} {
		if origin, _, err := topic.Buried(headers); err == nil {
			t.Errorf("headers %s: %+v", what, origin)
		}
	}
}

// Migrate creates what is missing with the settings that the pipeline relies on,
// and changes nothing that is there.
func TestMigrate(t *testing.T) {
	k := embeddedtest.StartKafka(t, 3)
	client := k.Client()
	layout := topic.Layout{Prefix: k.Prefix, Partitions: 3, Replication: 1}
	sound := []topic.Status{{Topic: k.Topic(topic.Events), Partitions: 3}, {Topic: k.Topic(topic.DeadLetter), Partitions: 1}, {Topic: k.Topic(topic.Findings), Partitions: 1}}
	for range 2 {
		status, err := topic.Migrate(t.Context(), client, layout)
		if diff := cmp.Diff(sound, status); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	got := settings(t, client, k.Topic(topic.Events))
	for name, want := range map[string]string{
		"cleanup.policy": "delete", "max.message.bytes": "1048576", "message.timestamp.type": "LogAppendTime", "min.insync.replicas": "1", "retention.ms": "604800000",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	layout.Partitions = 5
	status, err := topic.Migrate(t.Context(), client, layout)
	if err != nil || status[0].Partitions != 3 || !strings.Contains(status[0].Problem, "has 3 partitions, configured are 5") {
		t.Errorf("more partitions: %+v, %v", status, err)
	}
	layout.Prefix += "other."
	if status, err = topic.Check(t.Context(), k.Client(), layout); err != nil {
		t.Fatal(err)
	}
	for _, s := range status {
		if s.Partitions != 0 || !strings.Contains(s.Problem, "missing") {
			t.Errorf("a topic that is not there: %+v", s)
		}
	}
}

func settings(t *testing.T, client *kafka.Client, name string) map[string]string {
	t.Helper()
	res, err := client.DescribeConfigs(t.Context(), &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: name}}})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, r := range res.Resources {
		for _, e := range r.ConfigEntries {
			out[e.ConfigName] = e.ConfigValue
		}
	}
	return out
}

func TestMigrateErrors(t *testing.T) {
	nowhere := &kafka.Client{Addr: kafka.TCP("127.0.0.1:1"), Timeout: 2 * time.Second}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, l := range map[string]topic.Layout{"no partitions": {Replication: 1}, "no replica": {Partitions: 1}, "no broker": {Partitions: 1, Replication: 1}} {
		if _, err := topic.Migrate(ctx, nowhere, l); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	k := embeddedtest.StartKafka(t, 1)
	l := topic.Layout{Prefix: k.Prefix + "wide.", Partitions: 1, Replication: 3}
	if _, err := topic.Migrate(ctx, k.Client(), l); err == nil || !strings.Contains(err.Error(), "wide.custody.") {
		t.Errorf("more replicas than brokers: %v", err)
	}
}
