// Package embedded starts the servers of an installation on one machine: the
// real ClickHouse as a child process and a Kafka-compatible broker in this one.
//
// It stands below cmd/custody's run and demo, and below the tests. Data survives
// a restart of either. The engine dies with its parent, even when that is
// killed, and is started again when it dies alone; its address stays the same.
// The broker writes each batch to disk before it acknowledges; it is one node
// without replication, for development and small installations.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// EngineConfig configures an Engine.
type EngineConfig struct {
	// Dir is the data folder, of one engine at a time. Required.
	Dir string
	// Binary is what EnsureEngine returned. Required.
	Binary string
	// Port of the native protocol; 0 is any free one.
	Port int
	// Tenants get a user each, [table.Auditor], who sees no other tenant's rows.
	Tenants []string

	Logger *slog.Logger
}

// Engine is a running ClickHouse.
type Engine struct {
	cfg       EngineConfig
	addr      string
	inner     atomic.Value // string: the child's own address, behind the proxy; another at each start
	pid       atomic.Int64 // of the child; 0 between two
	passwords map[string]string
	proxy     *proxy
	lock      *os.File
	stop      chan struct{} // closed by Close
	done      chan struct{} // closed when the child is gone for good
	closeOnce sync.Once
}

// StartEngine starts ClickHouse and returns when it answers.
func StartEngine(ctx context.Context, cfg EngineConfig) (*Engine, error) {
	if cfg.Dir == "" || cfg.Binary == "" || cfg.Logger == nil {
		return nil, errors.New("engine: Dir, Binary and Logger are required")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o700); err != nil {
		return nil, fmt.Errorf("engine data folder: %w", err)
	}
	lock, err := holdFolder(dir)
	if err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, lock: lock, stop: make(chan struct{}), done: make(chan struct{})}
	if err := e.open(ctx); err != nil {
		lock.Close()
		return nil, err
	}
	return e, nil
}

// holdFolder locks a data folder for this process; the kernel frees it when we die.
func holdFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid, _ := os.ReadFile(f.Name())
		f.Close()
		return nil, fmt.Errorf("data folder %s is in use by process %s: stop it or choose another folder", dir, strings.TrimSpace(string(pid)))
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, fmt.Sprintln(os.Getpid()))); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	return f, nil
}

func writeAt(f *os.File, s string) error { _, err := f.WriteAt([]byte(s), 0); return err }

func (e *Engine) open(ctx context.Context) error {
	var err error
	wanted := slices.Clone(users)
	for _, tenant := range e.cfg.Tenants {
		if !event.ValidTenant(tenant) {
			return fmt.Errorf("engine: %q names no tenant", tenant)
		}
		wanted = append(wanted, table.Auditor(tenant))
	}
	if e.passwords, err = credentials(e.cfg.Dir, wanted); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", e.cfg.Port))
	if err != nil {
		return portError("engine", err)
	}
	e.addr = listener.Addr().String()
	failed := make(chan error, 1)
	go e.supervise(failed)
	if err := e.await(ctx, failed); err != nil {
		listener.Close()
		e.end()
		return err
	}
	refusal := e.refusal
	if isServer(e.cfg.Binary) {
		refusal = nil // it refuses by itself
	}
	e.proxy = newProxy(listener, e.target, refusal)
	return nil
}

