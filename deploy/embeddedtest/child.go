package embeddedtest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/custody-audit/custody/deploy/embedded"
)

// childVariable makes a process of a test binary the embedded broker, so that a
// test can kill it: it holds the port and the data folder.
const childVariable = "CUSTODY_TEST_BROKER_CHILD"

func init() {
	if v := os.Getenv(childVariable); v != "" {
		if err := runChild(v); err != nil {
			fmt.Fprintln(os.Stderr, "broker:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// runChild says its address on stdout and ends when stdin does, which is at the
// latest when the parent dies.
func runChild(v string) error {
	port, dir, _ := strings.Cut(v, ":")
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	broker, err := embedded.StartBroker(embedded.BrokerConfig{Dir: dir, Port: n})
	if err != nil {
		return err
	}
	fmt.Println(broker.Addr())
	io.Copy(io.Discard, os.Stdin)
	return broker.Close()
}

// child is the embedded broker in a process of its own.
type child struct {
	dir   string
	addr  string
	cmd   *exec.Cmd
	stdin io.Closer
}

func startChild(t testing.TB) (*child, string, error) {
	c := &child{dir: t.TempDir()}
	if err := c.start("0"); err != nil {
		return nil, "", err
	}
	t.Cleanup(func() {
		c.stdin.Close()
		c.cmd.Wait()
	})
	return c, c.addr, nil
}

func (c *child) start(port string) error {
	c.cmd = exec.Command(os.Args[0])
	c.cmd.Env = append(os.Environ(), childVariable+"="+port+":"+c.dir)
	c.cmd.Stderr = os.Stderr
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.cmd.Start(); err != nil {
		return err
	}
	c.stdin = stdin
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		c.cmd.Wait()
		return fmt.Errorf("the broker ended before it said its address: %w", err)
	}
	c.addr = strings.TrimSpace(line)
	return nil
}

// kill implements server.
func (c *child) kill() error {
	if err := c.cmd.Process.Kill(); err != nil {
		return err
	}
	c.cmd.Wait() // says that it was killed
	_, port, err := net.SplitHostPort(c.addr)
	if err != nil {
		return err
	}
	return c.start(port)
}
