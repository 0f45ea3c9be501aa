package mcpproxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"os/user"

	"github.com/custody-audit/custody/collector/message"
	"github.com/custody-audit/custody/collector/token"
	"github.com/custody-audit/custody/schemas/event"
)

// Tap stands between a client and a server on stdio: it starts the server and
// passes lines on. There are no tokens on stdio: whoever runs the client is the
// subject, and the credentials that the server has are its own.
type Tap struct{ *recorder }

// stdio is the session of a tap: its server has one client.
const stdio = "stdio"

// NewTap returns a Tap. Config.Check is not used.
func NewTap(cfg Config) (*Tap, error) {
	r, err := newRecorder(cfg)
	if err != nil {
		return nil, err
	}
	return &Tap{r}, nil
}

// Run starts the server and passes lines on until the server ends or the client
// has, and the server after it. cmd's Stdin and Stdout must not be set; the
// error is the server's.
func (t *Tap) Run(ctx context.Context, cmd *exec.Cmd, in io.Reader, out io.Writer) error {
	toServer, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	fromServer, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the MCP server: %w", err)
	}
	who := t.local()
	go func() { // ends with in, which is the process's own
		_ = lines(in, toServer, func(line []byte) []byte { return t.request(who, line) })
		toServer.Close() // so a server on stdio learns of the end
	}()
	err = lines(fromServer, out, func(line []byte) []byte { return t.answer(ctx, line) })
	if err != nil {
		cmd.Process.Kill() // the client is gone
	}
	err = cmd.Wait()
	t.calls.end("")
	return err
}

// local is who sends on stdio: the user of this process.
func (t *Tap) local() *caller {
	p := &token.Presented{Token: event.Token{Verified: event.TokenAbsent}}
	if u, err := user.Current(); err == nil {
		p.Subject = event.Party{Sub: u.Username, Type: event.Unknown}
	}
	return &caller{presented: p, session: stdio}
}

func (t *Tap) request(who *caller, line []byte) []byte {
	for _, m := range message.Read(line) {
		switch {
		case m.Ambiguous:
			t.cfg.Logger.Warn("a message with a member that comes twice was kept from the server")
			return nil
		case m.Method == "initialize":
			t.calls.name(stdio, m.Params.ClientInfo)
		case m.Method == "notifications/cancelled":
			if c := t.calls.find(stdio, message.Label(m.Params.RequestID)); c != nil {
				c.cancelled.Store(true)
			}
		}
		from := *who
		from.client, from.span = t.calls.client(stdio), message.Caller(m.Params.Traceparent, nil)
		if c := t.begin(&m, &from, len(line)); c != nil {
			c.event.Correlation.SessionID = "" // ours, and nobody else's
			t.calls.add(c)
		}
	}
	return line
}

func (t *Tap) answer(ctx context.Context, line []byte) []byte {
	for _, m := range message.Read(line) {
		if !m.Response() {
			continue
		}
		if c := t.calls.find(stdio, message.Label(m.ID)); c != nil {
			if err := t.conclude(ctx, c, answered(&m)); err != nil {
				return append(unavailable(m.ID), '\n')
			}
		}
	}
	return line
}

// lines copies line by line as change returns them, each at once. A line that is
// longer than MaxResponse passes unread.
func lines(from io.Reader, to io.Writer, change func([]byte) []byte) error {
	r := bufio.NewReaderSize(from, 64<<10)
	var line []byte
	tooLong := false
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			if len(line) > MaxResponse {
				tooLong = true
			}
			if !tooLong {
				continue
			}
		}
		if len(line) > 0 {
			pass := line
			if !tooLong {
				pass = change(line)
			}
			if _, e := to.Write(pass); e != nil {
				return e
			}
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			tooLong = false
		}
		line = line[:0]
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}
