package processor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// With this set, the test binary is a processor that somebody will kill or
// pause: it holds the job.
const memberVariable = "CUSTODY_TEST_PROCESSOR"

func TestMain(m *testing.M) {
	if text := os.Getenv(memberVariable); text != "" {
		if err := runMember(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runMember processes until stdin ends, at the latest with the parent.
func runMember(text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return j.run(ctx, nil, slog.LevelInfo)
}

// member is a processor in a process of its own.
type member struct {
	*pipeline
	cmd   *exec.Cmd
	stdin io.Closer
	said  bytes.Buffer // to be read after Wait
	ended bool
}

// startMember starts a member whose way to ClickHouse is addr.
func (p *pipeline) startMember(addr string) *member {
	p.Helper()
	text, err := json.Marshal(p.job(addr))
	if err != nil {
		p.Fatal(err)
	}
	m := &member{pipeline: p, cmd: exec.Command(os.Args[0])}
	m.cmd.Env = append(os.Environ(), memberVariable+"="+string(text))
	m.cmd.Stderr = &m.said
	if m.stdin, err = m.cmd.StdinPipe(); err != nil {
		p.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		m.kill()
		if p.Failed() {
			p.Logf("process %d:\n%s", m.cmd.Process.Pid, m.said.String())
		}
	})
	return m
}

func (m *member) signal(s syscall.Signal) {
	m.Helper()
	if err := m.cmd.Process.Signal(s); err != nil {
		m.Errorf("signal %s: %v", s, err)
	}
}

func (m *member) pause()  { m.Helper(); m.signal(syscall.SIGSTOP) }
func (m *member) resume() { m.Helper(); m.signal(syscall.SIGCONT) }

func (m *member) kill() {
	if m.ended {
		return
	}
	m.ended = true
	m.cmd.Process.Kill()
	m.cmd.Wait() // says that it was killed
}

// leave ends the member in order: it leaves the group.
func (m *member) leave() {
	m.Helper()
	m.ended = true
	m.stdin.Close()
	if err := m.cmd.Wait(); err != nil {
		m.Errorf("member: %v:\n%s", err, m.said.String())
	}
}
