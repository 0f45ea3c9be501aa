// Package native takes events in Custody's own JSON: POST /v1/events with one
// object, an array, newline-delimited JSON, or CloudEvents (structured and
// batch), plain or compressed with gzip or zstd.
//
// The answer is {"accepted": N, "rejected": [{"index", "problems"}]}. It
// is 200 when something was accepted or nothing was sent, 400 when every event
// was refused. Events that are not among the rejected ones are durable. A body
// that cannot be split into events is refused whole.
package native

import (
	"net/http"

	"github.com/custody-audit/custody/collector"
)

// Type is the source type.
const Type = "native"

// Path is the endpoint.
const Path = "/v1/events"

// Handler serves Path.
func Handler(sources collector.Authenticator, intake collector.Intake) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		result, err := take(w, r, sources, intake)
		if err != nil {
			collector.Refuse(w, err)
			return
		}
		collector.Answer(w, result.Status(), result)
	})
}

func take(w http.ResponseWriter, r *http.Request, sources collector.Authenticator, intake collector.Intake) (*collector.Result, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, &collector.HTTPError{Status: http.StatusMethodNotAllowed, Reason: "want POST"}
	}
	src, err := sources.AuthenticateHTTP(w, r, Type)
	if err != nil {
		return nil, err
	}
	body, err := collector.ReadBody(w, r)
	if err != nil {
		return nil, err
	}
	items, err := Parse(r.Header.Get("Content-Type"), body)
	if err != nil {
		return nil, err
	}
	return collector.AcceptBatch(r.Context(), intake, src, Type, items)
}
