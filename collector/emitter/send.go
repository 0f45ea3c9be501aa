package emitter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// send is the emitter's one goroutine: batch, post, count, until closed and empty.
func (m *Emitter) send() {
	defer close(m.stopped)
	for {
		batch := m.batch()
		if len(batch) == 0 {
			return
		}
		m.deliver(batch)
	}
}

// batch waits for an event and then a little for more. It returns nothing when
// the queue is closed and empty.
func (m *Emitter) batch() [][]byte {
	first, open := <-m.queue
	if !open {
		return nil
	}
	batch := [][]byte{first}
	linger := time.NewTimer(m.cfg.Linger)
	defer linger.Stop()
	for len(batch) < m.cfg.MaxBatch {
		select {
		case b, open := <-m.queue:
			if !open {
				return batch
			}
			batch = append(batch, b)
		case <-linger.C:
			return batch
		}
	}
	return batch
}

// Waits between attempts.
const (
	firstWait = 100 * time.Millisecond
	maxWait   = 5 * time.Second
)

// deliver repeats the batch until the collector answers for it.
func (m *Emitter) deliver(batch [][]byte) {
	body := m.encoder.EncodeAll(append(bytes.Join(batch, []byte("\n")), '\n'), nil)
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		rejected, err := m.post(body)
		if err == nil {
			m.count(func(s *Stats) { s.Acknowledged += int64(len(batch) - rejected); s.Rejected += int64(rejected) })
			return
		}
		var refusal *refused
		if errors.As(err, &refusal) && !refusal.temporary() {
			m.cfg.Logger.Error("collector refuses a batch", "events", len(batch), "error", err)
			m.count(func(s *Stats) { s.Rejected += int64(len(batch)) })
			return
		}
		m.cfg.Logger.Debug("collector does not take a batch now", "error", err)
		if refusal != nil && refusal.after > wait {
			wait = refusal.after
		}
		if !m.pause(wait) {
			m.count(func(s *Stats) { s.Dropped += int64(len(batch)) })
			return
		}
		m.count(func(s *Stats) { s.Retried++ })
	}
}

// pause waits, with jitter; false when the rest is given up.
func (m *Emitter) pause(wait time.Duration) bool {
	t := time.NewTimer(wait/2 + rand.N(wait/2))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-m.sending.Done():
		return false
	}
}

// refused is an answer other than 200.
type refused struct {
	status int
	reason string
	after  time.Duration
}

func (r *refused) Error() string { return fmt.Sprintf("%d %s", r.status, r.reason) }

func (r *refused) temporary() bool {
	return r.status == http.StatusTooManyRequests || r.status == http.StatusRequestTimeout || r.status >= 500
}

// post sends the body once and returns how many of its events were rejected.
func (m *Emitter) post(body []byte) (rejected int, err error) {
	req, err := http.NewRequestWithContext(m.sending, http.MethodPost, m.cfg.URL+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("post events: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+m.cfg.Key)
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Content-Encoding", "zstd")
	res, err := m.cfg.HTTP.Do(req)
	if err != nil {
		return 0, fmt.Errorf("post events: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return 0, fmt.Errorf("read the collector's answer: %w", err)
	}
	return m.understand(res, text)
}

// understand reads {"accepted", "rejected": [{"index", "problems"}]}; a 400 has
// it too when every event was refused.
func (m *Emitter) understand(res *http.Response, text []byte) (int, error) {
	var answer struct {
		Rejected []json.RawMessage `json:"rejected"`
	}
	err := json.Unmarshal(text, &answer)
	if res.StatusCode == http.StatusOK && err != nil {
		return 0, fmt.Errorf("read the collector's answer: %w", err)
	}
	if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusBadRequest && len(answer.Rejected) > 0 {
		for _, r := range answer.Rejected[:min(len(answer.Rejected), 3)] {
			m.cfg.Logger.Error("collector rejects an event", "rejection", string(r))
		}
		return len(answer.Rejected), nil
	}
	seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
	return 0, &refused{res.StatusCode, fmt.Sprintf("%.200s", bytes.TrimSpace(text)), min(time.Duration(seconds)*time.Second, maxWait)}
}
