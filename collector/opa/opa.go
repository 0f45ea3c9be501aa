// Package opa takes the decision logs that Open Policy Agent uploads: POST
// /v1/opa/logs with a gzipped JSON array, as OPA's decision_logs plugin sends
// it when its service url is the collector's address plus /v1/opa.
//
// One entry becomes one permission_decision. What was decided upon is read from
// the entry's input: either the shape of AuthZEN (subject, action, resource,
// context) or the names of the custody event (subject, actor, server, tool,
// token, correlation); docs/reference/opa.md lists them. The input itself is
// not kept. OPA repeats an upload until it is acknowledged, with the same
// decision ids, so a repeated one is recognised. It treats every 2xx as taken:
// entries that are no decision are counted and logged here, with their index.
package opa

import (
	"log/slog"
	"net/http"

	"github.com/custody-audit/custody/collector"
)

// Type is the source type.
const Type = "opa"

// Path is the endpoint; OPA may append a partition name.
const Path = "/v1/opa/logs"

// Handler serves Path and everything below it.
func Handler(sources collector.Authenticator, intake collector.Intake, logger *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		src, entries, err := read(w, r, sources)
		if err != nil {
			collector.Refuse(w, err)
			return
		}
		result, err := collector.TakeRecords(r.Context(), intake, src, Type, Parse, entries)
		if err != nil {
			collector.Refuse(w, err)
			return
		}
		for _, rej := range result.Rejected[:min(len(result.Rejected), 5)] {
			logger.Warn("decision log entry refused", "source", src.ID, "index", rej.Index, "problems", rej.Problems.Error())
		}
		collector.Answer(w, http.StatusOK, result)
	})
}

func read(w http.ResponseWriter, r *http.Request, sources collector.Authenticator) (*collector.Source, [][]byte, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, nil, &collector.HTTPError{Status: http.StatusMethodNotAllowed, Reason: "want POST"}
	}
	src, err := sources.AuthenticateHTTP(w, r, Type)
	if err != nil {
		return nil, nil, err
	}
	body, err := collector.ReadBody(w, r)
	if err != nil {
		return nil, nil, err
	}
	entries, err := collector.SplitRecords(body)
	return src, entries, err
}
