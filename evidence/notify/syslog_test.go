package notify_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/octetcounting"
	"github.com/leodido/go-syslog/v4/rfc5424"

	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/notify"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/worklist"
	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/dial/dialtest"
)

// collector is a syslog receiver that reads by somebody else's library.
type collector struct {
	listener net.Listener

	mu    sync.Mutex
	got   []*rfc5424.SyslogMessage // guarded by mu
	bad   []error                  // guarded by mu
	conns []net.Conn               // guarded by mu
	cut   bool                     // guarded by mu: connections end at once
}

func collect(t *testing.T, secure *tls.Config) *collector {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	c := &collector{listener: l}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.conns = append(c.conns, conn)
			if c.cut {
				conn.Close()
			}
			c.mu.Unlock()
			all.Go(func() { c.read(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		c.end(false)
		all.Wait()
	})
	return c
}

func (c *collector) read(conn net.Conn) {
	octetcounting.NewParser(syslog.WithMaxMessageLength(64<<10), syslog.WithListener(func(r *syslog.Result) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if m, ok := r.Message.(*rfc5424.SyslogMessage); ok && r.Error == nil && m.Valid() {
			c.got = append(c.got, m)
		} else if r.Error != nil && !strings.Contains(r.Error.Error(), "found EOF") {
			c.bad = append(c.bad, r.Error)
		}
	})).Parse(conn)
}

// end ends the connections, and with cut those to come.
func (c *collector) end(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

// keys are the findings that arrived, by their key in CEF.
func (c *collector) keys() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]int{}
	for _, m := range c.got {
		_, rest, _ := strings.Cut(*m.Message, "externalId=")
		out[rest[:min(64, len(rest))]]++
	}
	return out
}

func (b *bench) arrive(c *collector) {
	b.Helper()
	embeddedtest.Eventually(b.TB, time.Minute, "all findings arrive", func(context.Context) error {
		keys := c.keys()
		for _, f := range b.findings() {
			if keys[f.Key] == 0 {
				return fmt.Errorf("%s is missing", f.Rule)
			}
		}
		return nil
	})
}

// Findings arrive as messages of RFC 5424, over TCP and TLS.
func TestSyslog(t *testing.T) {
	t.Parallel()
	b, a := newBench(t), dialtest.NewAuthority(t, "")
	plain, secure := collect(t, nil), collect(t, &tls.Config{Certificates: []tls.Certificate{a.Issue("127.0.0.1")}})
	sink := func(cfg notify.SyslogConfig) notify.Sink {
		t.Helper()
		cfg.Facility, cfg.Hostname, cfg.Settle = 13, "audit host", 50*time.Millisecond
		s, err := notify.NewSyslog(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	b.run(nil,
		notify.Outlet{Name: "tcp", Sink: sink(notify.SyslogConfig{Address: plain.listener.Addr().String()})},
		notify.Outlet{Name: "tls", Sink: sink(notify.SyslogConfig{Address: secure.listener.Addr().String(), TLS: dial.TLS{Enabled: true, CAFile: a.File}})})
	b.arrive(plain)
	b.arrive(secure)
	for _, c := range []*collector{plain, secure} {
		if len(c.bad) > 0 || len(c.got) != len(b.findings()) {
			t.Errorf("%d messages, errors %v", len(c.got), c.bad)
		}
		for _, m := range c.got {
			if *m.Facility != 13 || *m.Hostname != "audithost" || *m.Appname != "custody" || !strings.HasPrefix(*m.Message, "CEF:0|Custody|Custody|1|") || m.Timestamp.IsZero() {
				t.Errorf("message %+v", m)
			}
		}
	}
}

// A receiver that ends connections, while they are idle or as soon as they begin,
// misses nothing.
func TestSyslogIsCut(t *testing.T) {
	t.Parallel()
	b, c := newBench(t), collect(t, nil)
	c.end(true)
	s, err := notify.NewSyslog(notify.SyslogConfig{Address: c.listener.Addr().String(), Settle: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	b.run(nil, notify.Outlet{Name: "siem", Sink: s})
	embeddedtest.Eventually(t, time.Minute, "connections that are cut", func(context.Context) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.conns) < 3 {
			return fmt.Errorf("%d", len(c.conns))
		}
		return nil
	})
	c.end(false)
	b.arrive(c)
	for i := range 5 {
		f := b.findings()[i%3]
		before := c.keys()[f.Key]
		c.end(false)
		b.comments(f, "more")
		embeddedtest.Eventually(t, time.Minute, "the change arrives", func(context.Context) error {
			if n := c.keys()[f.Key]; n <= before {
				return fmt.Errorf("%d times", n)
			}
			return nil
		})
	}
}

// Nothing that stands in a finding ends its line, its header or its value.
func TestCEF(t *testing.T) {
	f := &worklist.Finding{Finding: detect.Finding{Key: "k", Rule: "a|b", Title: `t\|` + "\nCEF:0", Severity: "critical", Status: worklist.Open,
		Summary: "x=1|y\n<13>1 - forged\r\\", Subject: "alice act=resolved", Server: strings.Repeat("é", 2000)}, Reason: "\x00"}
	got := notify.CEF(&notify.Message{Finding: f})
	want := `CEF:0|Custody|Custody|1|a\|b|t\\\| CEF:0|10|`
	if !strings.HasPrefix(got, want) || strings.ContainsAny(got, "\n\r\x00") || !strings.Contains(got, `msg=x\=1|y\n<13>1 - forged\r\\ suser=alice act\=resolved dhost=é`) {
		t.Errorf("%.400s", got)
	}
	if strings.Count(got, "é") != 511 {
		t.Errorf("a value has %d characters", strings.Count(got, "é"))
	}
}
