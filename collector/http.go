package collector

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Bounds of one request, in bytes. The second applies while decoding, so a
// small body that unpacks to a huge one costs no more than it.
const (
	MaxBody        = 4 << 20
	MaxDecodedBody = 16 << 20
)

// maxUnread is how much of a body that is too large is read and thrown away:
// most clients look for the answer only when they have sent everything.
const maxUnread = 64 << 20

// RetryAfter is what a source is told to wait when events cannot be made durable, in seconds.
const RetryAfter = 2

// HTTPError is a refusal with its status.
type HTTPError struct {
	Status int
	Reason string
}

func (e *HTTPError) Error() string { return e.Reason }

// Refuse answers with the error as JSON: {"error": "..."}. An error that is no
// [HTTPError] and not [ErrUnavailable] is an internal one; it is not shown.
func Refuse(w http.ResponseWriter, err error) {
	status, reason := http.StatusInternalServerError, "internal error; the collector's log has it"
	var he *HTTPError
	switch {
	case errors.As(err, &he):
		status, reason = he.Status, he.Reason
	case errors.Is(err, ErrUnavailable):
		status, reason = http.StatusServiceUnavailable, ErrUnavailable.Error()
	case errors.Is(err, ErrQuota):
		status, reason = http.StatusTooManyRequests, err.Error()
	}
	switch status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		w.Header().Set("Retry-After", strconv.Itoa(RetryAfter))
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="custody"`)
	}
	Answer(w, status, map[string]string{"error": reason})
}

// Answer writes v as JSON.
func Answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // the client is gone when this fails
}

// Bearer returns the key or token of an Authorization header; empty without one.
func Bearer(header string) string {
	scheme, bearer, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(bearer)
}

// ReadRaw returns the body as it was sent, within MaxBody. Its errors are [HTTPError].
func ReadRaw(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		return nil, bodyError(err, "")
	}
	return body, nil
}

// ReadBody returns the decoded body of a request: plain, gzip or zstd, within
// MaxBody and MaxDecodedBody. Its errors are [HTTPError].
func ReadBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limited := http.MaxBytesReader(w, r.Body, MaxBody)
	var decoded io.Reader
	switch encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
		decoded = limited
	case "gzip":
		z, err := gzip.NewReader(limited)
		if err != nil {
			return nil, bodyError(err, encoding)
		}
		defer z.Close()
		decoded = z
	case "zstd":
		z, err := zstd.NewReader(limited, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxDecodedBody), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return nil, bodyError(err, encoding)
		}
		defer z.Close()
		decoded = z
	default:
		return nil, &HTTPError{http.StatusUnsupportedMediaType, fmt.Sprintf("Content-Encoding %.40q: want gzip, zstd or none", encoding)}
	}
	body, err := io.ReadAll(io.LimitReader(decoded, MaxDecodedBody+1))
	if err != nil {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			io.CopyN(io.Discard, r.Body, maxUnread)
		}
		return nil, bodyError(err, r.Header.Get("Content-Encoding"))
	}
	if len(body) > MaxDecodedBody {
		return nil, tooLarge("decoded body", MaxDecodedBody)
	}
	return body, nil
}

func tooLarge(what string, limit int) error {
	return &HTTPError{http.StatusRequestEntityTooLarge, fmt.Sprintf("%s is larger than %d MiB: send smaller batches", what, limit>>20)}
}

func bodyError(err error, encoding string) error {
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return tooLarge("body", MaxBody)
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return tooLarge("decoded body", MaxDecodedBody)
	case encoding != "":
		return &HTTPError{http.StatusBadRequest, fmt.Sprintf("body is not %.40s: %v", encoding, err)}
	}
	return &HTTPError{http.StatusBadRequest, fmt.Sprintf("read body: %v", err)}
}
