package main

import (
	"context"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embedded"
)

// Of two processes that do the same one works, and the other takes over when it is
// stopped. Before there is a topic for their lease they say what to do.
func TestOneOfTwoWorks(t *testing.T) {
	servers := startServers(t)
	detector := servers.flags(t, embedded.Detector)
	if out, err := try(t, append([]string{"detect", "--telemetry-address", ""}, detector...)...); err == nil || !strings.Contains(err.Error(), "schema migrate") {
		t.Errorf("without topics: %v, %s", err, out)
	}
	ask(t, append([]string{"schema", "migrate"}, servers.flags(t, embedded.Admin)...)...)
	for verb, ready := range map[string]string{"detect": "detections run", "notify": "findings are told"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			var logs [2]output
			var processes [2]*exec.Cmd
			for i := range processes {
				processes[i] = startLogged(t, &logs[i], ready, append([]string{verb, "--telemetry-address", "", "--log-level", "info"}, detector...)...)
			}
			works := func(i int) bool {
				said := logs[i].String()
				return strings.LastIndex(said, "the lease is held") > strings.LastIndex(said, "the lease is given back or lost")
			}
			eventually(t, time.Minute, "one of two works", func(context.Context) bool { return works(0) != works(1) })
			holder := 0
			if works(1) {
				holder = 1
			}
			if err := processes[holder].Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := processes[holder].Wait(); err != nil {
				t.Errorf("the holder was stopped: %v: %s", err, logs[holder].String())
			}
			eventually(t, time.Minute, "the other takes over", func(context.Context) bool { return works(1 - holder) })
		})
	}
}
