// Package push takes the records of sources that have a format of their own and
// can send it by HTTP: POST /v1/push/TYPE with one JSON object, an array, or one
// object on each line, plain or compressed with gzip or zstd.
//
// It stands between the parsers, one package each, and the gateway. The answer is
// {"accepted", "ignored", "rejected": [{"index", "problems"}]}, 200 when
// something was accepted or ignored and 400 when every record was refused. What
// is not among the rejected is durable.
package push

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/custody-audit/custody/collector"
)

// Path is the endpoint, below which each type has its own.
const Path = "/v1/push/"

// Parser returns how the records of a source are read: what its configuration
// says may be more than they tell.
type Parser func(src *collector.Source) collector.Parse

// Same is the Parser of a type whose records are read alike from every source.
func Same(parse collector.Parse) Parser {
	return func(*collector.Source) collector.Parse { return parse }
}

// Handler serves Path for the types that have a parser. Sources are
// authenticated by sources; a source of another type is refused.
func Handler(sources collector.Authenticator, intake collector.Intake, parsers map[string]Parser) http.Handler {
	h := &handler{sources, intake, parsers}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+Path+"{type}", h.serve)
	return mux
}

type handler struct {
	sources collector.Authenticator
	intake  collector.Intake
	parsers map[string]Parser
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request) {
	result, err := h.take(w, r)
	if err != nil {
		collector.Refuse(w, err)
		return
	}
	collector.Answer(w, status(result), result)
}

// status is 200 when a record could not be read: programs that send it repeat
// until 200, and would stand before it for ever. The answer says which, and it is
// counted.
func status(r *collector.Result) int {
	if s := r.Status(); s != http.StatusBadRequest {
		return s
	}
	return http.StatusOK
}

func (h *handler) take(w http.ResponseWriter, r *http.Request) (*collector.Result, error) {
	sourceType := r.PathValue("type")
	parser, ok := h.parsers[sourceType]
	if !ok {
		return nil, &collector.HTTPError{Status: http.StatusNotFound, Reason: fmt.Sprintf("type %.40q: want one of %v", sourceType, slices.Sorted(maps.Keys(h.parsers)))}
	}
	src, err := h.sources.AuthenticateHTTP(w, r, sourceType)
	if err != nil {
		return nil, err
	}
	body, err := collector.ReadBody(w, r)
	if err != nil {
		return nil, err
	}
	records, err := collector.SplitRecords(body)
	if err != nil {
		return nil, err
	}
	parse := parser(src)
	if origin := r.Header.Get(collector.HeaderOrigin); origin != "" {
		return collector.TakeLines(r.Context(), h.intake, src, sourceType, parse, origin, body, records)
	}
	return collector.TakeRecords(r.Context(), h.intake, src, sourceType, parse, records)
}
