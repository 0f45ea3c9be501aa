// Package tail follows the log file of a source that writes lines, and sends the
// lines to a collector: POST /v1/push/TYPE. It runs beside the source.
//
// It survives rotation by rename and by copy-and-truncate, and restarts: how far
// a file was acknowledged by the collector stands in a checkpoint, which moves
// only after the collector's answer. After a crash some lines are sent again,
// with the same origin (file and position), from which the collector makes the
// same event ids. What is written between the last read and a truncation is taken
// from the copy; what is written between the copy and the truncation is lost, that
// is the nature of copy-and-truncate. Rotated files are found by their names, the
// path, '.' or '-', and something, as long as they are not compressed.
package tail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// Config configures a Tail.
type Config struct {
	// Path of the file. It need not exist yet. Required.
	Path string
	// Checkpoint is the file that holds how far Path is sent. Required.
	Checkpoint string
	// URL is the collector's address without a path, Type the source type, Key
	// returns its bearer key. Required.
	URL, Type string
	Key       func() (string, error)
	// FromEnd begins at the end of a file for which there is no checkpoint.
	FromEnd bool
	// Poll is how often the file is looked at; 0 is 200 ms.
	Poll time.Duration
	// Settle is how long a renamed file must be quiet before its successor is
	// read; 0 is 2 s. Writers go on with the old name for a moment.
	Settle time.Duration
	// HTTP sends the requests; nil is a client with a timeout of 30 s.
	HTTP *http.Client

	Logger *slog.Logger
	Meter  metric.Meter // nil counts nothing
}

// Bounds of one request.
const (
	maxBatch = 1 << 20 // bytes of lines
	maxLines = 5000
	maxLine  = 1 << 20 // bytes of a line; longer ones are left out
)

// Tail follows one file.
type Tail struct {
	cfg  Config
	tel  *telemetry
	send *sender

	file  *os.File      // nil when there is none
	at    position      // of what is acknowledged in file
	after time.Time     // when the file before was written last; zero when none is known
	done  []os.FileInfo // files that were written at after and are sent
}

// New returns a Tail; Run it.
func New(cfg Config) (*Tail, error) {
	if cfg.Path == "" || cfg.Checkpoint == "" || cfg.URL == "" || cfg.Type == "" || cfg.Key == nil || cfg.Logger == nil {
		return nil, errors.New("tail: Path, Checkpoint, URL, Type, Key and Logger are required")
	}
	if cfg.Poll == 0 {
		cfg.Poll = 200 * time.Millisecond
	}
	if cfg.Settle == 0 {
		cfg.Settle = 2 * time.Second
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Timeout: 30 * time.Second}
	}
	tel, err := newTelemetry(cfg.Meter)
	if err != nil {
		return nil, fmt.Errorf("tail: %w", err)
	}
	cfg.Logger = cfg.Logger.With("file", cfg.Path)
	return &Tail{cfg: cfg, tel: tel, send: &sender{cfg: &cfg, tel: tel}}, nil
}

