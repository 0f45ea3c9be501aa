package registry

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/custody-audit/custody/collector"
)

// Headers of Standard Webhooks.
const (
	headerMessage   = "Webhook-Id"
	headerTime      = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// tolerance is how old or early a signature may be, and how long a message that
// came is remembered.
const tolerance = 5 * time.Minute

// webhooks verifies signatures of the form that Standard Webhooks describes: an
// HMAC-SHA256 of id, time and body. A signature does not name its sender; the
// query parameter "source" does, as TENANT/ID.
type webhooks struct {
	now func() time.Time

	mu     sync.Mutex
	recent map[string]bool // messages since turned; guarded by mu
	before map[string]bool // messages of the time before; guarded by mu
	turned time.Time       // guarded by mu
}

// authenticate reads the body as it was sent, and puts it back.
func (h *webhooks) authenticate(w http.ResponseWriter, r *http.Request, x *index) (*collector.Source, error) {
	src := x.byID[r.URL.Query().Get("source")]
	if src == nil || src.Webhook == nil {
		return nil, unauthorized("a signed request names its source: ?source=TENANT/ID of a source with webhook")
	}
	id, stamp := r.Header.Get(headerMessage), r.Header.Get(headerTime)
	at, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || id == "" || len(id) > 256 {
		return nil, unauthorized("want headers webhook-id and webhook-timestamp (seconds since 1970)")
	}
	if age := h.now().Sub(time.Unix(at, 0)); age > tolerance || age < -tolerance {
		return nil, unauthorized("webhook-timestamp is %s from the collector's clock, at most %s", age.Round(time.Second), tolerance)
	}
	body, err := collector.ReadRaw(w, r)
	if err != nil {
		return nil, err
	}
	secret, err := readSecret(src.Webhook.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", src.ID, err)
	}
	if !signed(secret, id, stamp, body, r.Header.Get(headerSignature)) {
		return nil, unauthorized("webhook-signature does not hold")
	}
	if h.again(name(src) + "\n" + id + "\n" + stamp) {
		return nil, &collector.HTTPError{Status: http.StatusConflict, Reason: "this message has come before: sign a repetition anew, with its own time"}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return src, nil
}

// signed tells whether one of the space-separated signatures is a good "v1,".
func signed(secret []byte, id, stamp string, body []byte, header string) bool {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.", id, stamp)
	mac.Write(body)
	want := mac.Sum(nil)
	for s := range strings.FieldsSeq(header) {
		text, ok := strings.CutPrefix(s, "v1,")
		if !ok {
			continue
		}
		if got, err := base64.StdEncoding.DecodeString(text); err == nil && hmac.Equal(got, want) {
			return true
		}
	}
	return false
}

// readSecret reads it each time, so that it can be replaced.
func readSecret(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("webhook secret: %w", err)
	}
	text, ok := strings.CutPrefix(strings.TrimSpace(string(b)), "whsec_")
	secret, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(secret) < 24 {
		return nil, errors.New(`webhook secret: want "whsec_" and base64 of at least 24 bytes`) // without the value
	}
	return secret, nil
}

// again remembers a message for at least the tolerance and tells whether it came before.
func (h *webhooks) again(message string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := h.now(); now.Sub(h.turned) > 2*tolerance { // a time may lie as far ahead as behind
		h.before, h.recent, h.turned = h.recent, map[string]bool{}, now
	}
	if h.recent[message] || h.before[message] {
		return true
	}
	h.recent[message] = true
	return false
}
