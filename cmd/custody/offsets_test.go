package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/embedded"
)

// Offsets are restored with what processors write beside them, and never below a
// processor that runs.
func TestOffsets(t *testing.T) {
	t.Parallel()
	servers := startServers(t)
	ask(t, append([]string{"schema", "migrate"}, servers.flags(t, embedded.Admin)...)...)
	broker := []string{"--kafka-brokers", servers.broker.Addr()}
	file := filepath.Join(t.TempDir(), "offsets.json")
	offsets := func(verb string) (string, error) {
		return try(t, append([]string{"offsets", verb, file}, broker...)...)
	}
	if _, err := offsets("save"); err == nil || !strings.Contains(err.Error(), "nothing to save") {
		t.Errorf("before a processor ran: %v", err)
	}
	client := &kafka.Client{Addr: kafka.TCP(servers.broker.Addr())}
	at := func() []savedPartition {
		t.Helper()
		s := &savedOffsets{Group: defaults().Processor.Group, Topic: "custody.events"}
		if err := s.fetch(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		return s.Partitions
	}
	commit := func(partitions ...savedPartition) {
		t.Helper()
		s := &savedOffsets{defaults().Processor.Group, "custody.events", partitions}
		if err := s.commit(t.Context(), client); err != nil {
			t.Fatal(err)
		}
	}
	want := []savedPartition{{0, 0, "custody/2 epoch=a edge=0:"}, {3, 0, "custody/2 epoch=b edge=0:"}}
	commit(want...)
	if out, err := offsets("save"); err != nil || !strings.Contains(out, "2 offsets") {
		t.Errorf("save: %v, %s", err, out)
	}
	commit(savedPartition{0, 7, ""}, savedPartition{3, 9, ""})
	if out, err := offsets("restore"); err != nil || !strings.Contains(out, "goes on at 2 offsets") {
		t.Errorf("restore: %v, %s", err, out)
	}
	if diff := cmp.Diff(want, at()); diff != "" {
		t.Errorf("restored (-want +got):\n%s", diff)
	}
	if _, err := try(t, append([]string{"offsets", "restore", file, "--processor-group", "other"}, broker...)...); err == nil || !strings.Contains(err.Error(), `group "other"`) {
		t.Errorf("of another group: %v", err)
	}
	for name, of := range map[string]savedPartition{"partitions[1].partition: 0": {0, 1, "custody/2"}, "partitions[1].offset: -2": {3, -2, "custody/2"}} {
		b, err := json.Marshal(savedOffsets{defaults().Processor.Group, "custody.events", []savedPartition{want[0], of}})
		if err == nil {
			err = os.WriteFile(file+".bad", b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := try(t, append([]string{"offsets", "restore", file + ".bad"}, broker...)...); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	startLogged(t, &output{}, "processor consumes", append([]string{"process", "--telemetry-address", ""}, servers.flags(t, embedded.Writer)...)...)
	eventually(t, time.Minute, "a processor is in the group", func(context.Context) bool {
		_, err := offsets("restore")
		return err != nil && strings.Contains(err.Error(), "stop them first")
	})
}
