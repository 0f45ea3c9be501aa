package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/demo"
)

// mainVariable makes the test binary the program itself, so that a test can kill it.
const mainVariable = "CUSTODY_TEST_MAIN"

// profileVariable names a file for the CPU profile of such a process.
const profileVariable = "CUSTODY_TEST_CPUPROFILE"

func TestMain(m *testing.M) {
	if os.Getenv(mainVariable) != "" {
		if file, err := os.Create(os.Getenv(profileVariable)); err == nil {
			pprof.StartCPUProfile(file)
			defer pprof.StopCPUProfile()
		}
		main()
		return
	}
	slog.SetDefault(slog.New(slog.DiscardHandler)) // libraries log there
	os.Exit(m.Run())
}

// ask runs a verb in this process and returns what it printed.
func ask(t *testing.T, args ...string) string {
	t.Helper()
	out, err := try(t, args...)
	if err != nil {
		t.Fatalf("custody %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func try(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&bytes.Buffer{})
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// start runs a verb in a process of its own and returns when it says that it is
// there, on stderr. The process ends with the test.
func start(t testing.TB, ready string, args ...string) *exec.Cmd {
	t.Helper()
	return startLogged(t, io.Discard, ready, args...)
}

// startLogged is start for who wants to read what the process says on stderr.
func startLogged(t testing.TB, log io.Writer, ready string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), mainVariable+"=1", "CUSTODY_SERVE_ADDRESS=127.0.0.1:0") // several installations at a time
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Stdout = &output{}
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Signal(syscall.SIGTERM); cmd.Wait() })
	up, said := make(chan bool, 1), ""
	go func() {
		lines := bufio.NewScanner(io.TeeReader(stderr, log))
		for lines.Scan() {
			said += lines.Text() + "\n"
			if strings.Contains(lines.Text(), ready) {
				up <- true
				said = ""
			}
		}
		up <- false
	}()
	select {
	case ok := <-up:
		if !ok {
			t.Fatalf("custody %s ended:\n%s", strings.Join(args, " "), said)
		}
	case <-time.After(time.Minute):
		t.Fatalf("custody %s is not up after a minute", strings.Join(args, " "))
	}
	return cmd
}

// output is what a process printed so far.
type output struct {
	mu   sync.Mutex
	text []byte // guarded by mu
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, b...)
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// freeAddress is an address that nobody listens on at the moment.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// estateSources writes the sources file of a demo estate and returns its keys.
func estateSources(t testing.TB) (file string, keys map[string]string) {
	t.Helper()
	var text strings.Builder
	text.WriteString("sources:\n")
	made := demo.NewSources()
	for _, k := range made {
		s := k.Source
		fmt.Fprintf(&text, "- {id: %s, tenant: %s, type: %q, servers: [%s], key_sha256: %s}\n", s.ID, s.Tenant, s.Type, strings.Join(s.Servers, ", "), s.KeySHA256)
	}
	file = filepath.Join(t.TempDir(), "sources.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, demo.Keys(made)
}

// eventually asks until the answer is yes.
func eventually(t *testing.T, within time.Duration, what string, ok func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok(ctx) {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s", what, within)
		case <-tick.C:
		}
	}
}

// exports keeps what is sent to it by OTLP/HTTP.
type exports struct {
	url  string
	mu   sync.Mutex
	text []string // guarded by mu
}

func traceSink(t *testing.T) *exports {
	t.Helper()
	e := &exports{}
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.text = append(e.text, string(b))
	}))
	t.Cleanup(s.Close)
	e.url = s.URL
	return e
}

// has says whether a text was sent; names stand in protobuf as they are.
func (e *exports) has(text string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.text, func(s string) bool { return strings.Contains(s, text) })
}
