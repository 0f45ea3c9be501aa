package otlp

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"

	"github.com/custody-audit/custody/collector"
)

// Batch is what a request holds for us.
type Batch struct {
	// Items are the identity events in the order of the request, or why a record
	// that was meant to be one is none.
	Items []collector.Item
	// Index is the place of each item's record in the request, from 0 through all
	// its resources and scopes.
	Index []int
	// Records is how many records the request had.
	Records int
	// Ignored is how many of them state no identity fact.
	Ignored int
}

// ParseLogs reads the log records of a request. It keeps nothing of it.
func ParseLogs(request *collogs.ExportLogsServiceRequest) *Batch {
	b := &Batch{}
	for _, rl := range request.GetResourceLogs() {
		res := newResource(rl.GetResource())
		for _, sl := range rl.GetScopeLogs() {
			for _, l := range sl.GetLogRecords() {
				if b.Records++; !concernsLog(l) {
					b.Ignored++
					continue
				}
				b.add(logRecord(l, res))
			}
		}
	}
	return b
}

// ParseTraces reads the spans of a request. It keeps nothing of it.
func ParseTraces(request *coltrace.ExportTraceServiceRequest) *Batch {
	b := &Batch{}
	for _, rs := range request.GetResourceSpans() {
		res := newResource(rs.GetResource())
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				if b.Records++; !concernsSpan(s) {
					b.Ignored++
					continue
				}
				b.add(spanRecord(s, res))
			}
		}
	}
	return b
}

func (b *Batch) add(r *record, err error) {
	if err != nil {
		b.Items = append(b.Items, collector.NewItem(nil, err))
	} else {
		b.Items = append(b.Items, collector.NewItem(collector.One(r.event())))
	}
	b.Index = append(b.Index, b.Records-1)
}

// explain says for the first refused records which they are and why.
func (b *Batch) explain(rejected []collector.Rejection) string {
	const most, longest = 5, 200
	var lines []string
	for _, r := range rejected[:min(len(rejected), most)] {
		lines = append(lines, fmt.Sprintf("record %d: %.*s", b.Index[r.Index], longest, r.Problems.Error()))
	}
	if more := len(rejected) - most; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.ToValidUTF8(strings.Join(lines, "; "), "\ufffd")
}

// ParseJSON reads one export request in OTLP/JSON, of logs or of spans, as file
// exporters write it: one on each line.
func ParseJSON(request []byte) (*Batch, error) {
	var members struct {
		Logs  json.RawMessage `json:"resourceLogs"`
		Spans json.RawMessage `json:"resourceSpans"`
	}
	if err := json.Unmarshal(request, &members); err != nil {
		return nil, fmt.Errorf("not an OTLP/JSON export request: %w", err)
	}
	s := traces
	switch {
	case members.Logs != nil:
		s = logs
	case members.Spans == nil:
		return nil, errors.New("not an OTLP/JSON export request: want resourceLogs or resourceSpans")
	}
	m := s.request()
	if err := text.decode(request, m); err != nil {
		return nil, fmt.Errorf("not an OTLP/JSON export request: %w", err)
	}
	return s.parse(m), nil
}
