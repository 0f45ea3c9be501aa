package tail

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/custody-audit/custody/collector"
)

// Waits between attempts.
const (
	firstWait = 200 * time.Millisecond
	maxWait   = 30 * time.Second
)

type sender struct {
	cfg *Config
	tel *telemetry
}

// deliver repeats the lines until the collector answers for them, or ctx is done.
func (s *sender) deliver(ctx context.Context, origin string, lines []byte) error {
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		attempt, done := patient(ctx)
		again, err := s.post(attempt, origin, lines)
		done()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.tel.retries.Add(ctx, 1)
		s.cfg.Logger.Warn("the collector does not take the lines; they are sent again", "origin", origin, "error", err)
		if err := pause(ctx, max(again, wait/2+rand.N(wait/2))); err != nil {
			return err
		}
	}
}

// lastAnswer is how long a stop waits for the answer to what is under way: without
// it the lines would be sent again at the next start.
const lastAnswer = 5 * time.Second

// patient returns a context that ends lastAnswer after ctx.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(lastAnswer, cancel) })
	return out, func() { stop(); cancel() }
}

// post sends the lines once. It asks for patience when the collector does.
func (s *sender) post(ctx context.Context, origin string, lines []byte) (again time.Duration, err error) {
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	z.Write(lines) // to memory
	z.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(s.cfg.URL, "/")+"/v1/push/"+s.cfg.Type, &body)
	if err != nil {
		return 0, err
	}
	key, err := s.cfg.Key()
	if err != nil {
		return 0, fmt.Errorf("read the key: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Content-Encoding", "gzip")
	req.Header.Set(collector.HeaderOrigin, origin)
	res, err := s.cfg.HTTP.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if err != nil {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
	return min(time.Duration(seconds)*time.Second, maxWait), s.understand(ctx, res.StatusCode, text, origin)
}

// understand reads the answer to a batch. Lines that were refused each for itself
// are reported and left behind: the next attempt would not be different.
func (s *sender) understand(ctx context.Context, status int, text []byte, origin string) error {
	var answer struct {
		Accepted, Ignored *int64
		Rejected          []json.RawMessage
	}
	if json.Unmarshal(text, &answer) != nil || answer.Accepted == nil {
		return fmt.Errorf("%d %.200s", status, bytes.TrimSpace(text))
	}
	s.tel.sent.Add(ctx, *answer.Accepted)
	s.tel.refused.Add(ctx, int64(len(answer.Rejected)))
	for _, r := range answer.Rejected[:min(len(answer.Rejected), 5)] {
		s.cfg.Logger.Warn("the collector refuses a line", "origin", origin, "line", string(r))
	}
	return nil
}
