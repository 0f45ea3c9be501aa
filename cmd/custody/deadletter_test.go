package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/topic"
)

// A record that is no event can be looked at without harm to the terminal; one
// that an older processor could not read is put back, and shows once however
// often that is done.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	servers := startServers(t)
	admin := servers.flags(t, embedded.Admin)
	ask(t, append([]string{"schema", "migrate"}, admin...)...)
	start(t, "consumes as group", append([]string{"process", "--processor-session-timeout", "6s", "--telemetry-address", ""}, servers.flags(t, embedded.Writer)...)...)
	brokers := []string{"--kafka-brokers", servers.broker.Addr()}
	write := func(m kafka.Message) {
		t.Helper()
		w := &kafka.Writer{Addr: kafka.TCP(servers.broker.Addr()), RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond, Transport: &kafka.Transport{}}
		defer w.Close()
		if err := w.WriteMessages(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	evil := "{\"kind\": \x1b]0;owned\x07\u202e"
	write(kafka.Message{Topic: topic.Events, Key: []byte("k\x1b[2J"), Value: []byte(evil), Headers: []kafka.Header{
		{Key: topic.HeaderTenant, Value: []byte("acme\x1b[2J\nforged row")}, {Key: topic.HeaderSource, Value: []byte("acme-sts")}}})
	var page letterPage
	eventually(t, time.Minute, "the processor buries it", func(context.Context) bool {
		if err := json.Unmarshal([]byte(ask(t, append([]string{"deadletter", "list", "--output", "json"}, brokers...)...)), &page); err != nil {
			t.Fatal(err)
		}
		return page.Matched == 1
	})
	list := ask(t, append([]string{"deadletter", "list"}, brokers...)...)
	shown := ask(t, append([]string{"deadletter", "show", "0/0"}, brokers...)...)
	for what, text := range map[string]string{"list": list, "show": shown, "hex": ask(t, append([]string{"deadletter", "show", "0/0", "--output", "hex"}, brokers...)...)} {
		if strings.ContainsAny(text, "\x1b\x07\u202e") {
			t.Errorf("%s has what a terminal obeys: %q", what, text)
		}
	}
	if strings.Count(list, "\n") != 2 || !strings.Contains(list, `acme\u001b[2J\u000aforged row`) || !strings.Contains(list, "custody.events/") {
		t.Errorf("list:\n%s", list)
	}
	if !strings.Contains(shown, `{"kind": \u001b]0;owned\u0007\u202e`) || !strings.Contains(shown, "no: not JSON at byte 9") || !strings.Contains(shown, "header tenant") {
		t.Errorf("show:\n%s", shown)
	}
	if raw := ask(t, append([]string{"deadletter", "show", "0/0", "--output", "raw"}, brokers...)...); raw != evil {
		t.Errorf("raw is %q", raw)
	}
	replayed(t, servers, write, brokers)
}

func replayed(t *testing.T, servers *testServers, write func(kafka.Message), brokers []string) {
	t.Helper()
	e := story.Named("deploy-call")
	m := topic.Message(topic.Events, e, e.Canonical(), "")
	m.Partition, m.Offset = 3, 41
	write(topic.DeadLetterMessage(topic.DeadLetter, &m, "schema_version: as an older processor says"))
	replay := func(args ...string) (r struct{ Read, Unreadable, Replayed int }) {
		t.Helper()
		if err := json.Unmarshal([]byte(ask(t, slices.Concat([]string{"deadletter", "replay", "--output", "json"}, brokers, args)...)), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	conn, err := embeddedtest.Open(servers.engine.Addr(), embedded.Admin, servers.engine.Password(embedded.Admin), "custody")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	states := func(ctx context.Context) string {
		var text string
		if err := conn.QueryRow(ctx, "SELECT arrayStringConcat(arraySort(groupArray(toString(state))), ' ') FROM records").Scan(&text); err != nil {
			return err.Error()
		}
		return text
	}
	if r := replay(); r.Read != 2 || r.Unreadable != 1 || r.Replayed != 1 {
		t.Errorf("without --publish: %+v", r)
	}
	for _, want := range []string{"malformed stored", "duplicate malformed stored"} {
		if r := replay("--publish"); r.Replayed != 1 {
			t.Errorf("%+v", r)
		}
		eventually(t, time.Minute, "records are "+want, func(ctx context.Context) bool { return states(ctx) == want })
	}
	if r := replay("--publish", "0/0"); r.Read != 1 || r.Unreadable != 1 || r.Replayed != 0 {
		t.Errorf("what is still no event: %+v", r)
	}
	var n uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM events WHERE id = ?", e.ID).Scan(&n); err != nil || n != 1 {
		t.Errorf("the event shows %d times, %v", n, err)
	}
	if out, err := try(t, append([]string{"deadletter", "show", fmt.Sprintf("0/%d", 99)}, brokers...)...); err == nil || !strings.Contains(err.Error(), "0/99") {
		t.Errorf("a letter that is not there: %s %v", out, err)
	}
}