// Run follows the file until ctx is done. It returns an error only when it cannot
// go on without losing lines or sending them twice: the checkpoint is unreadable
// or cannot be written.
func (t *Tail) Run(ctx context.Context) error {
	defer t.close()
	if err := t.resume(); err != nil {
		return err
	}
	for {
		if err := t.follow(ctx); err != nil {
			return ended(ctx, err)
		}
	}
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// follow sends what is in the file, and what is added to it, until another one is
// at Path or it begins again.
func (t *Tail) follow(ctx context.Context) error {
	if err := t.open(ctx); err != nil {
		return err
	}
	for {
		n, err := t.advance(ctx, false)
		if errors.Is(err, errTruncated) {
			t.cfg.Logger.Info("the file was truncated; it is read from its beginning")
			return t.search(time.Now())
		}
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		if info, yes := t.rotated(); yes && time.Since(info.ModTime()) >= t.cfg.Settle {
			if _, err := t.advance(ctx, true); err != nil {
				return err
			}
			t.close()
			t.finished(info)
			return nil
		}
		if err := pause(ctx, t.cfg.Poll); err != nil {
			return err
		}
	}
}

// open takes the next file, and waits for it, if there is none.
func (t *Tail) open(ctx context.Context) error {
	for t.file == nil {
		err := t.next()
		if err == nil {
			return nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			t.cfg.Logger.Warn("the file cannot be opened", "error", err)
		}
		if err := pause(ctx, t.cfg.Poll); err != nil {
			return err
		}
	}
	return nil
}

// next begins with the file that follows the one before: a rotated one, when
// there was more than one rotation since, or the one at Path.
func (t *Tail) next() error {
	f, err := os.Open(t.cfg.Path) // first: it may be rotated while we look
	later, e := t.later(t.after)
	if e != nil {
		if f != nil {
			f.Close()
		}
		return e
	}
	if len(later) > 0 {
		if f != nil {
			f.Close()
		}
		f, err = os.Open(later[0])
	}
	if err != nil {
		return err
	}
	t.file, t.at = f, newPosition(0)
	return nil
}

func (t *Tail) close() {
	if t.file != nil {
		t.file.Close()
		t.file = nil
	}
}

// advance sends the next lines and moves the checkpoint; it returns the bytes it
// went on. all sends a last line without its end too.
func (t *Tail) advance(ctx context.Context, all bool) (int64, error) {
	lines, skipped, err := readLines(t.file, t.at.Offset, all)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", t.cfg.Path, err)
	}
	if t.truncated() { // before or while it was read
		return 0, errTruncated
	}
	if skipped > 0 {
		t.cfg.Logger.Error("a line is too long and left out", "offset", t.at.Offset, "bytes", skipped, "at_most", maxLine)
		t.tel.skipped.Add(ctx, 1)
	}
	if len(lines) == 0 && skipped == 0 {
		return 0, nil
	}
	before, passed := t.at.Offset, lines[:len(lines)+int(min(skipped, 0))]
	if t.at.Length == 0 {
		if err := t.introduce(passed); err != nil {
			return 0, err
		}
	}
	if len(lines) > 0 {
		if err := t.send.deliver(ctx, t.at.origin(), lines); err != nil {
			return 0, err
		}
	}
	t.at.pass(passed, max(skipped, 0))
	return t.at.Offset - before, t.at.save(t.cfg.Checkpoint)
}

// introduce saves the position in a file of which nothing was sent yet: when we
// are killed before the answer, the lines are sent again under the same name.
func (t *Tail) introduce(head []byte) error {
	if len(head) == 0 { // it begins with what is left out
		head = make([]byte, maxPrint)
		if _, err := t.file.ReadAt(head, 0); err != nil {
			return fmt.Errorf("read %s: %w", t.cfg.Path, err)
		}
	}
	t.at.note(head)
	return t.at.save(t.cfg.Checkpoint)
}

var errTruncated = errors.New("the file was truncated")

// truncated tells whether the file is not any more what was acknowledged of it.
func (t *Tail) truncated() bool {
	info, err := t.file.Stat()
	return err == nil && (info.Size() < t.at.Offset || !t.at.matches(t.file))
}

// rotated tells whether another file, or none, is at Path.
func (t *Tail) rotated() (mine os.FileInfo, yes bool) {
	mine, err := t.file.Stat()
	if err != nil {
		return nil, false
	}
	theirs, err := os.Stat(t.cfg.Path)
	return mine, err != nil || !os.SameFile(mine, theirs)
}

// finished remembers the file that is sent. Clocks of file systems are coarse: two
// files can be written at the same time.
func (t *Tail) finished(info os.FileInfo) {
	if !info.ModTime().Equal(t.after) {
		t.done = nil
	}
	t.after, t.done = info.ModTime(), append(t.done, info)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
