//go:build programs

package programs

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embeddedtest"
)

// start starts a program and returns what ready matched in the lines that it wrote,
// on stdout or stderr. It is asked to end when the test does, or the test's process;
// what it wrote is shown when the test failed.
func start(t *testing.T, ready *regexp.Regexp, cmd *exec.Cmd) []string {
	t.Helper()
	name, out := filepath.Base(cmd.Path), &output{ready: ready, up: make(chan []string, 1)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			t.Errorf("%s does not end", name)
			cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", name, out)
		}
	})
	select {
	case said := <-out.up:
		return said
	case <-ended:
		t.Fatalf("%s ended before it was ready", name)
	case <-time.After(5 * time.Minute): // Keycloak on a busy machine
		t.Fatalf("%s is not ready after 5 minutes", name)
	}
	return nil
}

// output is what a program wrote.
type output struct {
	ready *regexp.Regexp
	up    chan []string // gets the first match

	mu    sync.Mutex
	text  []byte // guarded by mu
	found bool   // guarded by mu
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, b...)
	if whole := o.text[:bytes.LastIndexByte(o.text, '\n')+1]; !o.found {
		if m := o.ready.FindStringSubmatch(string(whole)); m != nil {
			o.found = true
			o.up <- m
		}
	}
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// awaitListener waits for a program that says that it is ready before it listens.
func awaitListener(t *testing.T, address string) {
	t.Helper()
	embeddedtest.Eventually(t, time.Minute, address+" takes connections", func(ctx context.Context) error {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			err = c.Close()
		}
		return err
	})
}

// freePort is one that nobody listens on at the moment.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// page is one of the pages for those who set a program up. What a person pastes
// from it is what the tests run, with other addresses.
func page(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// replaced fails when there is nothing to replace.
func replaced(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i+1 < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the documentation has no %q:\n%s", pairs[i], text)
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}
