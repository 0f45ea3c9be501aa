package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/custody-audit/custody/schemas/dial"
)

// SyslogConfig configures a Syslog.
type SyslogConfig struct {
	// Address of the receiver, host:port.
	Address string
	// TLS is RFC 5425; without, it is RFC 6587 over TCP.
	TLS dial.TLS
	// Facility of the messages, 0 to 23; 13 is the log audit.
	Facility int
	// Hostname in the messages; empty: this machine's.
	Hostname string
	// Settle is how long a connection must live on after a batch for the batch to
	// count as taken; 0 is 500 ms.
	Settle time.Duration
}

// Syslog is a sink that sends a line of CEF in a message of RFC 5424 with octet
// counts over TCP or TLS. Syslog acknowledges nothing: messages are taken when the
// connection lives on for a moment after the last of them. What a receiver has
// read and then loses, or loses with its machine, is lost; when the connection
// ends in that moment the batch is sent again, also what had arrived.
type Syslog struct {
	cfg  SyslogConfig
	conn net.Conn
	dead chan struct{} // closed when the connection ended
}

// NewSyslog returns a sink; it connects on first use.
func NewSyslog(cfg SyslogConfig) (*Syslog, error) {
	if _, _, err := net.SplitHostPort(cfg.Address); err != nil {
		return nil, fmt.Errorf("syslog: address: %w", err)
	}
	if cfg.Facility < 0 || cfg.Facility > 23 {
		return nil, fmt.Errorf("syslog: facility %d: want 0 to 23", cfg.Facility)
	}
	if cfg.Settle == 0 {
		cfg.Settle = 500 * time.Millisecond
	}
	if cfg.Hostname == "" {
		cfg.Hostname, _ = os.Hostname() // empty is written as "-"
	}
	return &Syslog{cfg: cfg}, nil
}

// syslogSeverities are those of RFC 5424, 0 to 7.
var syslogSeverities = map[string]int{"info": 6, "low": 5, "medium": 4, "high": 3, "critical": 2}

// frame is a message with its octet count.
func (s *Syslog) frame(m *Message) []byte {
	f := m.Finding
	text := fmt.Sprintf("<%d>1 %s %s custody - finding - %s", 8*s.cfg.Facility+syslogSeverities[f.Severity],
		f.UpdatedTime.UTC().Format("2006-01-02T15:04:05.000000Z"), printable(s.cfg.Hostname, 255), CEF(m))
	return fmt.Appendf(nil, "%d %s", len(text), text)
}

// printable is a field of the header: ASCII without blanks, "-" for none.
func printable(s string, most int) string {
	out := bytes.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, []byte(s))
	if len(out) == 0 {
		return "-"
	}
	return string(out[:min(len(out), most)])
}

const syslogTimeout = 15 * time.Second

// Deliver implements [Sink].
func (s *Syslog) Deliver(ctx context.Context, messages []*Message) (int, error) {
	if err := s.connect(ctx); err != nil {
		return 0, err
	}
	var batch bytes.Buffer
	for _, m := range messages {
		batch.Write(s.frame(m))
	}
	err := s.conn.SetWriteDeadline(time.Now().Add(syslogTimeout))
	if err == nil {
		_, err = s.conn.Write(batch.Bytes())
	}
	if err == nil {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-s.dead:
			err = errors.New("the receiver ended the connection")
		case <-time.After(s.cfg.Settle):
			return len(messages), nil
		}
	}
	s.drop()
	return 0, fmt.Errorf("send to syslog: %w", err)
}

// connect keeps a connection that lives.
func (s *Syslog) connect(ctx context.Context) error {
	if s.conn != nil {
		select {
		case <-s.dead:
			s.drop()
		default:
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, syslogTimeout)
	defer cancel()
	conn, err := s.cfg.TLS.Dialer("notify.syslog.tls")(ctx, "tcp", s.cfg.Address)
	if err != nil {
		return fmt.Errorf("connect to syslog: %w", err)
	}
	dead := make(chan struct{})
	s.conn, s.dead = conn, dead
	go func() { // ends with the connection; a receiver says nothing
		defer close(dead)
		for b := make([]byte, 512); ; {
			if _, err := conn.Read(b); err != nil {
				return
			}
		}
	}()
	return nil
}

func (s *Syslog) drop() {
	s.conn.Close()
	<-s.dead
	s.conn = nil
}

// Close implements [Sink].
func (s *Syslog) Close() error {
	if s.conn != nil {
		s.drop()
	}
	return nil
}