func portError(what string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s: the port is taken: %w; choose another", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// startTimeout bounds the first start, which loads what is on disk.
const startTimeout = 60 * time.Second

// await returns when the engine answers.
func (e *Engine) await(ctx context.Context, failed <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("engine does not answer, see %s: %w", filepath.Join(e.cfg.Dir, "engine.log"), ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
		if c, err := net.DialTimeout("tcp", e.target(), time.Second); err == nil {
			c.Close()
			return nil
		}
	}
}

// quickEnds is how often the engine may end at once before its start has failed.
// The first may be a port that somebody took before it did, or a predecessor
// that the kernel has not ended yet.
const quickEnds = 3

// supervise starts the child and starts it again when it dies. It keeps its
// operating-system thread: the kernel ends the child with the thread that made it.
func (e *Engine) supervise(failed chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(e.done)
	backoff, quick := 100*time.Millisecond, 0
	for {
		began := time.Now()
		err := e.runOnce()
		select {
		case <-e.stop:
			if said := e.lastFault(began); said != "" { // whoever met it first stops us before it is dead
				e.cfg.Logger.Error("the ClickHouse engine died", "error", err, "said", said)
			}
			return
		default:
		}
		if quick++; time.Since(began) > time.Minute {
			backoff, quick = 100*time.Millisecond, 0
		}
		if quick == quickEnds {
			select {
			case failed <- fmt.Errorf("engine ended at once: %s: %w", e.lastWords(), err):
			default:
			}
		}
		e.cfg.Logger.Error("the ClickHouse engine died, starting it again", "error", err, "in", backoff, "said", e.lastFault(began))
		select {
		case <-e.stop:
			return
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, 5*time.Second)
	}
}

// lastWords is what the child said before it ended, on one line.
func (e *Engine) lastWords() string {
	b, err := os.ReadFile(filepath.Join(e.cfg.Dir, "engine.out"))
	if err != nil || len(b) == 0 {
		return "it said nothing, see " + filepath.Join(e.cfg.Dir, "engine.log.err")
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return fmt.Sprintf("%.300s", first)
}

// lastFault is what a child that began at a time wrote into its log about the fault
// that ended it: the signal, the query and the stack. Empty where nothing is written,
// as when it was killed.
func (e *Engine) lastFault(began time.Time) string {
	log := filepath.Join(e.cfg.Dir, "engine.log.err")
	info, err := os.Stat(log)
	if err != nil || info.ModTime().Before(began) {
		return ""
	}
	b, err := os.ReadFile(log)
	if err != nil {
		return ""
	}
	const lines, mark = 60, "<Fatal>"
	var said []string
	for line := range strings.Lines(string(b)) {
		// 2026.11.27 09:09:58.123456 [ 42 ] {query id} <Fatal> BaseDaemon: what
		if _, text, found := strings.Cut(line, mark); found && len(line) > 19 && line[:19] >= began.UTC().Format("2006.01.02 15:04:05") {
			said = append(said, strings.TrimSpace(text))
		}
	}
	return strings.Join(said[:min(len(said), lines)], "; ")
}

// runOnce runs one child to its end. Closing the FIFO is the clean stop: the
// query that the child is waiting in ends, and the engine with it.
func (e *Engine) runOnce() error {
	fifo := filepath.Join(e.cfg.Dir, "stop.fifo")
	if err := e.choosePorts(); err != nil {
		return err
	}
	os.Remove(fifo)
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		return fmt.Errorf("make fifo: %w", err)
	}
	out, err := os.Create(filepath.Join(e.cfg.Dir, "engine.out"))
	if err != nil {
		return err
	}
	defer out.Close()
	// Opened for both, so that it neither waits for the child nor ends when the child has not come yet.
	hold, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open fifo: %w", err)
	}
	defer hold.Close()
	cmd := e.command(fifo)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start engine: %w", err)
	}
	e.pid.Store(int64(cmd.Process.Pid))
	defer e.pid.Store(0)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-e.stop:
	}
	hold.Close()
	if isServer(e.cfg.Binary) {
		cmd.Process.Signal(syscall.SIGTERM)
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(10 * time.Second):
		cmd.Process.Kill()
		return <-ended
	}
}

// childVariable makes a process of this program the engine: it holds the path
// of the shared library, and the arguments are ClickHouse's.
const childVariable = "CUSTODY_ENGINE_CHILD"

// isServer tells a clickhouse binary from the shared library.
func isServer(binary string) bool { return !strings.HasSuffix(binary, ".so") }

func (e *Engine) command(fifo string) *exec.Cmd {
	config := "--config-file=" + filepath.Join(e.cfg.Dir, "config.xml")
	if isServer(e.cfg.Binary) {
		return exec.Command(e.cfg.Binary, "server", config)
	}
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	cmd := exec.Command(self, config, "--path="+filepath.Join(e.cfg.Dir, "store"),
		"--query=SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; SELECT * FROM file('"+fifo+"', 'LineAsString', 'line String')")
	cmd.Env = append(os.Environ(), childVariable+"="+e.cfg.Binary)
	cmd.Dir = e.cfg.Dir
	return cmd
}

// choosePorts gives the next child ports of its own: those of the last one may
// be another's by now.
func (e *Engine) choosePorts() error {
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	if err := e.writeConfig(ports[0], ports[1]); err != nil {
		return err
	}
	e.inner.Store(fmt.Sprintf("127.0.0.1:%d", ports[0]))
	return nil
}

// target is the address of the child that runs now.
func (e *Engine) target() string {
	addr, _ := e.inner.Load().(string)
	return addr
}

// PID is the process id of ClickHouse; 0 while it is being started again.
func (e *Engine) PID() int { return int(e.pid.Load()) }

// Addr is the native protocol's address.
func (e *Engine) Addr() string { return e.addr }

// Password returns the password of one of the users.
func (e *Engine) Password(user string) string { return e.passwords[user] }

// Close stops the engine in order and frees the data folder.
func (e *Engine) Close() error {
	e.closeOnce.Do(func() {
		e.proxy.close()
		e.end()
	})
	return nil
}

func (e *Engine) end() {
	close(e.stop)
	<-e.done
	e.lock.Close()
}
