package ssf

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/custody-audit/custody/collector"
)

// Error codes of RFC 8935 section 2.4.
const (
	invalidRequest       = "invalid_request"
	invalidKey           = "invalid_key"
	invalidIssuer        = "invalid_issuer"
	invalidAudience      = "invalid_audience"
	authenticationFailed = "authentication_failed"
	accessDenied         = "access_denied"
)

// setError refuses a SET: the same one is refused again.
type setError struct {
	status      int
	code        string
	description string // shows nothing of the SET but its type names
}

func (e *setError) Error() string { return e.code + ": " + e.description }

func malformed(description string) error {
	return &setError{http.StatusBadRequest, invalidRequest, description}
}

// contentType is that of RFC 8935 section 2.1.
const contentType = "application/secevent+jwt"

// form checks the request before anybody is asked for a secret.
func form(w http.ResponseWriter, req *http.Request) error {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return &setError{http.StatusMethodNotAllowed, invalidRequest, "want POST"}
	}
	if media, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err != nil || media != contentType {
		return &setError{http.StatusUnsupportedMediaType, invalidRequest, "want Content-Type " + contentType}
	}
	return nil
}

// transmitterError is RFC 8935's form of a refusal by the collector's
// authentication. What is the collector's own trouble stays what it is.
func transmitterError(err error) error {
	var refused *collector.HTTPError
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Status {
	case http.StatusUnauthorized:
		return &setError{http.StatusBadRequest, authenticationFailed, refused.Reason}
	case http.StatusForbidden:
		return &setError{http.StatusBadRequest, accessDenied, refused.Reason}
	}
	return err
}

// rejection is the gateway's reason, in which secrets are replaced.
func rejection(r collector.Rejection) error {
	if r.Claim {
		return &setError{http.StatusBadRequest, accessDenied, r.Problems.Error()}
	}
	return malformed(r.Problems.Error())
}

// refuse answers with {"err", "description"}, and with 503 or 429 what may be
// sent again.
func (r *Receiver) refuse(w http.ResponseWriter, req *http.Request, err error) {
	var refused *setError
	var status *collector.HTTPError
	switch {
	case errors.As(err, &refused):
	case errors.As(err, &status) && status.Status < http.StatusInternalServerError:
		refused = &setError{status.Status, invalidRequest, status.Reason}
	default:
		r.tel.refused.Add(req.Context(), 1, metric.WithAttributes(attribute.String("err", "unavailable")))
		r.cfg.Logger.Warn("a SET cannot be taken now; the transmitter is asked to send it again", "error", err)
		collector.Refuse(w, err)
		return
	}
	r.tel.refused.Add(req.Context(), 1, metric.WithAttributes(attribute.String("err", refused.code)))
	r.cfg.Logger.Warn("a SET is refused", "err", refused.code, "description", refused.description)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Language", "en")
	w.WriteHeader(refused.status)
	json.NewEncoder(w).Encode(map[string]string{"err": refused.code, "description": refused.description}) // the client is gone when this fails
}

// clip bounds what a log line repeats of what was sent.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 80)], "?") }
