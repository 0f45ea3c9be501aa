package keycloak

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// checkpoint is how far each stream is delivered.
type checkpoint struct {
	// Source is BaseURL and Realm: a checkpoint of another realm is refused.
	Source string `json:"source"`
	User   stream `json:"user"`
	Admin  stream `json:"admin"`
}

// stream is one of the two lists of events.
type stream struct {
	// To is the last time read, in milliseconds since 1970.
	To int64 `json:"to"`
	// Seen are the events of the overlap that are delivered, with their times.
	Seen map[string]int64 `json:"seen,omitempty"`
}

// maxSeen bounds the memory of a stream. What is forgotten is delivered again,
// with the same id.
const maxSeen = 200_000

// checkpointError ends the poller: without a checkpoint it would lose events or
// repeat all of them.
type checkpointError struct{ err error }

func (e *checkpointError) Error() string { return e.err.Error() }
func (e *checkpointError) Unwrap() error { return e.err }

// resume goes on where the checkpoint says.
func (p *Poller) resume() error {
	source := p.api.base + "/realms/" + p.cfg.Realm
	b, err := os.ReadFile(p.cfg.Checkpoint)
	if errors.Is(err, fs.ErrNotExist) {
		since := p.cfg.Since
		if since.IsZero() {
			since = p.cfg.Now().Add(-defaultSince)
		}
		p.at = checkpoint{Source: source, User: stream{To: since.UnixMilli()}, Admin: stream{To: since.UnixMilli()}}
		return nil
	}
	var at checkpoint
	if err == nil {
		err = json.Unmarshal(b, &at)
	}
	if err == nil && (at.Source != source || at.User.To <= 0 || at.Admin.To <= 0) {
		err = errors.New("it is none of this realm")
	}
	if err != nil {
		return &checkpointError{fmt.Errorf("read checkpoint %s: %w; remove it to begin anew", p.cfg.Checkpoint, err)}
	}
	p.at = at
	return nil
}

// save replaces the checkpoint so that it survives loss of power.
func (c *checkpoint) save(path string) error {
	b, err := json.Marshal(c)
	if err != nil {
		return &checkpointError{err}
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.Write(append(b, '\n'))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return &checkpointError{fmt.Errorf("write checkpoint: %w", err)}
	}
	return nil
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// fresh returns what of a page is in the window and not yet delivered, oldest
// first, and notes it in seen. Records without an id get one.
func (s *stream) fresh(page []json.RawMessage, seen map[string]int64, same map[string]int, from, to int64) (fresh [][]byte, skipped int) {
	for _, raw := range slices.Backward(page) {
		var head struct {
			ID   string `json:"id"`
			Time int64  `json:"time"`
		}
		if json.Unmarshal(raw, &head) != nil {
			head.Time = to // delivered too: the collector says what is wrong with it
		}
		if head.Time < from || head.Time > to {
			continue
		}
		record := []byte(raw)
		if head.ID == "" {
			head.ID, record = identify(raw, same)
		}
		if _, again := seen[head.ID]; again {
			skipped++
			continue
		}
		if _, before := s.Seen[head.ID]; before {
			skipped++
			continue
		}
		seen[head.ID] = head.Time
		fresh = append(fresh, record)
	}
	return fresh, skipped
}

// identify makes an id for a record of a Keycloak that shows none: from its
// content, and for equal ones from their number in the window. A page that moved
// while we read makes an equal one twice, which is better than one lost.
func identify(raw []byte, same map[string]int) (id string, record []byte) {
	sum := sha256.Sum256(raw)
	content := base64.RawURLEncoding.EncodeToString(sum[:])
	id = "content-" + content
	if n := same[content]; n > 0 {
		id += "-" + strconv.Itoa(n)
	}
	same[content]++
	return id, member("id", id, raw)
}

// member puts one in front of the others of a JSON object.
func member(name, value string, raw []byte) []byte {
	rest, isObject := bytes.CutPrefix(raw, []byte("{"))
	if !isObject {
		return raw
	}
	text, _ := json.Marshal(value) // a text
	record := append([]byte(`{"`+name+`":`), text...)
	if rest = bytes.TrimSpace(rest); !bytes.HasPrefix(rest, []byte("}")) {
		record = append(record, ',')
	}
	return append(record, rest...)
}

// add remembers what was delivered.
func (s *stream) add(seen map[string]int64) {
	if s.Seen == nil {
		s.Seen = map[string]int64{}
	}
	maps.Copy(s.Seen, seen)
}

// forget drops what no later window can show, and the oldest of what is too much.
func (s *stream) forget(before int64) {
	maps.DeleteFunc(s.Seen, func(_ string, at int64) bool { return at < before })
	over := len(s.Seen) - maxSeen
	if over <= 0 {
		return
	}
	oldest := slices.SortedFunc(maps.Keys(s.Seen), func(a, b string) int { return int(s.Seen[a] - s.Seen[b]) })
	for _, id := range oldest[:over] {
		delete(s.Seen, id)
	}
}
