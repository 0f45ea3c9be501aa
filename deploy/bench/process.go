package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a child whose CPU time and memory are measured.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer // closed to end a child that reads it
	first string    // the first line of its standard output, where it was asked for
	log   string    // file of its standard error
	ended chan struct{}
	err   error // of Wait, when ended is closed
}

// usage is what a process took in all its life.
type usage struct {
	cpu time.Duration // user and system
	rss int64         // the most that was resident, in bytes
}

// command is a program with its arguments and what is added to its environment.
type command struct {
	path      string
	args, env []string
}

// startProcess starts a program; with says it waits for a first line on its
// standard output. The process dies with this one.
func startProcess(dir, name string, says bool, c command) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), ended: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(c.path, c.args...)
	p.cmd.Env = append(os.Environ(), c.env...)
	p.cmd.Dir, p.cmd.Stderr, p.cmd.SysProcAttr = dir, log, dieWithParent()
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	var out io.Reader
	if says {
		if out, err = p.cmd.StdoutPipe(); err != nil {
			return nil, err
		}
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if says {
		p.first, err = bufio.NewReader(out).ReadString('\n')
		p.first = strings.TrimSpace(p.first)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	if err != nil {
		<-p.ended
		return nil, p.failure()
	}
	return p, nil
}

// failure says how it ended and its last words.
func (p *process) failure() error {
	text, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return fmt.Errorf("%s ended: %v: %s", p.name, p.err, strings.Join(lines[max(0, len(lines)-5):], "; "))
}

// stopTimeout is how long a process may take to end in order.
const stopTimeout = 30 * time.Second

// stop ends the process in order and returns what it took.
func (p *process) stop(sig syscall.Signal) (usage, error) {
	rss := p.peak()
	p.cmd.Process.Signal(sig)
	p.stdin.Close()
	select {
	case <-p.ended:
	case <-time.After(stopTimeout):
		p.cmd.Process.Kill()
		<-p.ended
		return usage{}, fmt.Errorf("%s did not end within %s of signal %d", p.name, stopTimeout, sig)
	}
	s := p.cmd.ProcessState
	return usage{s.UserTime() + s.SystemTime(), rss}, nil
}

// peak reads the most that was resident. Not from rusage: there a child starts
// with the peak of its parent.
func (p *process) peak() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0 // ended
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kib int64
	fmt.Sscan(rest, &kib)
	return kib << 10
}

// cpuTime is the CPU time of a process so far, in Linux's 100 ticks a second.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // after the program's name
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("CPU time of process %d: %q is cut", pid, text)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}
