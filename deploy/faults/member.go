package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/process"
	"github.com/custody-audit/custody/processor/seal"
)

// sessionTimeout is the shortest that Kafka allows by default.
const sessionTimeout = 6 * time.Second

// blockRecords are taken in turn, so that who takes over a block makes others itself.
var blockRecords = []int{4000, 500, 40_000, 1000, 10_000}

const memberConfig = `kafka: {brokers: ["%s"], topic_prefix: "%s"}
clickhouse: {addresses: ["%s"], user: %s, password_file: "%s"}
processor: {group: "%s", session_timeout: %s, block_wait: 100ms, block_records: %d}
seal: {key_file: "%s", dir: "%s"}
telemetry: {address: ""}
log: {level: info}
`

// members are the processors.
type members struct {
	estate *estate
	cfg    *Config
	dir    string // of their logs
	seats  []*seat

	mu       sync.Mutex
	number   int      // of processes; guarded by mu, as what follows
	restarts int      // of seats
	problems []string // ends that nobody caused
}

// seat is a place in the group that is always taken again.
type seat struct {
	hold sync.Mutex // held by who changes child, and by a fault until it is over
	now  *process.Process
	stop chan struct{}
	done chan struct{}
}

func startMembers(e *estate, cfg *Config) (*members, error) {
	m := &members{estate: e, cfg: cfg, dir: cfg.LogDir}
	if m.dir == "" {
		m.dir = e.dir
	}
	dir, err := filepath.Abs(m.dir)
	if err != nil {
		return nil, err
	}
	m.dir = dir
	if _, err := seal.CreateKey(e.keyFile(), "faults.example/log"); err != nil {
		return nil, err
	}
	for range cfg.Members {
		p, err := m.start()
		if err != nil {
			m.close()
			return nil, err
		}
		s := &seat{now: p, stop: make(chan struct{}), done: make(chan struct{})}
		m.seats = append(m.seats, s)
		go m.supervise(s)
	}
	return m, nil
}

// start starts another processor.
func (m *members) start() (*process.Process, error) {
	m.mu.Lock()
	m.number++
	number := m.number
	m.mu.Unlock()
	name := fmt.Sprintf("processor-%d", number)
	config := filepath.Join(m.estate.dir, name+".yaml")
	text := fmt.Sprintf(memberConfig, m.estate.kafka.addr(), prefix, m.estate.clickhouse.addr(), embedded.Writer, m.estate.passwordFile(),
		group, sessionTimeout, blockRecords[number%len(blockRecords)], m.estate.keyFile(), filepath.Join(m.estate.dir, "checkpoints"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return process.Start(m.dir, name, false, process.Command{Path: m.cfg.Self, Args: []string{"process", "--config", config}})
}

// supervise starts a seat's process again when it ends by itself, as an
// orchestrator does.
func (m *members) supervise(s *seat) {
	defer close(s.done)
	for {
		s.hold.Lock()
		now := s.now
		s.hold.Unlock()
		select {
		case <-s.stop:
			return
		case <-now.Ended:
		}
		s.hold.Lock()
		if s.now == now { // else it was killed and started again
			m.ended(now)
			time.Sleep(200 * time.Millisecond) // it could not start; so may the next
			if next, err := m.start(); err != nil {
				m.problem("%v", err)
			} else {
				s.now = next
			}
		}
		s.hold.Unlock()
	}
}

// joined is what a processor logs when it has become a member.
const joined = "partitions assigned"

// ended notes that a process ended by itself. It may when it cannot start, for
// ClickHouse is away; a member of the group may not.
func (m *members) ended(p *process.Process) {
	m.mu.Lock()
	m.restarts++
	m.mu.Unlock()
	if strings.Contains(p.Log(), joined) {
		m.problem("a processor gave up: %v", p.Failure())
	}
}

func (m *members) problem(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.problems = append(m.problems, fmt.Sprintf(format, args...))
}

// kill kills a member and starts another in its place after a time.
func (m *members) kill(ctx context.Context, seat int, after time.Duration) error {
	s := m.seats[seat]
	s.hold.Lock()
	defer s.hold.Unlock()
	s.now.Signal(syscall.SIGKILL)
	<-s.now.Ended
	wait(ctx, after)
	m.mu.Lock()
	m.restarts++
	m.mu.Unlock()
	next, err := m.start()
	if err == nil {
		s.now = next
	}
	return err
}

// pause stops a member for a time.
func (m *members) pause(ctx context.Context, seat int, d time.Duration) error {
	s := m.seats[seat]
	s.hold.Lock()
	defer s.hold.Unlock()
	s.now.Signal(syscall.SIGSTOP)
	defer s.now.Signal(syscall.SIGCONT)
	wait(ctx, d)
	return nil
}

// storm lets others join and leave, half of them by a kill.
func (m *members) storm(ctx context.Context, comings []coming) error {
	var all sync.WaitGroup
	errs := make([]error, len(comings))
	for i, c := range comings {
		all.Go(func() { errs[i] = m.visit(ctx, c) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (m *members) visit(ctx context.Context, c coming) error {
	wait(ctx, c.after)
	p, err := m.start()
	if err != nil {
		return err
	}
	wait(ctx, c.stays)
	if c.killed {
		p.Signal(syscall.SIGKILL)
		<-p.Ended
		return nil
	}
	return leave(p)
}

// leaveTimeout is longer than an insert and leaving the group may take.
const leaveTimeout = 90 * time.Second

// leave ends a member in order.
func leave(p *process.Process) error {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.Ended:
		return nil
	case <-time.After(leaveTimeout):
		p.Signal(syscall.SIGKILL)
		<-p.Ended
		return fmt.Errorf("it did not end within %s of SIGTERM: %w", leaveTimeout, p.Failure())
	}
}

// close ends all members and returns how often they were started again, and what
// was wrong with them.
func (m *members) close() (int, []string) {
	var all sync.WaitGroup
	for _, s := range m.seats {
		all.Go(func() {
			close(s.stop)
			<-s.done
			if err := leave(s.now); err != nil {
				m.problem("%v", err)
			}
		})
	}
	all.Wait()
	return m.restarts, m.problems
}

// lastWords are the ends of the members' logs.
func (m *members) lastWords() string {
	var out []string
	for _, s := range m.seats {
		lines := strings.Split(strings.TrimSpace(s.now.Log()), "\n")
		out = append(out, lines[max(0, len(lines)-3):]...)
	}
	return strings.Join(out, "; ")
}
