// Package authzen takes what a policy enforcement or decision point logs of the
// OpenID AuthZEN Authorization API 1.0: a request with its response.
//
// The API has no log format, so this package defines an envelope, one JSON object
// for each exchange:
//
//	{"time": "2026-11-02T09:00:00.25Z",       when it was answered, RFC 3339; required
//	 "id": "d-17",                            the logger's own id of the exchange, the same when it is sent again
//	 "request": {...}, "response": {...},     the bodies as sent: Access Evaluation, Access Evaluations or a search
//	 "status": 200,                           HTTP status of the response; absent is 200
//	 "error": "connection refused",           why there is no response
//	 "request_id": "bfe9eb29-...",            header X-Request-ID
//	 "traceparent": "00-...",                 header traceparent
//	 "pdp": "https://pdp.example",            identifier of the decision point
//	 "policy": "...", "policy_version": "..", where the logger knows them
//	 "client_address": "10.0.0.7:51422"}      who sent the request
//
// It is a parser and stands between a transport (push, tail) and the gateway.
// Every evaluation that was answered becomes one permission_decision. Evaluations
// that a short-circuiting evaluations_semantic left unanswered are no decisions;
// the last one answered carries a warning of them. An answer by error (context.error,
// an HTTP status other than 200, no response) is effect error, never deny.
// Answers of the Search APIs decide nothing: each of their results says who may do what,
// and becomes one grant.
//
// It guarantees that properties of subjects, actions and resources do not come
// through, nor members of a context that are not named in docs/sources/authzen.md.
package authzen

import (
	"encoding/json"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/schemas/event"
)

// Type is the source type.
const Type = "authzen"

// maxListBytes bounds a list of texts of an event.
const maxListBytes = 4 << 10

// engine stands for a decision point that the envelope does not name.
const engine = "authzen"

// maxEvaluations bounds the events of one record.
const maxEvaluations = 5_000

// maxDefaults bounds the default context times the evaluations that it is read for, in bytes.
const maxDefaults = 32 << 20

// envelope is one exchange.
type envelope struct {
	Time          string          `json:"time"`
	ID            string          `json:"id"`
	Request       *request        `json:"request"`
	Response      json.RawMessage `json:"response"`
	Status        int             `json:"status"`
	Error         string          `json:"error"`
	RequestID     string          `json:"request_id"`
	Traceparent   string          `json:"traceparent"`
	PDP           string          `json:"pdp"`
	Policy        string          `json:"policy"`
	PolicyVersion string          `json:"policy_version"`
	ClientAddress string          `json:"client_address"`
}

// Parse is a [collector.Parse]: it turns one exchange into the decisions that
// were made in it, or the grants that a search found. An error is [event.Problems] where a
// member is missing or of another type.
func Parse(raw []byte) ([]*event.Event, error) {
	var in envelope
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, collector.DecodeError(err, "log record", path)
	}
	if problems := in.problems(); len(problems) > 0 {
		return nil, problems
	}
	in.trim()
	answer, failure, err := in.answer()
	if err != nil {
		return nil, err
	}
	var events []*event.Event
	if answer.Results != nil {
		events, err = in.grants(answer.Results)
	} else {
		events, err = in.events(answer, failure)
	}
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		e.Fit()
	}
	return events, nil
}

func (in *envelope) problems() event.Problems {
	var problems event.Problems
	add := func(bad bool, field, reason string) {
		if bad {
			problems = append(problems, event.Problem{Field: field, Reason: reason})
		}
	}
	at, err := event.ParseTime(in.Time)
	add(in.Time == "", "time", "is required")
	add(in.Time != "" && (err != nil || at == 0), "time", "want an RFC 3339 time after 1970")
	add(in.Request == nil, "request", "is required")
	add(len(in.Response) == 0 && in.Error == "" && in.ok(), "response", "is required, or error or status")
	add(in.Request != nil && len(in.Request.Evaluations)*len(in.Request.Context) > maxDefaults, "request.context", "is too large to stand for that many evaluations")
	add(in.Request != nil && len(in.Request.Evaluations) > maxEvaluations, "request.evaluations", "has more than 5000 entries")
	return problems
}

func (in *envelope) ok() bool { return in.Status == 0 || in.Status == 200 }
