package outlet

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

// send is the outlet's one goroutine: batch, post, count, until closed and empty.
func (o *Outlet) send() {
	defer close(o.stopped)
	for {
		batch := o.batch()
		if len(batch) == 0 {
			return
		}
		o.deliver(batch)
	}
}

// batch waits for an event and then a little for more. It returns nothing when
// the queue is closed and empty.
func (o *Outlet) batch() [][]byte {
	first, open := <-o.queue
	if !open {
		return nil
	}
	batch := [][]byte{first}
	linger := time.NewTimer(o.cfg.Linger)
	defer linger.Stop()
	for len(batch) < o.cfg.MaxBatch {
		select {
		case b, open := <-o.queue:
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
func (o *Outlet) deliver(batch [][]byte) {
	body := o.encoder.EncodeAll(append(bytes.Join(batch, []byte("\n")), '\n'), nil)
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		rejected, err := o.post(body)
		if err == nil {
			o.count(func(s *Stats) { s.Acknowledged += int64(len(batch) - rejected); s.Rejected += int64(rejected) })
			return
		}
		var refusal *refused
		if errors.As(err, &refusal) && !refusal.temporary() {
			o.cfg.Logger.Error("collector refuses a batch", "events", len(batch), "error", err)
			o.count(func(s *Stats) { s.Rejected += int64(len(batch)) })
			return
		}
		o.cfg.Logger.Debug("collector does not take a batch now", "error", err)
		if refusal != nil && refusal.after > wait {
			wait = refusal.after
		}
		if !o.pause(wait) {
			o.count(func(s *Stats) { s.Dropped += int64(len(batch)) })
			return
		}
		o.count(func(s *Stats) { s.Retried++ })
	}
}

// pause waits, with jitter; false when the rest is given up.
func (o *Outlet) pause(wait time.Duration) bool {
	t := time.NewTimer(wait/2 + rand.N(wait/2))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-o.sending.Done():
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
func (o *Outlet) post(body []byte) (rejected int, err error) {
	req, err := http.NewRequestWithContext(o.sending, http.MethodPost, o.cfg.URL+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("post events: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+o.cfg.Key)
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Content-Encoding", "zstd")
	res, err := o.cfg.HTTP.Do(req)
	if err != nil {
		return 0, fmt.Errorf("post events: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return 0, fmt.Errorf("read the collector's answer: %w", err)
	}
	return o.understand(res, text)
}

// understand reads {"accepted", "rejected": [{"index", "problems"}]}; a 400 has
// it too when every event was refused.
func (o *Outlet) understand(res *http.Response, text []byte) (int, error) {
	var answer struct {
		Rejected []json.RawMessage `json:"rejected"`
	}
	err := json.Unmarshal(text, &answer)
	if res.StatusCode == http.StatusOK && err != nil {
		return 0, fmt.Errorf("read the collector's answer: %w", err)
	}
	if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusBadRequest && len(answer.Rejected) > 0 {
		for _, r := range answer.Rejected[:min(len(answer.Rejected), 3)] {
			o.cfg.Logger.Error("collector rejects an event", "rejection", string(r))
		}
		return len(answer.Rejected), nil
	}
	seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
	return 0, &refused{res.StatusCode, fmt.Sprintf("%.200s", bytes.TrimSpace(text)), min(time.Duration(seconds)*time.Second, maxWait)}
}
