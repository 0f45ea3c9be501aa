package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/processor/seal"
)

// Client asks one witness, ours or any other of the specification.
type Client struct {
	url      string
	verifier note.Verifier
	http     *http.Client

	mu   sync.Mutex
	seen map[string]uint64 // size that the witness saw last, by origin; guarded by mu
}

// NewClient returns a client of the witness at a URL prefix that has a verifier
// key. Nothing is connected yet.
func NewClient(url, key string) (*Client, error) {
	v, err := seal.ParseCosigner(key)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(url, "https://") && !strings.HasPrefix(url, "http://") {
		return nil, fmt.Errorf("witness %s: URL %q: want http or https", v.Name(), url)
	}
	return &Client{url: strings.TrimSuffix(url, "/"), verifier: v, http: &http.Client{}, seen: map[string]uint64{}}, nil
}

// Verifier implements seal.Witness.
func (c *Client) Verifier() note.Verifier { return c.verifier }

// Cosign implements seal.Witness. Which size the witness saw last it learns from
// the witness, and again when another client was there meanwhile.
func (c *Client) Cosign(ctx context.Context, signed []byte, prove func(context.Context, uint64) (tlog.TreeProof, error)) ([]byte, error) {
	text, _, _ := strings.Cut(string(signed), "\n\n")
	head, err := seal.ParseCheckpoint(text + "\n")
	if err != nil {
		return nil, err
	}
	for range 3 {
		old := c.last(head.Origin)
		if old > head.Size {
			return nil, seal.ErrAhead
		}
		proof, err := prove(ctx, old)
		if err != nil {
			return nil, err
		}
		lines, conflict, err := c.add(ctx, old, proof, signed)
		if err != nil {
			return nil, err
		}
		if conflict == nil {
			c.saw(head.Origin, head.Size)
			return lines, nil
		}
		c.saw(head.Origin, *conflict)
	}
	return nil, errors.New("others ask the witness about this tree all the time")
}

func (c *Client) last(origin string) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[origin]
}

func (c *Client) saw(origin string, size uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[origin] = size
}

// add sends one add-checkpoint request. On a conflict it returns the size that
// the witness has.
func (c *Client) add(ctx context.Context, old uint64, proof tlog.TreeProof, signed []byte) (lines []byte, conflict *uint64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/add-checkpoint", bytes.NewReader(formatRequest(old, proof, signed)))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("User-Agent", "custody")
	res, err := c.http.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("ask witness: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, seal.MaxNote))
	if err != nil {
		return nil, nil, fmt.Errorf("ask witness: %w", err)
	}
	said := strings.TrimSpace(string(body[:min(len(body), 200)]))
	switch res.StatusCode {
	case http.StatusOK:
		return body, nil, nil
	case http.StatusConflict:
		size, err := strconv.ParseUint(said, 10, 63)
		if err != nil {
			return nil, nil, fmt.Errorf("ask witness: it answered 409 without a size: %q", said)
		}
		return nil, &size, nil
	case http.StatusUnprocessableEntity:
		return nil, nil, fmt.Errorf("%w: %q", seal.ErrInconsistent, said)
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound:
		return nil, nil, fmt.Errorf("%w: %s: %q", seal.ErrRefused, res.Status, said)
	}
	return nil, nil, fmt.Errorf("ask witness: it answered %s: %q", res.Status, said)
}

// Newest returns the newest checkpoint of an origin that the witness shows, with
// the signatures of log and witness, none of which is verified here; nil for none.
func (c *Client) Newest(ctx context.Context, origin string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/"+originHash(origin)+"/checkpoint", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "custody")
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask witness: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, seal.MaxNote))
	if err != nil {
		return nil, fmt.Errorf("ask witness: %w", err)
	}
	switch res.StatusCode {
	case http.StatusOK:
		return body, nil
	case http.StatusNotFound:
		return nil, nil
	}
	return nil, fmt.Errorf("ask witness: it answered %s", res.Status)
}
