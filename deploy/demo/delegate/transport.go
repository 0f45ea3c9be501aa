package delegate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"go.opentelemetry.io/otel/propagation"
)

// request is what one call adds to its HTTP requests, and learns from them.
type request struct {
	bearer string
	id     string // JSON-RPC id of the last request sent
}

type requestKey struct{}

// transport authorizes each request by the call that it belongs to: one session
// serves calls for many subjects.
type transport struct{ next http.RoundTripper }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	next := t.next
	if next == nil {
		next = http.DefaultTransport
	}
	call, ok := r.Context().Value(requestKey{}).(*request)
	if !ok {
		return next.RoundTrip(r)
	}
	r, err := call.authorize(r.Context(), r)
	if err != nil {
		return nil, err
	}
	return next.RoundTrip(r)
}

func (c *request) authorize(ctx context.Context, r *http.Request) (*http.Request, error) {
	r = r.Clone(ctx) // a RoundTripper must not change its argument
	r.Header.Set("Authorization", "Bearer "+c.bearer)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(r.Header))
	if r.Body == nil {
		return r, nil
	}
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var message struct {
		ID json.RawMessage `json:"id"`
	}
	if json.Unmarshal(body, &message) == nil && len(message.ID) > 0 {
		c.id = string(bytes.Trim(message.ID, `"`))
	}
	return r, nil
}
