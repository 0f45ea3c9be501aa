package embeddedtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// apache is the broker of deploy/kafka/with-kafka.sh, which starts it again when
// it is killed. All tests share it, in several processes: each holds it with a
// shared lock, and who kills it waits to be alone.
type apache struct {
	pidFile string
	lock    *os.File
}

// takeApache needs CUSTODY_TEST_KAFKA_PID_FILE only for kill.
func takeApache(t testing.TB) (*apache, error) {
	a := &apache{pidFile: os.Getenv("CUSTODY_TEST_KAFKA_PID_FILE")}
	if a.pidFile == "" {
		return a, nil
	}
	var err error
	if a.lock, err = os.OpenFile(filepath.Join(filepath.Dir(a.pidFile), "users.lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	t.Cleanup(func() { a.lock.Close() })
	return a, a.hold(syscall.LOCK_SH)
}

func (a *apache) hold(how int) error {
	if err := syscall.Flock(int(a.lock.Fd()), how); err != nil {
		return fmt.Errorf("lock the broker: %w", err)
	}
	return nil
}

// kill implements server. The lock stays exclusive until the test ends: nobody
// else shall meet the broker while it comes back.
func (a *apache) kill() error {
	if a.lock == nil {
		return errors.New("CUSTODY_TEST_KAFKA_PID_FILE is not set: run the tests by deploy/kafka/with-kafka.sh")
	}
	if err := a.hold(syscall.LOCK_EX); err != nil {
		return err
	}
	pid, err := a.pid()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill process %d: %w", pid, err)
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if now, err := a.pid(); err == nil && now != pid {
			return nil
		}
	}
	return errors.New("with-kafka.sh does not start the broker again")
}

func (a *apache) pid() (int, error) {
	b, err := os.ReadFile(a.pidFile)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}
