// Package process starts child processes for the programs that measure an
// installation or break it: deploy/bench and deploy/faults.
//
// A child never outlives this process, on Linux also when that is killed. What it
// says on standard error goes to a file.
package process

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

// Process is a child whose CPU time and memory can be measured.
type Process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer     // closed to end a child that reads it
	First string        // the first line of its standard output, where it was asked for
	log   string        // file of its standard error
	Ended chan struct{} // closed at its end
	Err   error         // of Wait, when Ended is closed
}

// Usage is what a process took in all its life.
type Usage struct {
	CPU time.Duration // user and system
	RSS int64         // the most that was resident, in bytes
}

// Command is a program with its arguments and what is added to its environment.
type Command struct {
	Path      string
	Args, Env []string
}

// Start starts a program; with says it waits for a first line on its
// standard output. The process dies with this one.
func Start(dir, name string, says bool, c Command) (*Process, error) {
	p := &Process{name: name, log: filepath.Join(dir, name+".log"), Ended: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(c.Path, c.Args...)
	p.cmd.Env = append(os.Environ(), c.Env...)
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
		p.First, err = bufio.NewReader(out).ReadString('\n')
		p.First = strings.TrimSpace(p.First)
	}
	go func() {
		p.Err = p.cmd.Wait()
		close(p.Ended)
	}()
	if err != nil {
		<-p.Ended
		return nil, p.Failure()
	}
	return p, nil
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal; one that comes after the end goes nowhere.
func (p *Process) Signal(sig syscall.Signal) { p.cmd.Process.Signal(sig) }

// Log is what it said on standard error so far.
func (p *Process) Log() string {
	text, _ := os.ReadFile(p.log) // no file: nothing
	return string(text)
}

// Failure says how it ended and its last words.
func (p *Process) Failure() error {
	lines := strings.Split(strings.TrimSpace(p.Log()), "\n")
	return fmt.Errorf("%s Ended: %v: %s", p.name, p.Err, strings.Join(lines[max(0, len(lines)-5):], "; "))
}

// StopTimeout is how long a process may take to end in order.
const stopTimeout = 30 * time.Second

// Stop ends the process in order and returns what it took.
func (p *Process) Stop(sig syscall.Signal) (Usage, error) {
	rss := p.Peak()
	p.cmd.Process.Signal(sig)
	p.stdin.Close()
	select {
	case <-p.Ended:
	case <-time.After(stopTimeout):
		p.cmd.Process.Kill()
		<-p.Ended
		return Usage{}, fmt.Errorf("%s did not end within %s of signal %d", p.name, stopTimeout, sig)
	}
	s := p.cmd.ProcessState
	return Usage{s.UserTime() + s.SystemTime(), rss}, nil
}

// Peak reads the most that was resident.
func (p *Process) Peak() int64 { return Peak(p.cmd.Process.Pid) }

// Peak reads the most that was resident of a process, in bytes; 0 of one that has ended.
// Not from rusage: there a child starts with the peak of its parent.
func Peak(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kib int64
	fmt.Sscan(rest, &kib)
	return kib << 10
}

// ForgetPeak has [Peak] count from now on, where the kernel lets it (proc(5), clear_refs).
func ForgetPeak(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// CPUTime is the CPU time of a process so far, in Linux's 100 ticks a second.
func CPUTime(pid int) (time.Duration, error) {
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
