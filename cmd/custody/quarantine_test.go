package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/topic"
)

// Who writes an event again with other content, past the collector, does not
// replace it: the first stays what is shown, the other is in quarantine, and a
// finding names both.
func TestForgeryThroughThePipeline(t *testing.T) {
	t.Parallel()
	servers := startServers(t)
	ask(t, append([]string{"schema", "migrate"}, servers.flags(t, embedded.Admin)...)...)
	start(t, "consumes as group", append([]string{"process", "--processor-session-timeout", "6s", "--telemetry-address", ""}, servers.flags(t, embedded.Writer)...)...)
	first, forged := story.Named("deploy-call"), story.Named("deploy-call")
	forged.Outcome, forged.Subject.Name = event.Denied, "mallory\x1b[2J"
	w := &kafka.Writer{Addr: kafka.TCP(servers.broker.Addr()), Balancer: &kafka.Murmur2Balancer{Consistent: true}, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond, Transport: &kafka.Transport{}}
	defer w.Close()
	for _, e := range []*event.Event{first, forged} {
		if err := w.WriteMessages(t.Context(), topic.Message(topic.Events, e, e.Canonical(), "")); err != nil {
			t.Fatal(err)
		}
	}
	analyst := servers.flags(t, embedded.Analyst)[2:] // without Kafka
	type found []struct {
		ID     string `json:"id"`
		Record struct {
			Hash string `json:"content_hash"`
		} `json:"record"`
		First struct {
			Hash string `json:"content_hash"`
		} `json:"first"`
	}
	var list found
	eventually(t, time.Minute, "the second is in quarantine", func(context.Context) bool {
		if err := json.Unmarshal([]byte(ask(t, append([]string{"quarantine", "list", "--tenant", first.Tenant, "--output", "json"}, analyst...)...)), &list); err != nil {
			t.Fatal(err)
		}
		return len(list) == 1
	})
	sum := func(e *event.Event) string { h := e.ContentHash(); return hex.EncodeToString(h[:]) }
	if list[0].ID != first.ID || list[0].First.Hash != sum(first) || list[0].Record.Hash != sum(forged) {
		t.Errorf("quarantine %+v", list)
	}
	shown := ask(t, append([]string{"quarantine", "show", first.ID}, analyst...)...)
	for _, want := range []string{sum(first), sum(forged), `"success" -> "denied"`, `mallory\u001b[2J`, "custody.events/"} {
		if !strings.Contains(shown, want) {
			t.Errorf("show has no %s:\n%s", want, shown)
		}
	}
	if table := ask(t, append([]string{"quarantine", "list"}, analyst...)...); strings.Count(table, "\n") != 2 || !strings.Contains(table, sum(forged)[:12]) {
		t.Errorf("list:\n%s", table)
	}
	if out, err := try(t, append([]string{"quarantine", "show", story.Events()[0].ID}, analyst...)...); err == nil || !strings.Contains(err.Error(), "quarantine") {
		t.Errorf("an id that is not there: %s %v", out, err)
	}
	ask(t, append([]string{"detect", "--once", "--telemetry-address", ""}, servers.flags(t, embedded.Detector)[2:]...)...)
	var findings []*detect.Finding
	if err := json.Unmarshal([]byte(ask(t, append([]string{"findings", "list", "--rule", "event_forged", "--output", "json"}, analyst...)...)), &findings); err != nil {
		t.Fatal(err)
	}
	if len(findings) != 1 || !strings.Contains(findings[0].CoverageNote, sum(first)) || !strings.Contains(findings[0].CoverageNote, sum(forged)) || findings[0].Severity != "critical" {
		t.Errorf("findings %+v", findings)
	}
	if events := ask(t, append([]string{"search", "--output", "json", "last:87600h"}, analyst...)...); strings.Contains(events, "mallory") || !strings.Contains(events, first.ID) {
		t.Errorf("events are %s", events)
	}
}
