package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/custody-audit/custody/schemas/dial"
)

// WebhookConfig configures a Webhook.
type WebhookConfig struct {
	// URL that messages are posted to; https beyond this machine.
	URL string
	// Secrets that sign, as Standard Webhooks writes them: "whsec_" and base64 of 24
	// to 64 bytes. At least one; with two, one of them may be on its way out.
	Secrets []string
	// CAFile has the authorities of the receiver's certificate, PEM; empty: those of
	// the system.
	CAFile string
	// Timeout of one attempt; 0 is 15 s.
	Timeout time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Webhook is a sink that posts each message, signed as Standard Webhooks says
// (standardwebhooks.com). It is taken when the answer is 2xx; 410 refuses it for
// good, and anything else is tried again.
type Webhook struct {
	cfg    WebhookConfig
	keys   [][]byte
	client *http.Client
}

// NewWebhook returns a sink; it connects on first use.
func NewWebhook(cfg WebhookConfig) (*Webhook, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return nil, errors.New("webhook: want an https URL without user and password") // it may hold a secret
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 15 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	w := &Webhook{cfg: cfg, client: &http.Client{
		Timeout:       cfg.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // what is signed goes where it was meant to go
		Transport:     &http.Transport{DialTLSContext: dial.TLS{Enabled: true, CAFile: cfg.CAFile}.Dialer("notify.webhook"), MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute},
	}}
	for _, s := range cfg.Secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "whsec_"))
		if err != nil || !strings.HasPrefix(s, "whsec_") || len(key) < 24 || len(key) > 64 {
			return nil, errors.New("webhook: want secrets of the form whsec_ and base64 of 24 to 64 bytes")
		}
		w.keys = append(w.keys, key)
	}
	if len(w.keys) == 0 {
		return nil, errors.New("webhook: want a secret")
	}
	return w, nil
}

// sign signs id, time and body by every secret, for the header webhook-signature.
func (w *Webhook) sign(id, timestamp string, body []byte) string {
	var out []string
	for _, key := range w.keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		out = append(out, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(out, " ")
}

// Deliver implements [Sink].
func (w *Webhook) Deliver(ctx context.Context, messages []*Message) (int, error) {
	for i, m := range messages {
		if err := w.post(ctx, m); err != nil {
			return i, err
		}
	}
	return len(messages), nil
}

func (w *Webhook) post(ctx context.Context, m *Message) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.cfg.URL, bytes.NewReader(m.Body))
	if err != nil {
		return errors.New("post to the webhook: its URL is none")
	}
	id, timestamp := m.ID.String(), strconv.FormatInt(w.cfg.Now().Unix(), 10)
	for name, value := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "custody", "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": w.sign(id, timestamp, m.Body),
	} {
		req.Header.Set(name, value)
	}
	res, err := w.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address, in which some put a secret
		}
		return fmt.Errorf("post to the webhook: %w", err)
	}
	defer res.Body.Close()
	io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 300:
		return nil
	case res.StatusCode == http.StatusGone:
		return fmt.Errorf("the webhook answers %s: %w", res.Status, ErrPermanent)
	}
	err = fmt.Errorf("the webhook answers %s", res.Status)
	if after, bad := strconv.Atoi(res.Header.Get("Retry-After")); bad == nil && after > 0 {
		return &laterError{time.Duration(min(after, 86400)) * time.Second, err}
	}
	return err
}

// Close implements [Sink].
func (w *Webhook) Close() error {
	w.client.CloseIdleConnections()
	return nil
}
