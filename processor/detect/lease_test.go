package detect_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/lease"
	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/topic"
)

// With this set, the test binary is an engine that wants the lease and that
// somebody will kill or pause: it holds the job.
const memberVariable = "CUSTODY_TEST_DETECTOR"

// session is the shortest that brokers allow.
const session = 6 * time.Second

// takeover is where a test gives up. Others work within the session of a holder
// that died, the second's next heartbeat and the join, some ten seconds; rounds of
// the engine on a machine that runs other tests take as long again and more.
const takeover = 2 * time.Minute

// leaseJob is what a member needs to know.
type leaseJob struct{ Broker, Topic, ClickHouse, Password string }

// runMember works whenever it holds the lease, until stdin ends.
func runMember(text string) error {
	var j leaseJob
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	held, err := lease.New(j.config())
	if err != nil {
		return err
	}
	options := &clickhouse.Options{Addr: []string{j.ClickHouse}, Auth: clickhouse.Auth{Database: embeddedtest.Database, Username: embedded.Detector, Password: j.Password}}
	conn, err := clickhouse.Open(options)
	if err != nil {
		return err
	}
	rules, err := prompt()
	if err != nil {
		return err
	}
	engine, err := detect.New(detect.Config{ClickHouse: conn, Sessions: clickhouse.OpenDB(options), Rules: rules, Interval: time.Second, Fence: held.Fence, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return held.Run(ctx, func(ctx context.Context) error {
		fmt.Println("holds")
		defer fmt.Println("lost")
		return engine.Run(ctx)
	})
}

// prompt are the rules that do not wait for what may come later.
func prompt() ([]*detect.Rule, error) {
	rules, err := detect.Builtin()
	return slices.DeleteFunc(rules, func(r *detect.Rule) bool { return r.Schedule.Delay > 0 }), err
}

func (j *leaseJob) config() lease.Config {
	return lease.Config{Kafka: dial.Kafka{Brokers: []string{j.Broker}}, Topic: j.Topic, Group: j.Topic + ".lease", Session: session, Logger: slog.New(slog.DiscardHandler)}
}

// leaseMember is an engine in a process of its own.
type leaseMember struct {
	cmd   *exec.Cmd
	holds atomic.Bool // as far as it has said
	ended chan struct{}
}

func startMember(t *testing.T, j *leaseJob) *leaseMember {
	t.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	m := &leaseMember{cmd: exec.Command(os.Args[0]), ended: make(chan struct{})}
	m.cmd.Env, m.cmd.Stderr = append(os.Environ(), memberVariable+"="+string(text)), os.Stderr
	_, err1 := m.cmd.StdinPipe() // open as long as we live
	out, err2 := m.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, m.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(m.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			m.holds.Store(lines.Text() == "holds")
		}
		m.holds.Store(false)
		m.cmd.Wait()
	}()
	t.Cleanup(m.kill)
	return m
}

// kill ends it at once and waits for that.
func (m *leaseMember) kill() {
	m.cmd.Process.Kill()
	<-m.ended
}

// Of two engines one works. When it sleeps through its session the other goes on in
// bounded time, and it stands by when it wakes; when that one is killed it goes on
// itself. Of what they found each finding was opened once.
func TestLeaseFailsOver(t *testing.T) {
	t.Parallel()
	b, k := newBench(t, nil), embeddedtest.StartKafka(t, 1)
	j := &leaseJob{Broker: k.Addr, Topic: k.Topic(topic.Findings), ClickHouse: b.clickhouse.Addr(), Password: b.clickhouse.Password(embedded.Detector)}
	rules, err := prompt()
	if err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(slices.Clone(found), func(f told) bool {
		return !slices.ContainsFunc(rules, func(r *detect.Rule) bool { return r.ID == f.Rule })
	})
	holder, other := startMember(t, j), startMember(t, j)
	b.store(without("refund-call", "after-revocation-call")...)
	b.eventually(time.Minute, "one of two engines finds what is in the story", len(want)-2)
	embeddedtest.Eventually(t, takeover, "of two members one holds the lease", func(ctx context.Context) error {
		groups, err := k.Client().DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{j.config().Group}})
		if err != nil {
			return err
		}
		if g := groups.Groups[0]; len(g.Members) != 2 || g.GroupState != "Stable" || holder.holds.Load() == other.holds.Load() {
			return fmt.Errorf("%d members, %s, first %t, second %t", len(g.Members), g.GroupState, holder.holds.Load(), other.holds.Load())
		}
		return nil
	})
	if other.holds.Load() {
		holder, other = other, holder
	}
	holder.signal(t, syscall.SIGSTOP)
	slept := time.Now()
	b.store(story.Named("refund-call"))
	b.eventually(takeover, "the other engine works while the first sleeps", len(want)-1)
	t.Logf("%s after the first fell asleep the other had found what came since", time.Since(slept).Round(100*time.Millisecond))
	holder.signal(t, syscall.SIGCONT)
	embeddedtest.Eventually(t, takeover, "who slept through its session stands by", func(context.Context) error {
		if holder.holds.Load() || !other.holds.Load() {
			return errors.New("it works")
		}
		return nil
	})
	other.kill()
	killed := time.Now()
	b.store(story.Named("after-revocation-call"))
	b.eventually(takeover, "the first engine works again after the other was killed", len(want))
	t.Logf("%s after the kill the first had found what came since", time.Since(killed).Round(100*time.Millisecond))
	if diff := cmp.Diff(want, b.told(detect.Filter{})); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if n := b.count(t.Context(), "SELECT toUInt64(count() - uniqExact(key)) FROM finding_history WHERE action = 'opened'"); n != 0 {
		t.Errorf("%d findings were opened twice", n)
	}
}

// signal sends what the system does, to pause and to go on.
func (m *leaseMember) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := m.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until there are that many findings.
func (b *bench) eventually(limit time.Duration, what string, findings int) {
	b.Helper()
	embeddedtest.Eventually(b.TB, limit, what, func(ctx context.Context) error {
		var n uint64
		if err := b.writer.QueryRow(ctx, "SELECT count() FROM findings").Scan(&n); err != nil {
			return err
		}
		if n != uint64(findings) {
			return fmt.Errorf("%d findings, want %d", n, findings)
		}
		return nil
	})
}

// Without the lease nothing is stored.
func TestFence(t *testing.T) {
	t.Parallel()
	refused := lease.ErrNotHeld
	b := newBench(t, func(c *detect.Config) { c.Fence = func(context.Context) error { return refused } })
	b.store(without()...)
	if _, err := b.engine.Once(t.Context()); !errors.Is(err, refused) {
		t.Errorf("without the lease: %v", err)
	}
	if n := b.count(t.Context(), "SELECT (SELECT count() FROM finding_states) + (SELECT count() FROM finding_history) + (SELECT count() FROM rule_progress)"); n != 0 {
		t.Errorf("it stored %d rows", n)
	}
	refused = nil
	if _, err := b.engine.Once(t.Context()); err != nil || len(b.findings(detect.Filter{})) != len(found) {
		t.Errorf("with the lease: %v, %d findings", err, len(b.findings(detect.Filter{})))
	}
}
